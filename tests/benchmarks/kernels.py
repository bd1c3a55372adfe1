"""The Gram stage of four kinds of networks on real data, against the machine's own limits.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.kernels [--device cuda] [--items 4000] [--growth]
    GENCHECK_DATA=FOLDER python -m tests.benchmarks.kernels --ways

For each network: pairs per second, and the rate achieved over the limit. The limit of a pair is the
larger of its FLOPs over the matrix-product rate and its bytes over the copy rate, both measured here
before and after; FLOPs are 2 for each gate and pair, bytes are one write and one read of every cell of
every map. Counting bits needs neither, so it can pass this limit. With --growth, the exponent of the
Gram stage in N from 1000 to 16 000 items. On a CUDA device the same table; with --whole also all of
MNIST through 784-512-512-10 and all of CIFAR-10 through the LeNet-like network, with β1.
"""

import argparse
import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.cli.devices import chosen_device
from gencheck.errors import InputError
from gencheck.load.dataset import load_dataset
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.overlaps import has_int8_units, int8_product
from gencheck.spectral.kernel.path_kernel import PathKernel
from tests.architectures import initialised, lenet5, lenet_like, vit_tiny

# A shorter run is repeated, and the quickest counts: the first loads the compiled loops.
_SHORT, _SHORT_RUNS = 5.0, 3

FOLDER = Path(os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder"))


def synchronised(device: str) -> float:
    """The time, after what was started on the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def rates(device: str) -> tuple[float, float]:
    """The best float32 matrix-product rate of several sizes in FLOP/s, and bytes copied per second."""
    best = 0.0
    for rows, inner in ((2048, 2048), (2048, 784), (4096, 1024)):
        a, b = torch.randn(rows, inner, device=device), torch.randn(inner, rows, device=device)
        out = torch.empty(rows, rows, device=device)
        torch.mm(a, b, out=out)
        started, count = synchronised(device), 0
        while synchronised(device) - started < 1.0:
            torch.mm(a, b, out=out)
            count += 1
        best = max(best, 2.0 * count * rows * rows * inner / (synchronised(device) - started))
    source = torch.randn(2**26, device=device)
    target = torch.empty_like(source).copy_(source)
    started = synchronised(device)
    for _ in range(5):
        target.copy_(source)
    return best, 5 * 8.0 * source.numel() / (synchronised(device) - started)


def mnist(count: int) -> Tensor:
    """Items of shape (N, 1, 28, 28): the train split, then the test split."""
    with np.load(FOLDER / "mnist.npz") as archive:
        items = np.concatenate([archive["x_train"], archive["x_test"]])[:count]
    return torch.from_numpy(items)[:, None].float() / 255


def cifar(count: int) -> Tensor:
    """Items of shape (N, 3, 32, 32): the train split, then the test split."""
    parts, left = [], count
    for name in ("train", "test"):
        rows = load_dataset(FOLDER / f"cifar10-jpeg-{name}.parquet").main
        split = rows.taken(np.arange(min(left, len(rows)))).loaded()
        parts.append(torch.from_numpy(split.items).permute(0, 3, 1, 2).float() / 255)
        left -= len(split)
        if not left:
            break
    return torch.cat(parts)


def fully_connected(width: int) -> nn.Module:
    """784-width-width-10."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


def seeded(module: nn.Module) -> nn.Module:
    """In eval mode."""
    return module.eval()


def measured(
    module: nn.Module, items: Tensor, device: str, for_items: int | None = None
) -> tuple[str, float, float, float, Gram]:
    """Executor, FLOPs and bytes of a pair by the program of matrix products, seconds, and the matrix.

    With `for_items`, the executor that so many items would have.
    """
    network = model_of_module(module, [tuple(items.shape[1:])]).network
    reference = kernel_program(network, patches=False)
    executor = PathKernel.of(network).executor(for_items or len(items), device)
    program = kernel_program(network, patches=executor == "matrix")
    factors, _ = forward(network, items.to(device), 1024)
    few, _ = forward(network, items[:4].to(device), 4)
    gram_matrix(program, few, 1024, executor=executor)
    seconds = math.inf
    for _ in range(_SHORT_RUNS):
        # as much memory touched just before: the first touch is the hypervisor's time, not the program's
        np.empty(len(items) * (len(items) + 1024) // 2, np.float32).fill(1)
        started = synchronised(device)
        gram = gram_matrix(program, factors, 1024, executor=executor)
        seconds = min(seconds, synchronised(device) - started)
        if seconds > _SHORT:
            break
    return (
        executor,
        reference.flops_per_pair,
        8.0 * sum(made.cells for made in reference.maps),
        seconds,
        gram,
    )


def table(device: str, items: int) -> None:
    """One line a network."""
    cases = [
        ("784-256-256-10, MNIST", fully_connected(256), mnist(5 * items)),
        ("LeNet-like, MNIST", seeded(lenet_like()), mnist(items)),
        ("ResNet-20, CIFAR-10", initialised("resnet20"), cifar(items // 2)),
        ("ViT-tiny, CIFAR-10", seeded(vit_tiny()), cifar(items // 4)),
    ]
    print(
        "| network | N | executor | s | Mpairs/s | kFLOP | kB | GFLOP/s | GB/s | achieved/limit |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, module, data in cases:
        before = rates(device)
        executor, flops, nbytes, seconds, _ = measured(module, data, device)
        after = rates(device)
        gemm, copy = (max(pair) for pair in zip(before, after, strict=True))
        pairs = len(data) * (len(data) + 1) / 2
        limit = max(flops / gemm, nbytes / copy)
        print(
            f"| {name} | {len(data)} | {executor} | {seconds:.2f} | {pairs / seconds / 1e6:.3f} |"
            f" {flops / 1e3:.1f} | {nbytes / 1e3:.1f} | {gemm / 1e9:.0f} | {copy / 1e9:.0f} |"
            f" {limit * pairs / seconds:.2f} |",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process {peak:.2f} GiB")


def growth(device: str) -> None:
    """The exponent of the Gram stage in N."""
    counts = [1000, 2000, 4000, 8000, 16000]
    for name, module in (
        ("784-256-256-10", fully_connected(256)),
        ("LeNet-like", lenet_like().eval()),
    ):
        # one executor throughout, the one for the most items, and the quickest of three where a run
        # is short: compiling and page faults are not growth
        seconds = [
            min(
                measured(module, mnist(n), device, counts[-1])[3]
                for _ in range(3 if n < 8000 else 1)
            )
            for n in counts
        ]
        slope = np.polyfit(np.log(counts), np.log(seconds), 1)[0]
        shown = ", ".join(f"{s:.2f}" for s in seconds)
        print(f"{name}: {shown} s for N = {counts}; exponent {slope:.2f}", flush=True)


def whole(device: str) -> None:
    """All of MNIST and, not on a CPU, all of CIFAR-10, with β1 of the train against the test split."""
    cases = [("MNIST, 784-512-512-10", fully_connected(512), mnist(70_000), 60_000)]
    if device != "cpu":
        cases.append(("CIFAR-10, LeNet-5", lenet5().eval(), cifar(60_000), 50_000))
    for name, module, data, split in cases:
        executor, flops, _, seconds, gram = measured(module, data, device)
        started = synchronised(device)
        difference = Difference(split, torch.zeros((len(data), 1), dtype=torch.float64))
        top = top_eigenvalue(gram, difference.weights())
        solved = synchronised(device) - started
        rate = flops * len(data) ** 2 / 2 / seconds / 1e12
        log10 = math.log10(max(top.value, 1e-300)) + top.exponent * math.log10(2)
        print(
            f"{name}: {executor}, Gram {seconds:.1f} s ({rate:.1f} TFLOP/s), β1 = 10^{log10:.4f} in "
            f"{solved:.1f} s, {top.iterations} products",
            flush=True,
        )


def ways() -> None:
    """784-256-256-10 on one thread, by each way to form overlaps: processor seconds, in one run.

    Processor time, since other processes of a shared machine stretch the other kind.
    """
    torch.set_num_threads(1)
    items = mnist(4000)
    network = model_of_module(fully_connected(256), [tuple(items.shape[1:])]).network
    program = kernel_program(network)
    factors, _ = forward(network, items, 1024)
    flops = program.flops_per_pair * len(items) ** 2 / 2
    a, out = torch.randn(1024, 784), torch.empty(1024, 1024)
    print("| way | processor s | GFLOP/s | GEMM GFLOP/s | achieved/limit |")
    print("|---|---|---|---|---|")
    units = has_int8_units("cpu")
    # so slow where the processor has no units for it that a whole matrix would take minutes
    for way in ("float32", "bits", *(("int8", "auto") if units else ())):
        rates, seconds = [], []
        gram_matrix(program, factors, 1024, overlaps=way)
        for _ in range(5):
            started = time.process_time()
            for _ in range(10):
                torch.mm(a, a.T, out=out)
            rates.append(20 * 1024**2 * 784 / (time.process_time() - started))
            started = time.process_time()
            gram_matrix(program, factors, 1024, overlaps=way)
            seconds.append(time.process_time() - started)
        rate = flops / min(seconds)
        print(
            f"| {way} | {min(seconds):.2f} | {rate / 1e9:.0f} | {max(rates) / 1e9:.0f} |"
            f" {rate / max(rates):.2f} |",
            flush=True,
        )
    whole = torch.randint(-128, 128, (1024, 784), dtype=torch.int8)[: 1024 if units else 256]
    started = time.process_time()
    int8_product(whole, whole)
    rate = 2 * len(whole) ** 2 * 784 / (time.process_time() - started)
    print(f"\nint8: one product of {len(whole)} x 784 x {len(whole)} at {rate / 1e9:.1f} GOP/s")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--ways", action="store_true")
    arguments = parser.parse_args()
    if arguments.ways:
        ways()
        return
    try:
        device = chosen_device(arguments.device)
    except InputError as error:
        sys.exit(str(error))
    if device != "cpu":
        print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}\n")
    table(device, arguments.items)
    if arguments.growth:
        growth(device)
    if arguments.whole:
        whole(device)


if __name__ == "__main__":
    main()
