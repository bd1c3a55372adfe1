"""What the Gram matrix of ImageNet under ResNet-50 would take, by the counts of `--plan`.

    python -m tests.benchmarks.imagenet [--items 1281167] [--rate 8e14] [--bandwidth 3.3e12]

Counts are those of the program that an audit would carry out; weights are random, which they do not
depend on. The rates are of one GPU, and assumed: operations in 8 bits, and bytes through memory.
"""

import argparse

import torchvision  # type: ignore[import-untyped]

from gencheck.audit.plan import counts_of
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel

GPUS = (8, 64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_281_167)
    parser.add_argument("--rate", type=float, default=8e14)
    parser.add_argument("--bandwidth", type=float, default=3.3e12)
    arguments = parser.parse_args()
    module = torchvision.models.resnet50().eval()
    kernel = PathKernel.of(module, (3, 224, 224), options=KernelOptions("matrix"))
    counts = counts_of(kernel, arguments.items, "cuda", 4)
    moved = 8.0 * counts.cells_per_pair * counts.pairs
    print(
        f"{counts.pairs:.3g} pairs of {counts.flops_per_pair / 1e6:.1f} MFLOP and "
        f"{counts.cells_per_pair:,} cells; {counts.flops:.3g} operations; "
        f"{8 * counts.gates_bytes // counts.items:,} bits of gates an item\n"
    )
    rows = {
        "seconds of operations": [counts.flops / arguments.rate / n for n in GPUS],
        "seconds of maps through memory": [moved / arguments.bandwidth / n for n in GPUS],
        "Gram matrix, GB a rank": [counts.gram_bytes / 1e9 / n for n in GPUS],
        "gates, GB on every rank": [counts.gates_bytes / 1e9 for _ in GPUS],
        "gates, GB a rank if dealt out": [counts.gates_bytes / 1e9 / n for n in GPUS],
        "items, GB on every rank": [counts.items_bytes / 1e9 for _ in GPUS],
    }
    print("| | " + " | ".join(f"{n} GPUs" for n in GPUS) + " |")
    print("|---|" + "---|" * len(GPUS))
    for name, figures in rows.items():
        print(f"| {name} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |")


if __name__ == "__main__":
    main()
