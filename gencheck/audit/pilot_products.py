"""What products of a Gram matrix take, by those of a small one whose tiles are as large."""

import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor

from gencheck.audit.pilot_items import MOST_ITEMS, entries
from gencheck.spectral.kernel.blocks import held_blocks
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.products import loops_pay
from gencheck.spectral.kernel.tiles import upper_tiles
from gencheck.spectral.permutation import norms_of_differences

T = TypeVar("T")

# How often a solver's step passes over its vectors, read and written.
_VECTOR_PASSES = 24

# Columns of the wider of the two products that are timed.
_WIDE = 64


def timed(call: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What `call` returns, and the seconds until the device has done it."""
    started = time.perf_counter()
    found = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return found, time.perf_counter() - started


class CountedGram(Gram):
    """Counts columns of products and times all sums, so that the rest of a stage is known."""

    columns: list[int]
    spent: float

    @classmethod
    def over(cls, gram: Gram) -> "CountedGram":
        """The same matrix."""
        made = cls(gram.tiles, gram.blocks, gram.count, gram.exponent, like=gram.like)
        made.columns, made.spent = [], 0.0
        return made

    def matmul(self, right: Tensor) -> Tensor:
        """As `Gram.matmul`."""
        self.columns.append(right.shape[1])
        return super().matmul(right)

    def _sum_of_lanes(self, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """As that of `Gram`."""
        found, seconds = timed(
            lambda: super(CountedGram, self)._sum_of_lanes(make, like), like.device
        )
        self.spent += seconds
        return found


class ProductTimes:
    """Seconds of products of the Gram matrix of `count` items, of which this rank holds `share`.

    Parameters
    ----------
    tile
        Rows of a tile.
    like
        A tensor of the tiles' dtype on their device.
    read_seconds
        What it takes to read or form this rank's tiles anew, in every product; 0 where they are held.
    """

    def __init__(
        self, count: int, tile: int, share: float, *, like: Tensor, read_seconds: float
    ) -> None:
        self.count, self.read_seconds = count, read_seconds
        tiles = upper_tiles(min(count, MOST_ITEMS), tile)
        blocks = held_blocks(tiles, [*range(len(tiles))], like)
        for block in blocks.values():
            # what stands in them makes no difference
            block.fill_(1.0)
        self.gram = Gram(tiles, blocks, min(count, MOST_ITEMS), 0, like=like)
        self.gram.by_loops = loops_pay(count, like.device)
        self.ratio = share * entries(upper_tiles(count, tile)) / entries(tiles)

    def of(self, products: int, columns: int) -> float:
        """So many products with so many columns in all, and the vectors of a solver beside them."""
        anyhow, each = self._product
        vectors = _VECTOR_PASSES * self._entry * self.count * columns
        return products * (anyhow + self.read_seconds) + columns * each + vectors

    def of_forms(self, targets: Tensor, labels: Tensor) -> float:
        """The quadratic forms of all relabellings.

        Parameters
        ----------
        targets, labels
            Of as many items as `gram` has.
        """
        call = partial(norms_of_differences, self.gram, targets, labels)
        return timed(call, self.gram.device)[1] * self.ratio + self.read_seconds

    @cached_property
    def _product(self) -> tuple[float, float]:
        """Of a product of all tiles: what it takes anyhow, and each of its columns."""

        def least(columns: int) -> float:
            right = self._vectors(columns)
            calls = (timed(lambda: self.gram.matmul(right), right.device) for _ in range(3))
            return min(seconds for _, seconds in calls) * self.ratio

        one, many = least(1), least(_WIDE)
        each = max(0.0, many - one) / (_WIDE - 1)
        return max(0.0, one - each), each

    @cached_property
    def _entry(self) -> float:
        """Of one pass over one number of a solver's vectors."""
        vectors, other = self._vectors(_WIDE), self._vectors(_WIDE)
        calls = (timed(lambda: other.add_(vectors), other.device) for _ in range(3))
        return min(seconds for _, seconds in calls) / other.numel()

    def _vectors(self, columns: int) -> Tensor:
        device = self.gram.device
        return torch.ones((self.gram.count, columns), dtype=torch.float64, device=device)
