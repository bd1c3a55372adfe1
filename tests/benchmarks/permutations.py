"""The permutation test of β1 against a single β1, on MNIST.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.permutations [--items 5000] [--rounds 200]

Trains a 784-256-256-10 network on items that are not audited, forms the Gram matrix of as many items
of each set, and prints the seconds of one β1 and of all relabelled ones together, with their ratio; a
loop over the relabellings would cost as many times one β1 as there are of them. The two are timed in
turn, several times.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta1.batched_lanczos import top_eigenvalues
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.permutation import norms_of_differences, relabel
from gencheck.training.loop import Training, fit


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=5000, help="items of each set")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    count = arguments.items
    folder = os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder")
    with np.load(Path(folder) / "mnist.npz") as archive:
        x = torch.from_numpy(archive["x_train"].reshape(-1, 784)).float() / 255
        y = torch.eye(10)[torch.from_numpy(archive["y_train"]).long()]
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    fit(module, x[-10_000:], y[-10_000:], Training(3), seed=0)
    network = model_of_module(module, [(784,)]).network
    factors, _ = forward(network, x[: 2 * count].clone(), 1024)
    gram = gram_matrix(kernel_program(network), factors, 1024)
    difference = Difference(count, y[: 2 * count].double())
    weights = difference.weights()
    labels = relabel(weights, arguments.rounds, 1)
    top = top_eigenvalue(gram, weights)
    print("one β1 s  products  permuted s  products  ratio  norms s")
    ratios = []
    for _ in range(arguments.repeats):
        started = time.perf_counter()
        top_eigenvalue(gram, weights)
        single = time.perf_counter() - started
        started = time.perf_counter()
        found = top_eigenvalues(gram, labels, top.value)
        permuted = time.perf_counter() - started
        started = time.perf_counter()
        norms_of_differences(gram, difference.targets, torch.cat([weights[:, None], labels], 1))
        norms = time.perf_counter() - started
        ratios.append((permuted + norms) / single)
        print(
            f"{single:8.2f} {top.iterations:9} {permuted:11.2f} {found.products:9}"
            f" {ratios[-1]:6.1f} {norms:8.2f}"
        )
    reached = int(found.reached.sum())
    print(
        f"median ratio {statistics.median(ratios):.1f}; p = {(1 + reached) / (1 + len(labels.T)):.4f}"
    )


if __name__ == "__main__":
    main()
