"""What one pair of items takes where bits are counted, by the kind of operation.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.bit_operations

A profiler sees one compiled function. Each operation of the table is therefore carried out alone, many
times in a row, on the same maps; the whole table is timed beside it. One thread.
"""

import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.bits.compile import bit_plan
from gencheck.spectral.kernel.bits.engine import BitKernel, PackedItems, packed_items
from gencheck.spectral.kernel.bits.plan import BITS, BOX, FILL, KIND, REALS, SLIDE, BitPlan
from gencheck.spectral.kernel.evaluate import map_exponents
from gencheck.spectral.kernel.forward import forward
from tests.architectures import initialised, lenet_like
from tests.benchmarks.kernels import cifar, mnist

_ITEMS, _REPEATS, _RUNS = 64, 40, 3
_NAMES = {
    BITS: "shared bits",
    REALS: "coordinates",
    BOX: "square windows",
    SLIDE: "other windows",
    FILL: "fill",
}


def nanoseconds(plan: BitPlan, items: PackedItems) -> float:
    """A pair, by the quickest of some runs."""
    out, best = torch.empty(_ITEMS, _ITEMS), float("inf")
    kernel = BitKernel(plan, torch.float32)
    for _ in range(_RUNS):
        started = time.perf_counter()
        kernel.fill(items, items, False, out)
        best = min(best, time.perf_counter() - started)
    return best / _ITEMS**2 * 1e9


def report(name: str, module: nn.Module, data: Tensor) -> None:
    """One line a network and kind."""
    network = model_of_module(module, [tuple(data.shape[1:])]).network
    program = kernel_program(network, patches=False)
    factors, _ = forward(network, data, _ITEMS)
    plan = bit_plan(program, map_exponents(program, factors, _ITEMS), factors)
    items = packed_items(plan, factors, slice(0, _ITEMS))
    whole = nanoseconds(plan, items)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for row, numbers in zip(plan.table, plan.numbers, strict=True):
        # a scale of 0: repeated sums must not overflow
        alone = replace(
            plan, table=np.tile(row, (_REPEATS, 1)), numbers=np.tile(numbers * 0, (_REPEATS, 1))
        )
        by_kind[_NAMES.get(int(row[KIND]), "others")].append(nanoseconds(alone, items) / _REPEATS)
    for kind, found in by_kind.items():
        print(f"| {name} | {kind} | {len(found)} | {sum(found):.0f} |", flush=True)
    print(f"| {name} | all, as one | {len(plan.table)} | {whole:.0f} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("| network | operations | how many | ns a pair |")
    print("|---|---|---|---|")
    report("LeNet-like", lenet_like().eval(), mnist(_ITEMS))
    report("ResNet-20", initialised("resnet20"), cifar(_ITEMS))
