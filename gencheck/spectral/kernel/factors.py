"""What each item contributes to the path kernel: its coordinates and its gates, kept compact."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gencheck.network.on_device import on_device
from gencheck.network.program import Batch, Column
from gencheck.network.windows import Index
from gencheck.spectral.kernel.grid import Grid, common_grid
from gencheck.spectral.kernel.plane import Plane


@dataclass(frozen=True)
class Factors:
    """Coordinates and gates of N items, from which the factors of any batch follow.

    Attributes
    ----------
    items
        Shape (N, d), floating point: the input coordinates; its dtype and device are the run's.
    planes
        By position of the node and number of the plane.
    placed
        Where each column's units are stored and the grid that they lie on, found when first read.
    stands_for
        In a plan, the number of items that these few stand for: what is worth its while for so many is
        done for these too.
    """

    items: Tensor
    planes: dict[tuple[int, int], Plane]
    placed: dict[Column, tuple[Index, Grid | None]] = field(default_factory=dict, repr=False)
    stands_for: int | None = None

    @property
    def count(self) -> int:
        """The number N of items."""
        return len(self.items)

    @property
    def decisive_count(self) -> int:
        """The number of items by which it is decided what is worth its while."""
        return self.count if self.stands_for is None else self.stands_for

    @property
    def nbytes(self) -> int:
        """The memory that the factors take, in bytes."""
        stored = (self.items, *(plane.stored for plane in self.planes.values()))
        return sum(t.numel() * t.element_size() for t in stored)

    def taken(self, rows: Tensor) -> "Factors":
        """The factors of some items alone."""
        planes = {
            key: replace(plane, stored=plane.stored[rows.to(plane.stored.device)])
            for key, plane in self.planes.items()
        }
        own = self.items[rows.to(self.items.device)]
        return Factors(own, planes, self.placed, self.stands_for)

    def reader(self, rows: slice | Tensor) -> "FactorReader":
        """What makes the factors of batches for some of the items."""
        return FactorReader(self, rows)


class FactorReader:
    """The factors of batches for some items; each plane is unpacked once and kept."""

    def __init__(self, factors: Factors, rows: slice | Tensor) -> None:
        self.factors, self.rows = factors, rows
        self.items = factors.items[rows]
        self.unpacked: dict[tuple[int, int], Tensor] = {(0, 0): self.items}

    def _plane(self, column: Column) -> Tensor:
        key = (column.node, column.plane)
        if key not in self.unpacked:
            self.unpacked[key] = self.factors.planes[key].values(self.rows)
        return self.unpacked[key]

    def _place(self, column: Column) -> tuple[Index, Grid | None]:
        placed = self.factors.placed
        if column not in placed:
            index = column.index
            if column.node:
                index = self.factors.planes[column.node, column.plane].places(index)
            placed[column] = (index, common_grid(index.ravel()))
        return placed[column]

    def _values(self, column: Column) -> Tensor:
        """The units of a column, shape (n, blocks, width of a block)."""
        values, (index, grid) = self._plane(column), self._place(column)
        shape = (len(values), *index.shape)
        if grid is not None:
            return grid.view(0, values, axis=1).reshape(shape)
        flat = on_device(index, values).flatten()
        if bool((index < 0).any()):
            values = torch.nn.functional.pad(values, (0, 1))
            flat = torch.where(flat < 0, values.shape[1] - 1, flat)
        return values.index_select(1, flat).view(shape)

    def batch(self, batch: Batch) -> Tensor:
        """The factors of all its blocks, shape (blocks, n, width), in the run's dtype."""
        if not batch.columns:
            return self.items.new_ones((batch.blocks, len(self.items), batch.width))
        product = self._values(batch.columns[0])
        for column in batch.columns[1:]:
            product = product * self._values(column)
        product = product.to(self.items.dtype)
        # items stay outermost in memory: a strided product is as fast, a transposed copy is not
        whole = product if batch.in_place else product.contiguous()
        return whole.transpose(0, 1)

    def binary(self, batch: Batch) -> Tensor:
        """The factors of a batch of binary planes, as booleans of shape (n, blocks, width)."""
        product = self._values(batch.columns[0])
        for column in batch.columns[1:]:
            product = product & self._values(column)
        return product

    def blocks(self, batch: Batch, blocks: list[int]) -> Tensor:
        """The factors of some of its blocks, shape (len(blocks), n, width), with their padding."""
        product = self.items.new_ones((len(self.items), len(blocks), batch.width))
        for column in batch.columns:
            # padding takes any unit
            index = torch.from_numpy(self._place(column)[0][blocks].clip(0)).to(product.device)
            product = product * self._plane(column)[:, index]
        return product.transpose(0, 1)

    def block(self, batch: Batch, block: int) -> Tensor:
        """The factors of one block, shape (n, units), without its padding."""
        live = batch.births[block] >= 0
        product = self.items.new_ones((len(self.items), int(live.sum())))
        for column in batch.columns:
            index = torch.from_numpy(self._place(column)[0][block, live]).to(product.device)
            product = product * self._plane(column)[:, index]
        return product
