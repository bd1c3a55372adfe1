"""The processes that share one run: what they must exchange, and what one process does instead.

Sums of floats depend on their order. So that every figure has the same bits on any number of ranks,
work is cut into a fixed number of *lanes*, each is summed in its own order by whoever holds it, and
the lanes are added in theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

# Divisible by 2, 3, 4, 6, 8 and 12, so that so many ranks have equally many lanes.
LANES = 24


class Ranks(Protocol):
    """The processes of one run, as one of them sees them.

    Attributes
    ----------
    number, size
        Which of how many it is.
    neighbours
        How many of them share its machine's memory.
    """

    number: int
    size: int
    neighbours: int

    def share(self, count: int) -> range:
        """Which of `count` things in a row are this rank's."""
        ...

    def summed(self, count: int, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """Σ_l make(l) over `count` lanes in their order, each made by the rank that it is dealt to.

        On every rank the same bits, of the shape and dtype of `like`.
        """
        ...

    def joined(self, part: Tensor) -> Tensor:
        """The sum of tensors of which each entry is 0 on all ranks but one; on every rank."""
        ...

    def completed(self, whole: Tensor, parts: Sequence[slice]) -> None:
        """Fill in the rows of `whole` that the other ranks hold: rank r those of ``parts[r]``."""
        ...

    def require_agreement(self, facts: Mapping[str, str]) -> None:
        """Do nothing where all ranks have the same `facts`; else an `InputError` on every rank."""
        ...


class Alone:
    """One process: every lane is its own."""

    number, size, neighbours = 0, 1, 1

    def share(self, count: int) -> range:
        """All of them."""
        return range(count)

    def summed(self, count: int, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """The same order of additions as on many ranks."""
        total = make(0) if count else torch.zeros_like(like)
        for lane in range(1, count):
            total += make(lane)
        return total

    def joined(self, part: Tensor) -> Tensor:
        """There is nothing to add."""
        return part

    def completed(self, whole: Tensor, parts: Sequence[slice]) -> None:
        """Nothing is missing."""

    def require_agreement(self, facts: Mapping[str, str]) -> None:
        """There is nobody to differ from."""


ALONE = Alone()


def dealt(count: int, size: int) -> list[range]:
    """`count` things dealt to `size` ranks, as evenly as can be, each rank's in a row."""
    ends = [count * number // size for number in range(size + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]
