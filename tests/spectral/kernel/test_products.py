"""Products of the Gram matrix with few vectors by compiled loops: right, and the same bits everywhere."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gencheck.audit.pilot_products import ProductTimes
from gencheck.spectral.kernel import products
from gencheck.spectral.kernel.blocks import held_blocks
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel
from gencheck.spectral.kernel.restricted import restricted
from gencheck.spectral.kernel.tiles import lanes_of, upper_tiles
from gencheck.spectral.ranks import ALONE, LANES, Alone, dealt
from tests.cases import random_case

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for few items."""
    monkeypatch.setattr(products, "_LEAST_ITEMS", 0)


class OneOf(Alone):
    """One rank of several, which adds nothing of the others'."""

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size = number, size

    def share(self, count: int) -> range:
        return dealt(count, self.size)[self.number]


def symmetric(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    made = torch.randn((count, count), generator=generator, dtype=dtype)
    return made + made.T


def in_tiles(whole: Tensor, size: int, rank: Alone | None = None) -> Gram:
    tiles, ranks = upper_tiles(len(whole), size), rank or ALONE
    lanes = lanes_of(tiles, LANES)
    own = [number for lane in ranks.share(len(lanes)) for number in lanes[lane]]
    blocks = held_blocks(tiles, own, whole)
    for number, block in blocks.items():
        block.copy_(whole[tiles[number].rows, tiles[number].columns])
    return Gram(tiles, blocks, len(whole), 0, like=whole, ranks=ranks)


def vectors(count: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((count, columns), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("columns", [1, 3, 4, 5, 16])
@pytest.mark.parametrize(("count", "size"), [(1, 8), (7, 3), (97, 20), (130, 64)])
def test_loops_multiply(count: int, size: int, columns: int, dtype: torch.dtype) -> None:
    whole, right = symmetric(count, dtype), vectors(count, columns)
    gram = in_tiles(whole, size)
    assert gram.by_loops
    found = gram.matmul(right)
    torch.testing.assert_close(found, whole.double() @ right, rtol=1e-13, atol=1e-11)
    # a vector's product does not depend on those beside it
    for column in range(columns):
        assert torch.equal(found[:, [column]], gram.matmul(right[:, [column]]))


def test_more_vectors_are_multiplied_as_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, right = symmetric(97), vectors(97, products.FEW_VECTORS + 1)
    gram = in_tiles(whole, 20)
    monkeypatch.setattr(products, "LoopProducts", None)
    torch.testing.assert_close(gram.matmul(right), whole.double() @ right, rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_bits_are_the_same_on_any_number_of_ranks_and_threads(size: int) -> None:
    whole, right = symmetric(130), vectors(130, 2)
    lanes = lanes_of(upper_tiles(130, 20), LANES)
    made: list[Tensor] = []
    for number in range(size):
        gram = in_tiles(whole, 20, OneOf(number, size))
        by_lane = gram._loops.by_lane(right.T.contiguous())
        made += [by_lane(lane) for lane in gram.ranks.share(len(lanes))]
    apart = ALONE.summed(len(lanes), made.__getitem__, right.T).T
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert torch.equal(in_tiles(whole, 20).matmul(right), apart)
    finally:
        torch.set_num_threads(threads)


def test_wherever_blocks_are_kept_the_bits_are_the_same(tmp_path: Path) -> None:
    case = random_case("conv_pool")
    items = torch.cat([case.sample.items, case.reference.items]).float()
    kernel = PathKernel.of(case.subject.network, options=KernelOptions("matrix", tile=5))
    made = []
    for storage in ("memory", "disk", "recompute"):
        own = replace(kernel, options=replace(kernel.options, storage=storage))
        gram = own.gram(items, TileCache(tmp_path, print) if storage == "disk" else None)
        assert gram.by_loops
        made.append(gram.matmul(vectors(22, 3)))
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    apart = restricted(gram, [slice(0, 9), slice(12, 22)])
    right = vectors(19, 1)
    close = {"rtol": 1e-12, "atol": 0.0}
    torch.testing.assert_close(apart.matmul(right), apart.dense().double() @ right, **close)


def test_few_items_are_multiplied_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_LEAST_ITEMS", 98)
    assert not in_tiles(symmetric(97), 20).by_loops
    assert in_tiles(symmetric(98), 20).by_loops
    # a plan's small matrix stands for one of all items
    assert ProductTimes(98, 20, 1.0, like=torch.zeros(0), read_seconds=0.0).gram.by_loops
    assert not ProductTimes(97, 20, 1.0, like=torch.zeros(0), read_seconds=0.0).gram.by_loops
    monkeypatch.setattr(products, "compiled_loops_are_there", lambda: False)
    gram, right = in_tiles(symmetric(98), 20), vectors(98, 2)
    assert not gram.by_loops
    truth = symmetric(98).double() @ right
    torch.testing.assert_close(gram.matmul(right), truth, rtol=1e-13, atol=1e-11)
