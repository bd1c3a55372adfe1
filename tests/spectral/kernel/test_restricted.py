"""The Gram matrix of some items on the blocks of all: the same numbers, the same lanes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel
from gencheck.spectral.kernel.restricted import restricted
from gencheck.spectral.ranks import Alone, dealt
from tests.cases import random_case


class Half(Alone):
    """One of two ranks, of whose sums it has its own share."""

    size = 2

    def __init__(self, number: int) -> None:
        self.number = number

    def share(self, count: int) -> range:
        return dealt(count, 2)[self.number]

    def summed(self, count: int, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        return sum((make(lane) for lane in self.share(count)), torch.zeros_like(like))


def whole(storage: str) -> Gram:
    """Of 50 items, in tiles of 16."""
    case = random_case("conv_pool", m=40, n=10)
    items = torch.cat([case.sample.items, case.reference.items])
    options = KernelOptions(tile=16, storage=storage)
    return PathKernel.of(case.subject.network, options=options).gram(items)


@pytest.mark.parametrize(
    "ends",
    [
        [(0, 3)],
        [(0, 16)],
        [(0, 49)],
        [(0, 50)],
        [(5, 7), (9, 12)],
        [(0, 20), (37, 50)],
        [(1, 16), (16, 33), (40, 41)],
    ],
)
@pytest.mark.parametrize("storage", ["memory", "recompute"])
def test_it_is_the_part_of_the_whole_matrix(ends: list[tuple[int, int]], storage: str) -> None:
    gram = whole(storage)
    part = restricted(gram, [slice(*pair) for pair in ends])
    rows = torch.cat([torch.arange(*pair) for pair in ends])
    assert torch.equal(part.dense(), gram.dense()[rows][:, rows])
    assert torch.equal(part.diagonal(), gram.diagonal()[rows])
    right = torch.randn((len(rows), 2), dtype=torch.float64)
    torch.testing.assert_close(part.matmul(right), part.dense().double() @ right)
    assert len(part.lanes) == len(gram.lanes)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("ends", [[(0, 3)], [(4, 14), (30, 50)]])
def test_the_shares_of_two_ranks_add_up(ends: list[tuple[int, int]], loops: bool) -> None:
    gram = whole("memory")
    right = torch.randn((sum(b - a for a, b in ends), 2), dtype=torch.float64)
    expected = restricted(gram, [slice(*pair) for pair in ends]).matmul(right)
    found = []
    for number in range(2):
        gram.ranks = Half(number)
        part = restricted(gram, [slice(*pair) for pair in ends])
        part.by_loops = loops
        found.append(part.matmul(right))
    torch.testing.assert_close(found[0] + found[1], expected)
    # the first three items have one tile, which one rank holds
    assert (ends != [(0, 3)]) or found[1].count_nonzero() == 0


def test_whole_blocks_are_not_copied() -> None:
    gram = whole("memory")
    parts = [slice(3, 10), slice(16, 50)]
    part = restricted(gram, parts)

    def inside(run: slice) -> bool:
        return any(each.start <= run.start and run.stop <= each.stop for each in parts)

    memory = {gram.blocks[n].data_ptr() for n in range(len(gram.tiles))}
    shared = sum(part.blocks[n].data_ptr() in memory for n in range(len(part.tiles)))
    assert shared == sum(inside(tile.rows) and inside(tile.columns) for tile in gram.tiles)
