"""Programs whose maps have one cell, as dense networks' have: one pass over memory a block of pairs.

Map by map, each overlap, product and sum would be written and read again; together they take longer
than the products of coordinates in 8-bit integers. Here those products are formed first, and the
rest, with the counting of shared gates, is done for a few hundred pairs at a time in a cache.
"""

from dataclasses import dataclass
from functools import cached_property
from threading import local

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencheck.network.program import Batch, Collapse, Program
from gencheck.spectral.kernel.overlaps import (
    FLOATS,
    CountedBits,
    Int8Levels,
    Levels,
    Ways,
    int8_product,
)
from gencheck.spectral.kernel.strip_factors import StripFactors

Key = tuple[int, int]


def is_one_cell_wide(program: Program) -> bool:
    """True where every map is one number for a pair, gathered from single blocks."""
    return all(
        isinstance(m, Collapse) and m.cells == 1 and m.batches for m in program.maps
    ) and all(batch.blocks == 1 and not batch.vocabulary for _, _, batch in program.batches())


@dataclass(frozen=True)
class FusedFactors:
    """The factors of a strip of items.

    Attributes
    ----------
    words
        Those of all batches whose bits are counted, side by side: shape (n, words).
    others
        Those of the other batches, as their ways read them: shape (n, …).
    shifts
        For each product of whole coordinates the part of each item in it (`Levels.shift`), shape
        (products, n).
    """

    words: NDArray[np.uint64]
    others: dict[Key, Tensor]
    shifts: NDArray[np.int32]


class FusedPass:
    """Fills blocks of the kernel in one pass, on the calling thread of the CPU, in float32.

    Parameters
    ----------
    exponents
        The power of two left out of each map.
    ways
        How overlaps are formed; bits are counted in the pass itself. They are read when it is first
        used.
    """

    def __init__(self, program: Program, exponents: list[int], ways: Ways) -> None:
        self.program, self.exponents, self.ways = program, exponents, ways
        self._memory = local()

    @cached_property
    def _levels(self) -> dict[Key, Levels]:
        """The batches of whole coordinates, whose products stay integers until the pass."""
        return {key: way.levels for key, way in self.ways.items() if isinstance(way, Int8Levels)}

    @cached_property
    def _counted(self) -> list[Key]:
        """The batches whose bits are counted."""
        return [key for key, way in self.ways.items() if isinstance(way, CountedBits)]

    @cached_property
    def _products(self) -> list[Key]:
        """The batches whose overlaps are formed before, in floats."""
        apart = {*self._levels, *self._counted}
        keys = ((m, b) for m, b, batch in self.program.batches() if batch.columns)
        return [key for key in keys if key not in apart]

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """A row for each batch, and its numbers, as the loops read them."""
        from gencheck.spectral.kernel.bits.shared import word_count
        from gencheck.spectral.kernel.fused_loops import BITS, COUNT, PRODUCT, WHOLE

        places: dict[Key, tuple[int, int, int]] = {}
        for kind, keys in ((WHOLE, self._levels), (PRODUCT, self._products)):
            places |= {key: (kind, at, 0) for at, key in enumerate(keys)}
        first = 0
        for m, b in self._counted:
            stop = first + word_count(self._batch(m, b).width)
            places[m, b] = (BITS, first, stop)
            first = stop
        table, numbers = [], []
        for m, b, batch in self.program.batches():
            kind, at, stop = places.get((m, b), (COUNT, 0, 0))
            source = -1 if batch.carrier is None else batch.carrier
            base = 0 if batch.carrier is None else self.exponents[batch.carrier]
            one = 2.0 ** -self.exponents[m] if self.program.maps[m].bias else 0.0
            scale = 2.0 ** (base - self.exponents[m]) * batch.repeat
            table.append((kind, m, source, b == 0, at, stop))
            numbers.append((scale, one, int(batch.counts.sum())))
        return np.array(table, np.int64), np.array(numbers, np.float32)

    def _batch(self, position: int, number: int) -> Batch:
        node = self.program.maps[position]
        assert isinstance(node, Collapse)
        return node.batches[number]

    def prepared(self, factors: StripFactors) -> FusedFactors:
        """A strip's factors as the pass reads them."""
        made = {key: own[0] for key, own in factors.items()}
        count = len(next(iter(made.values())))
        words = [made.pop(key).numpy().view(np.uint64) for key in self._counted]
        shifts = [levels.shift(made[key]).numpy() for key, levels in self._levels.items()]
        return FusedFactors(
            np.concatenate([np.empty((count, 0), np.uint64), *words], 1),
            made,
            np.array(shifts, np.int32).reshape(-1, count),
        )

    def fill(
        self, left: FusedFactors, rows: slice, right: FusedFactors, columns: slice, out: Tensor
    ) -> None:
        """The kernel between `rows` of one strip and `columns` of another, into `out`."""
        # only here, so that those who have no such maps need no compiler
        from gencheck.spectral.kernel.fused_loops import fill_fused

        wholes = self._space(len(self._levels), out, torch.int32)
        for key, space in zip(self._levels, wholes, strict=True):
            int8_product(left.others[key][rows], right.others[key][columns], space)
        products = self._space(len(self._products), out, out.dtype)
        for key, space in zip(self._products, products, strict=True):
            own, other = left.others[key][None, rows], right.others[key][None, columns]
            self.ways.get(key, FLOATS).into(own, other, space[None])
        shifts = (left.shifts[:, rows].copy(), right.shifts[:, columns].copy())
        factors = np.array([1 / levels.scale**2 for levels in self._levels.values()], np.float32)
        words = (left.words[rows], np.ascontiguousarray(right.words[columns].T))
        result = out if out.is_contiguous() else torch.empty_like(out).contiguous()
        whole = (wholes.numpy(), *shifts, factors)
        fill_fused(self._table, words, whole, products.numpy(), result.numpy())
        if result is not out:
            out.copy_(result)

    def _space(self, count: int, out: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory for `count` blocks of overlaps, each thread's own and kept for the next."""
        # fresh memory would be handed out page by page
        kept: dict[str, Tensor] = self._memory.__dict__
        size, name = count * out.numel(), str(dtype)
        if name not in kept or len(kept[name]) < size:
            kept[name] = torch.empty(size, dtype=dtype)
        return kept[name][:size].view(count, *out.shape)
