"""How the blocks of a collapse are added into its cells, as views where they lie on grids."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from gencheck.network.on_device import on_device
from gencheck.network.program import Batch
from gencheck.network.windows import Index
from gencheck.spectral.kernel.grid import Grid, common_grid


@dataclass(frozen=True)
class Layout:
    """How a batch's blocks lie.

    Attributes
    ----------
    grid
        Of `at` and `cells` (arrays 0 and 1), None where they lie on none.
    lead
        The grid's levels that tell cells apart; blocks along the others go to one cell.
    covers
        True where the blocks' cells are all the map's cells in order.
    even
        True where all blocks have as many units.
    totals
        Units of all blocks that go to each cell.
    """

    grid: Grid | None
    lead: int
    covers: bool
    even: bool
    totals: Index

    def starts_cells(self, batch: Batch) -> bool:
        """True where its blocks can be written into memory that holds nothing yet."""
        if not batch.columns:
            return self.covers and self.even and self.grid is not None and batch.carrier is not None
        return self.covers and (self.grid is not None or batch.carrier is None)


def layout_of(batch: Batch, cells: int) -> Layout:
    """How the blocks of a batch lie in a map of so many cells."""
    covers = np.array_equal(batch.cells, np.arange(cells))
    even = bool(batch.counts.min() == batch.width)
    totals = np.bincount(batch.cells, batch.counts, cells).astype(np.int64)
    grid = common_grid(batch.at, batch.cells)
    if grid is None:
        return Layout(None, 0, covers, even, totals)
    distinct = len(np.unique(batch.cells))
    lead = len(grid.sizes)
    while distinct < batch.blocks and lead and grid.strides[1][lead - 1] == 0:
        lead -= 1
    if prod(grid.sizes[:lead]) != distinct:
        return Layout(None, 0, covers, even, totals)
    return Layout(grid, lead, covers, even, totals)


@dataclass(frozen=True)
class CollapseStep:
    """One batch of a collapse, ready to be added."""

    key: tuple[int, int]
    batch: Batch
    layout: Layout
    carrier: Tensor | None
    scale: float

    def chunk(self, wanted: int) -> int:
        """How many blocks to take at one time: whole rows of the grid's outermost level."""
        row = 1 if self.layout.grid is None else prod(self.layout.grid.sizes[1:])
        return max(row, wanted // row * row)

    def add(self, first: int, stop: int, part: Tensor, out: Tensor, constant: float | None) -> None:
        """out(cell) += scale · carrier(at) ⊙ part, for the blocks from `first` to `stop`."""
        grid, lead = self.layout.grid, self.layout.lead
        if grid is None:
            self._add_by_index(first, stop, part, out)
            return
        inner = prod(grid.sizes[1:])
        rows = slice(first // inner, stop // inner)
        overlap = part.view(-1, *grid.sizes[1:], *part.shape[1:])
        target = grid.view(1, out, levels=lead)
        target = target[rows] if lead else target
        if lead < len(grid.sizes):
            if self.carrier is not None:
                overlap.mul_(grid.view(0, self.carrier)[rows])
            target.add_(overlap.sum(tuple(range(lead, len(grid.sizes)))), alpha=self.scale)
        elif self.carrier is None:
            target.add_(overlap, alpha=self.scale)
        else:
            before = target if constant is None else out.new_full((), constant)
            carrier = grid.view(0, self.carrier)[rows]
            torch.addcmul(before, carrier, overlap, value=self.scale, out=target)

    def _add_by_index(self, first: int, stop: int, part: Tensor, out: Tensor) -> None:
        at, cells = (
            on_device(index, part)[first:stop] for index in (self.batch.at, self.batch.cells)
        )
        if self.carrier is not None:
            part.mul_(self.carrier[at])
        out.index_add_(0, cells, part, alpha=self.scale)


def add_counts(step: CollapseStep, out: Tensor, constant: float | None) -> None:
    """Where every factor is 1 an overlap is the number of units.

    With a `constant`, `out` holds nothing yet and starts from it; see `Layout.starts_cells`.
    """
    batch, grid, lead = step.batch, step.layout.grid, step.layout.lead
    shape = (-1, *[1] * (out.ndim - 1))
    if step.carrier is None:
        totals = on_device(step.layout.totals, out, out.dtype)
        out.add_(totals.view(shape), alpha=step.scale)
    elif grid is not None and step.layout.even:
        carrier = grid.view(0, step.carrier)
        if lead < len(grid.sizes):
            carrier = carrier.sum(tuple(range(lead, len(grid.sizes))))
        target = grid.view(1, out, levels=lead)
        before = target if constant is None else out.new_full((), constant)
        torch.add(before, carrier, alpha=batch.width * step.scale, out=target)
    else:
        at, cells = (on_device(index, out) for index in (batch.at, batch.cells))
        counts = on_device(batch.counts, out, out.dtype).view(shape)
        out.index_add_(0, cells, step.carrier[at] * counts, alpha=step.scale)
