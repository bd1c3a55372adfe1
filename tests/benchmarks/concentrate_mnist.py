"""`concentrate` on MNIST, 10 000 items against 10 000, measured against the machine's own limits.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.concentrate_mnist

Trains a 784-256-256-10 network, audits it, and prints seconds by stage, pairs per second, the rate
achieved over the float32 GEMM rate measured in the same run (the best of several sizes, before and
after), and the peak memory of the process. The work counted is the upper triangle alone.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.training.loop import Training, fit

GIB = 2**30


def gemm_rate() -> float:
    """The best float32 rate of several GEMM sizes, in FLOP/s."""
    best = 0.0
    for rows, inner in ((2048, 2048), (2048, 784), (4096, 1024)):
        a, b, out = torch.randn(rows, inner), torch.randn(inner, rows), torch.empty(rows, rows)
        torch.mm(a, b, out=out)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < 1.0:
            torch.mm(a, b, out=out)
            count += 1
        seconds = time.perf_counter() - started
        best = max(best, 2.0 * count * rows * rows * inner / seconds)
    return best


def copy_rate() -> float:
    """Bytes read and written per second by a large copy."""
    source, target = torch.randn(2**26), torch.empty(2**26)
    target.copy_(source)
    started = time.perf_counter()
    for _ in range(5):
        target.copy_(source)
    return 5 * 2.0 * source.numel() * 4 / (time.perf_counter() - started)


def first_touch_seconds(size: int) -> float:
    """Seconds to write once to fresh memory of `size` bytes.

    Virtual machines may take memory back while it is free and give it out again slowly; touched
    just before, it is there, and what is timed next is the program and not the hypervisor.
    """
    started = time.perf_counter()
    np.empty(size // 4, np.float32).fill(1)
    return time.perf_counter() - started


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=10_000, help="items of each set")
    parser.add_argument("--repeats", type=int, default=5, help="Gram stages measured")
    arguments = parser.parse_args()
    folder = os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder")
    with np.load(Path(folder) / "mnist.npz") as archive:
        sets = [
            (
                torch.from_numpy(archive[f"x_{part}"].reshape(-1, 784)).float() / 255,
                torch.eye(10, dtype=torch.float64)[torch.from_numpy(archive[f"y_{part}"]).long()],
            )
            for part in ("train", "test")
        ]
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    fit(module, sets[0][0], sets[0][1].float(), Training(epochs=3), seed=0)
    count = arguments.items
    chosen = [Labelled(x[:count].clone(), y[:count].clone()) for x, y in sets]
    subject = model_of_module(module, [(784,)])
    del sets

    result = audit(subject, chosen[0], chosen[1], "classification", AuditOptions())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"β1 {float(result.beta1.value):.6g}, gap {result.gap.gap:.6g}")
    for stage, seconds in result.seconds.items():
        print(f"{stage:8} {seconds:8.3f} s")
    full, packed = (2 * count) ** 2 * 4, result.nbytes
    print(
        f"peak {peak / GIB:.2f} GiB; tiles {packed / GIB:.2f} GiB, whole matrix {full / GIB:.2f} GiB"
    )
    print(f"packed matrix x 1.3 + 1.5 GB: {(1.3 * packed + 1.5e9) / GIB:.2f} GiB")

    kernel = PathKernel.of(subject.network, options=AuditOptions().kernel)
    features = kernel.features(torch.cat([c.items for c in chosen]))
    flops = kernel.windows.flops_per_pair
    pairs = features.factors.count * (features.factors.count + 1) / 2
    print(f"{flops} FLOP and 4 bytes a pair; copy rate {copy_rate() / 1e9:.1f} GB/s")
    print("touch s  gram s   Mpairs/s  GFLOP/s  GEMM GFLOP/s  achieved/limit")
    for _ in range(arguments.repeats):
        before = gemm_rate()
        touched = first_touch_seconds(int(packed))
        started = time.perf_counter()
        gram = kernel.gram(features)
        seconds = time.perf_counter() - started
        del gram
        limit = max(before, gemm_rate())
        rate = pairs * flops / seconds
        print(
            f"{touched:7.3f} {seconds:7.3f} {pairs / seconds / 1e6:10.1f} {rate / 1e9:8.1f}"
            f" {limit / 1e9:13.1f}"
            f" {rate / limit:15.2f}"
        )


if __name__ == "__main__":
    main()
