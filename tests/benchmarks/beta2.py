"""How wide β2's interval is, by budget.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.beta2 [--items 2000]

Networks trained for three epochs on other MNIST items; the sample and the reference have so many items
each. For each budget in (nominal) seconds: both ends of β2, their ratio, whether they met, and the
seconds that it took. Then 10⁷ random paths with local search from the best of them, which must not beat
the lower end.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta2.ascent import ascend, random_path
from gencheck.spectral.beta2.enumeration import entry
from gencheck.spectral.beta2.paths import PathSpace
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND, sup_norms
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.forward import forward
from gencheck.training.loop import Training, fit
from tests.architectures import lenet_like


def trained(module: nn.Module, items: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    fit(module, items, torch.eye(10)[labels], Training(3), seed=0)
    return module


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--budgets", default="1,10,100")
    parser.add_argument("--random", type=float, default=1e7)
    arguments = parser.parse_args()
    with np.load(Path(os.environ["GENCHECK_DATA"]) / "mnist.npz") as arrays:
        x = torch.from_numpy(arrays["x_train"][:30_000].astype(np.float32) / 255)
        y = torch.from_numpy(arrays["y_train"][:30_000].astype(np.int64))
    torch.manual_seed(0)
    dense = nn.Sequential(
        *(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    m = arguments.items
    cases = [("784-64-64-64-10", dense, x.flatten(1)), ("LeNet-like", lenet_like(), x[:, None])]
    print("| network | budget | lower | upper | upper/lower | exact | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, module, items in cases:
        trained(module, items[20_000:], y[20_000:])
        network = model_of_module(module, [tuple(items.shape[1:])]).network
        factors, _ = forward(network, items[: 2 * m], 1024)
        program = kernel_program(network)
        targets = torch.eye(10, dtype=torch.float64)[y[: 2 * m]]
        coefficients = Difference(m, targets).target_weights()
        for budget in map(float, arguments.budgets.split(",")):
            started = time.perf_counter()
            # enumeration is left out: what is measured is the interval
            found = sup_norms(program, factors, coefficients, budget * NOMINAL_FLOPS_PER_SECOND)
            seconds = time.perf_counter() - started
            low, high = max(found.lower), max(found.upper)
            print(
                f"| {name} | {budget:g} | {low:.5f} | {high:.5f} | {high / low:.2f} |"
                f" {found.exact} | {seconds:.1f} |",
                flush=True,
            )
        if name.startswith("784"):
            best = beaten(program, factors, coefficients[:, found.output], int(arguments.random))
            print(
                f"\nbest of {arguments.random:g} random paths, ascended: {best:.5f}\n", flush=True
            )


def beaten(program: object, factors: object, column: torch.Tensor, count: int) -> float:
    """The largest |v_p| over random paths; the best of every hundred thousand are ascended."""
    rows = column.nonzero()[:, 0]
    space = PathSpace(program, factors, rows)  # type: ignore[arg-type]
    weights = column[rows].float()
    generator = torch.Generator().manual_seed(1)
    blocks = [space.columns(m, 0, 0).values for m in range(len(space.program.maps))]
    best, batch = 0.0, 10_000
    for start in range(0, count, batch):
        product = weights[:, None].expand(-1, batch)
        for values in blocks:
            picks = torch.randint(values.shape[1], (batch,), generator=generator)
            product = product * values[:, picks]
        best = max(best, float(product.sum(0).abs().max()))
        if start % 100_000 == 0:
            path = random_path(space, generator)
            climbed = None if path is None else ascend(space, weights, path, set())
            if climbed is not None:
                best = max(best, entry(space, column[rows], climbed))
    return best


if __name__ == "__main__":
    main()
