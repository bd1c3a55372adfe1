"""Which batches of a program have few factors a block, and what calls the loops for them."""

from functools import partial

import numpy as np
from torch import Tensor

from gencheck.network.program import Batch, Program
from gencheck.network.windows import Index
from gencheck.spectral.kernel.threads import in_parts

# Blocks of more factors than this are left to matrix products.
_WIDEST = 16

# Fewer blocks a cell than this are left to them too: there is no sum to keep from memory, and on a
# convolution with a single block a cell the loops take more than twice as long.
_FEWEST_BLOCKS = 2

# The work of narrow batches, in floating-point operations, below which compiling loops takes longer.
_PAYING_FLOPS = 2e10

Key = tuple[int, int]


def narrow_batches(program: Program) -> dict[Key, Batch]:
    """Batches of few factors a block and several blocks a cell that continue a map, by map and batch."""
    return {
        (m, b): batch
        for m, b, batch in program.batches()
        if batch.columns
        and batch.carrier is not None
        and batch.width <= _WIDEST
        and batch.blocks >= _FEWEST_BLOCKS * len(np.unique(batch.cells))
        and not batch.vocabulary
    }


def narrow_pays(program: Program, items: int) -> bool:
    """True where so much of the work is in narrow batches that loops are worth being compiled."""
    units = sum(batch.blocks * batch.width for batch in narrow_batches(program).values())
    return units * items * (items + 1.0) >= _PAYING_FLOPS


class NarrowLoops:
    """Adds narrow batches to maps by compiled loops on the CPU."""

    def __init__(self, program: Program) -> None:
        # only here, so that those who have no such batches need no compiler
        from gencheck.spectral.kernel.narrow_loops import LANES, add_narrow

        self._loops, self._lanes = add_narrow, LANES
        self._blocks = {key: _grouped(batch) for key, batch in narrow_batches(program).items()}

    def suits(self, key: Key, carrier: Tensor, out: Tensor) -> bool:
        """True where the loops can add a batch to `out`, a map over pairs."""
        return key in self._blocks and out.is_contiguous() and carrier.is_contiguous()

    def covers(self, key: Key, cells: int) -> bool:
        """True where a batch has blocks for every cell of a map of so many."""
        return len(self._blocks[key][2]) == cells

    def add(
        self,
        key: Key,
        factors: tuple[Tensor, Tensor],
        scale: float,
        carrier: Tensor,
        before: float | None,
        out: Tensor,
    ) -> None:
        """Out += scale · Σ_blocks carrier(at) ⊙ overlap, with factors of shape (blocks, n, width).

        With a number `before`, `out` holds nothing yet and starts from it.
        """
        width = factors[0].shape[2]
        # contiguous, so that the loops are compiled for one layout
        left, right = (part.transpose(0, 1).flatten(1).contiguous().numpy() for part in factors)
        target = out.numpy()
        real, blocks, fresh = target.dtype.type, self._blocks[key], before is not None
        numbers = (real(scale), real(before or 0.0), fresh)
        arrays = ((left, right, width), blocks, carrier.numpy(), numbers, target)
        in_parts(-(-target.shape[2] // self._lanes), partial(self._loops, *arrays))


def _grouped(batch: Batch) -> tuple[Index, Index, Index]:
    """The carrier's cell of each block, where groups of blocks of one cell start, and their cells."""
    starts = np.flatnonzero(np.r_[True, np.diff(batch.cells) != 0])
    firsts = np.r_[starts, batch.blocks].astype(np.int64)
    at, cells = (np.ascontiguousarray(i, np.int64) for i in (batch.at, batch.cells[starts]))
    return at, firsts, cells
