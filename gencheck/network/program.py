"""The path kernel as a program: maps over pairs of items, each made from those before it.

A *map* holds one number for each pair of items and each of its cells. There are two kinds:

    Collapse   a′(p) = Σ_blocks of cell p  a(at) · ⟨σ(x), σ(x′)⟩ + [bias]
    Slide      a′(r) = Σ_{p in window r}  a(p) + [bias]

The overlaps of the blocks are batched matrix products; sliding is a separable box filter. The last
map has one cell: the kernel. The same program read with explicit columns of features in place of
numbers enumerates the paths.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np

from gencheck.network.node import Shape
from gencheck.network.windows import Index, Windows


@dataclass(frozen=True)
class Origin:
    """Where paths come from: the units of a layer, in words.

    Attributes
    ----------
    label
        The layer, or what constant it is that paths start at.
    kind
        ``input``, ``layer`` or ``constant``.
    shape
        The shape in which a unit is counted.
    """

    label: str
    kind: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Column:
    """One factor of each unit: a plane of gates of a node, or the input's coordinates (node 0).

    Attributes
    ----------
    index
        Flat units of that node, −1 for a factor that is 0.
    """

    node: int
    plane: int
    index: Index


@dataclass(frozen=True, eq=False)
class Entry:
    """Units to be gathered, each with its carrier's cell and the cell that it goes to; see `Term`."""

    carrier: int | None
    at: Index
    cells: Index
    births: Index
    columns: tuple[Column, ...]
    origin: Origin
    repeat: int = 1
    vocabulary: int = 0

    @property
    def signature(self) -> Hashable:
        """Entries of one signature can be gathered as one."""
        columns = tuple((c.node, c.plane) for c in self.columns)
        return (self.carrier, self.origin, columns, self.repeat, self.vocabulary)


@dataclass(frozen=True, eq=False)
class Batch:
    """Blocks of `width` units each, so that all their overlaps are one batched product.

    Attributes
    ----------
    carrier
        The map that all blocks continue, or None for 1.
    at, cells
        The carrier's cell and the cell of the result, by block.
    columns
        With an index of shape (blocks, width). None of them: every factor is 1.
    births
        The flat unit of `origin` that each unit comes from, −1 where a block is shorter.
    repeat
        How many units of one and the same factor each unit stands for.
    vocabulary
        Where the one column holds tokens: how many there are. Each unit then stands for one unit a
        token, with the factor [the token stands here]: an overlap is [both tokens are equal].
    in_place
        True where the factors of an item lie side by side in what is kept of it, block after block at
        equal distances: they are read there, and nothing is copied.
    """

    carrier: int | None
    at: Index
    cells: Index
    columns: tuple[Column, ...]
    births: Index
    origin: Origin
    repeat: int = 1
    vocabulary: int = 0
    in_place: bool = False

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.cells)

    @property
    def width(self) -> int:
        """The number of units in one block, padding included."""
        return int(self.births.shape[1])

    @cached_property
    def after(self) -> dict[int, list[int]]:
        """The blocks that continue each of the carrier's cells."""
        blocks: dict[int, list[int]] = {}
        for block, cell in enumerate(self.at.tolist()):
            blocks.setdefault(cell, []).append(block)
        return blocks

    @property
    def counts(self) -> Index:
        """How many units each block really has."""
        counts: Index = (self.births >= 0).sum(1)
        return counts


@dataclass(frozen=True, eq=False)
class Collapse:
    """A map that gathers units; `bias` adds one path to every cell."""

    batches: tuple[Batch, ...]
    cells: int
    bias: bool
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The maps that it reads, once for each batch."""
        return tuple(b.carrier for b in self.batches if b.carrier is not None)


@dataclass(frozen=True, eq=False)
class Slide:
    """A map whose cell r of each group sums the source's cells in window r of that group."""

    source: int
    groups: int
    windows: Windows
    bias: bool
    label: str

    @property
    def cells(self) -> int:
        """Windows of all groups."""
        return self.groups * prod(self.windows.out)

    @property
    def sources(self) -> tuple[int, ...]:
        """The one map that it reads."""
        return (self.source,)

    @property
    def reads(self) -> Index:
        """The source's cells that each cell sums, −1 for none. Shape (cells, taps)."""
        within = self.windows.sources.T
        first = np.arange(self.groups)[:, None, None] * prod(self.windows.extent)
        return np.where(within < 0, -1, first + within).reshape(self.cells, -1)


Map: TypeAlias = Collapse | Slide


@dataclass(frozen=True)
class Program:
    """Maps in execution order; the last has one cell and is the path kernel."""

    maps: tuple[Map, ...]

    def batches(self) -> list[tuple[int, int, Batch]]:
        """Every batch with the positions of its map and of itself in it."""
        return [
            (m, b, batch)
            for m, made in enumerate(self.maps)
            if isinstance(made, Collapse)
            for b, batch in enumerate(made.batches)
        ]

    @cached_property
    def blocks_by_cell(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """The batches and blocks that go to each cell of each collapse, by map and cell."""
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for m, b, batch in self.batches():
            for block, cell in enumerate(batch.cells.tolist()):
                found.setdefault((m, cell), []).append((b, block))
        return found

    @property
    def flops_per_pair(self) -> int:
        """The floating-point operations of the overlaps: two for each unit and each pair."""
        return sum(2 * int(batch.counts.sum()) for _, _, batch in self.batches() if batch.columns)

    @property
    def factors_per_item(self) -> int:
        """The numbers that the factors of one item take, padding included."""
        return sum(b.blocks * b.width for _, _, b in self.batches() if b.columns)

    @property
    def copies_per_item(self) -> int:
        """Those of them that are copied out of what is kept of an item."""
        batches = [b for _, _, b in self.batches() if b.columns and not b.in_place]
        return sum(b.blocks * b.width for b in batches)

    @property
    def live_cells(self) -> int:
        """The most cells that are held at one time, with room for one map of overlaps."""
        last = {source: m for m, made in enumerate(self.maps) for source in made.sources}
        most = 0
        for m, made in enumerate(self.maps):
            held = [s for s, reader in last.items() if s < m <= reader]
            most = max(most, sum(self.maps[s].cells for s in held) + 2 * made.cells)
        return most


def channels_last(units: Index, width: int, channels: int) -> Index:
    """Where flat units of a tensor are kept, channels counted last; −1 stays."""
    positions = width // channels
    return np.where(units < 0, -1, units % positions * channels + units // positions)


def without_dead_blocks(program: Program) -> Program:
    """The program without blocks of cells that the kernel does not read.

    Where one token is read, only its row of the last attention is needed.
    """
    wanted = [np.zeros(made.cells, bool) for made in program.maps]
    wanted[-1][:] = True
    maps: list[Map] = list(program.maps)
    for m in reversed(range(len(maps))):
        node = maps[m]
        if isinstance(node, Slide):
            reads = node.reads[wanted[m]]
            wanted[node.source][reads[reads >= 0]] = True
            continue
        batches = [_of_blocks(b, np.flatnonzero(wanted[m][b.cells])) for b in node.batches]
        maps[m] = replace(node, batches=tuple(b for b in batches if b.blocks))
        for batch in batches:
            if batch.carrier is not None:
                wanted[batch.carrier][batch.at] = True
    return Program(tuple(maps))


def _of_blocks(batch: Batch, blocks: Index) -> Batch:
    if len(blocks) == batch.blocks:
        return batch
    columns = tuple(replace(c, index=c.index[blocks]) for c in batch.columns)
    return replace(
        batch,
        at=batch.at[blocks],
        cells=batch.cells[blocks],
        births=batch.births[blocks],
        columns=columns,
    )
