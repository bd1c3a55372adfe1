"""Overlaps of the factors of items, as the program of the kernel asks for them: of pairs, or of i = j."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from gencheck.spectral.kernel.overlaps import FLOATS, Ways
from gencheck.spectral.kernel.strip_factors import StripFactors


class Overlaps(Protocol):
    """What differs between pairs of items and single items."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one overlap: of all pairs, or of all items."""
        ...

    @property
    def like(self) -> Tensor:
        """The dtype and the device of maps."""
        ...

    def into(self, key: tuple[int, int], first: int, stop: int, out: Tensor, tokens: bool) -> None:
        """Fill `out`, of shape (stop − first, *shape), with the overlaps of some blocks of a batch.

        With `tokens`, factors are tokens, and an overlap is 1 where they are equal.
        """


@dataclass(frozen=True)
class Pairs:
    """Overlaps ⟨σ(x), σ(x′)⟩ of the items of two strips: shape (rows, columns)."""

    left: StripFactors
    right: StripFactors
    rows: slice
    columns: slice
    like: Tensor
    ways: Ways = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)

    def into(self, key: tuple[int, int], first: int, stop: int, out: Tensor, tokens: bool) -> None:
        """By the batch's way: as a batched matrix product in floats unless said otherwise."""
        left = self.left[key][first:stop, self.rows]
        right = self.right[key][first:stop, self.columns]
        if tokens:
            out.copy_(left == right.transpose(1, 2))
            return
        self.ways.get(key, FLOATS).into(left, right, out)


@dataclass(frozen=True)
class Singles:
    """Overlaps ‖σ(x)‖² of each item with itself: shape (n,)."""

    factors: StripFactors
    shape: tuple[int, ...]
    like: Tensor

    def into(self, key: tuple[int, int], first: int, stop: int, out: Tensor, tokens: bool) -> None:
        """Sums of squares."""
        if tokens:
            out.fill_(1.0)
            return
        part = self.factors[key][first:stop]
        # one pass in the run's own dtype: only powers of two are wanted of it
        out.copy_(torch.linalg.vector_norm(part, dim=2).square_())
