"""How items are cut below the tiles of a Gram matrix: into strips of factors and steps of maps."""

from dataclasses import dataclass, replace
from math import isqrt

import torch

from gencheck.network.program import Program

# Bytes of the maps that one step of the matrix products holds: a share of a last-level cache.
_MAP_BYTES = 2**24

# The fewest rows that a matrix product is worth starting for.
_LEAST_ROWS = 16

# Steps divide tiles where they can, so that none is a narrow rest: they may pass their share of the cache
# by this factor for it.
_ROUNDING = 1.2

# Strips of fewer steps are not worth being unpacked as a whole.
_PAYING_STEPS = 3

# Rows and columns that are counted between two looks at the progress and at an interrupt.
_BIT_STEP = 128

# Smaller tiles are not worth being shared by threads.
_LEAST_PARTED = 256

# Bytes of unpacked factors that are kept by default.
FACTOR_BYTES = 2**30


@dataclass(frozen=True)
class Cuts:
    """How the items are cut below the tiles.

    Attributes
    ----------
    step
        Rows and columns that are computed at one time.
    strip
        Items whose factors are unpacked together.
    kept
        Strips that are kept.
    passing
        True where the factors of a strip are too many to be held: they are made batch by batch.
    strip_bytes
        What the factors of one strip take.
    """

    step: int
    strip: int
    kept: int
    passing: bool
    strip_bytes: int

    def keeping(self, amount: int) -> "Cuts":
        """The same cuts, with as many strips kept as take `amount` bytes; four at least."""
        return replace(self, kept=max(4, amount // max(1, self.strip_bytes)))

    def parted(self, tile: int) -> "Cuts":
        """The same cuts, with several steps a tile where one would be a whole one and not small."""
        whole = self.step == tile >= _LEAST_PARTED and tile % 2 == 0
        return replace(self, step=tile // 2) if whole else self


def matrix_cuts(
    program: Program,
    dtype: torch.dtype,
    tile: int,
    factor_bytes: int,
    copied: bool = False,
) -> Cuts:
    """Steps whose maps fit into a cache, and strips whose factors fit into `factor_bytes`.

    With `copied`, also what could be read in place is copied, since it is kept in another dtype.

    Where strips would be too short for their unpacking to pay, factors are made in passing, and the
    steps are as large as maps in main memory allow.
    """

    def side(amount: int) -> int:
        rows = isqrt(int(_ROUNDING**2 * amount) // (program.live_cells * dtype.itemsize))
        rows = min(tile, max(_LEAST_ROWS, rows))
        whole = (size for size in range(rows, rows // 2, -1) if tile % size == 0)
        return next(whole, rows)

    step = side(_MAP_BYTES)
    factors = program.factors_per_item if copied else program.copies_per_item
    each = max(1, factors * dtype.itemsize)
    # four strips at least, so that rows stay while columns change
    strip = min(tile, factor_bytes // (4 * each)) // step * step
    if strip >= min(tile, _PAYING_STEPS * step):
        return Cuts(step, strip, factor_bytes // (strip * each), False, strip * each)
    large = side(max(_MAP_BYTES, factor_bytes // 4))
    widest = max((b.blocks * b.width for _, _, b in program.batches()), default=1)
    return Cuts(large, large, 4, True, large * 2 * widest * dtype.itemsize)


def bit_cuts(program: Program, dtype: torch.dtype, tile: int, factor_bytes: int) -> Cuts:
    """Strips whose words fit into `factor_bytes`; a word is never larger than twice its bits."""
    bits = sum(b.blocks * max(8, 2 * b.width) for _, _, b in program.batches() if b.columns)
    inputs = sum(
        b.blocks * b.width * dtype.itemsize
        for _, _, b in program.batches()
        if any(column.node == 0 for column in b.columns)
    )
    each = max(1, bits // 8 + inputs)
    step = min(tile, _BIT_STEP)
    strip = max(_LEAST_ROWS, min(tile, factor_bytes // (4 * each)))
    return Cuts(
        min(step, strip), strip, max(4, factor_bytes // (strip * each)), False, strip * each
    )
