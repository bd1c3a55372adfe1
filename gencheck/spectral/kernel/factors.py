"""What each item contributes to the path kernel: its coordinates and its gates, kept compact."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from gencheck.network.algebra import gated_logits, logits
from gencheck.network.computed import Computed
from gencheck.network.ir import Clamp, Gate, MaxPool, Network
from gencheck.network.on_device import on_device
from gencheck.network.planes import GatedNode, Planes
from gencheck.network.program import Batch, Column
from gencheck.network.scaled import Scaled, Unscaled, rescaled
from gencheck.network.windows import Index
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.grid import Grid, common_grid
from gencheck.spectral.kernel.plane import Plane, packed
from gencheck.spectral.ranks import ALONE, Ranks, dealt

# Entries of the largest tensor of one forward pass: on a CPU so few that a layer's values are still in
# its caches when the next layer reads them.
_PASS_ENTRIES = {"cpu": 2**21, "cuda": 2**25}


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


def _channels_last(tensor: Tensor) -> Tensor:
    """Flat units of (N, channels, …) with the channels of a position side by side."""
    return tensor.movedim(1, -1).flatten(1)


def _slope(node: GatedNode, like: Tensor) -> Tensor | None:
    if not isinstance(node, Gate) or node.slope is None or not node.leaks:
        return None
    slope = on_device(node.slope, like, like.dtype)
    return _channels_last(slope.expand(node.shape)[None])[0]


def forward(
    network: Network,
    items: Tensor,
    batch_size: int,
    progress: Progress = SILENT,
    folder: Path | None = None,
    gates: Network | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Factors, Tensor]:
    """The factors of `items` and the network's outputs on them, in batches.

    Parameters
    ----------
    items
        Shape (N, *input_shape), on the run's device and in its dtype.
    batch_size
        The most items of one pass; wide networks take fewer at a time.
    folder
        Where the packed gates are kept in files that are mapped into memory; by default they are
        kept in memory itself.
    gates
        The network of the same structure that decides the gates; by default `network` itself.
    ranks
        Who passes which batches; each ends with all gates.

    Returns
    -------
    factors, outputs
        Outputs in float64, shape (N, K), on the CPU; infinite where a logit overflows float64.
    """
    step = max(1, min(batch_size, pass_entries(items.device.type) // widest_pass(network)))
    passes = _Passes(network, gates, items, folder)
    parts = _parts(len(items), step, ranks)
    own = parts[ranks.number]
    progress.start("gates", own.stop - own.start, "items")
    for start in range(own.start, own.stop, step):
        rows = slice(start, min(start + step, own.stop))
        passes.take(rows)
        if items.device.type == "cpu" or start == own.start or rows.stop == own.stop:
            # a device comes to rest for this: after the first pass and after the last
            passes.repeat()
        progress.advance(rows.stop - rows.start)
    outputs, planes = passes.outputs.cpu(), passes.planes
    if own.stop - own.start < len(items):
        for whole in (outputs, *(planes[key].stored for key in sorted(planes))):
            ranks.completed(whole, parts)
    progress.finish()
    return Factors(items.reshape(len(items), -1), planes), outputs


class _Passes:
    """Forward passes of batches, and what they leave."""

    def __init__(
        self, network: Network, gates: Network | None, items: Tensor, folder: Path | None
    ) -> None:
        self.network, self.gates, self.items, self.folder = network, gates, items, folder
        shape = (len(items), network.output_count)
        self.outputs = items.new_empty(shape, dtype=torch.float64)
        self.planes: dict[tuple[int, int], Plane] = {}
        self._watched: list[tuple[slice, Tensor]] = []
        self._rescaling = False

    def take(self, rows: slice) -> None:
        """Pass some items; on a device nothing is read back."""
        if self._rescaling:
            self._keep(rows, rescaled)
            return
        watch = Unscaled(self.items)
        self._keep(rows, watch)
        self._watched.append((rows, watch.left))

    def repeat(self) -> None:
        """Pass the items again whose values left the range; from then on all are rescaled."""
        if not self._watched:
            return
        left = torch.stack([flag for _, flag in self._watched]).tolist()
        for (rows, _), again in zip(self._watched, left, strict=True):
            if again:
                self._rescaling = True
                self._keep(rows, rescaled)
        self._watched.clear()

    def _keep(self, rows: slice, rescale: Callable[[Tensor, int], Scaled]) -> None:
        outputs, planes = outputs_and_planes(self.network, self.gates, self.items[rows], rescale)
        self.outputs[rows] = outputs.wide()
        for position, made in planes.items():
            for plane, values in enumerate(made):
                flat = _channels_last(values)
                stored = packed(flat) if flat.dtype == torch.bool else flat
                key = (position, plane)
                if key not in self.planes:
                    name = f"{position}-{plane}"
                    space = _space(stored, len(self.items), self.folder, name)
                    slope = _slope(_gated(self.network, position), self.items)
                    self.planes[key] = Plane(space, flat.shape[1], values.shape[1], slope)
                self.planes[key].stored[rows] = stored


def _parts(count: int, step: int, ranks: Ranks) -> list[slice]:
    """The items of each rank, in whole batches; all of them on every rank where batches are too few."""
    batches = -(-count // step)
    if batches < ranks.size:
        return [slice(0, count)] * ranks.size
    return [
        slice(part.start * step, min(part.stop * step, count))
        for part in dealt(batches, ranks.size)
    ]


def outputs_and_planes(
    network: Network,
    gates: Network | None,
    items: Tensor,
    rescale: Callable[[Tensor, int], Scaled] = rescaled,
) -> tuple[Scaled, dict[int, Planes]]:
    """z·w and the planes of gates, decided by `network` itself or by `gates`."""
    if gates is None:
        return logits(network, items, rescale)
    _, planes = logits(gates, items, rescale)
    return gated_logits(network, items, planes, rescale), planes


def _space(like: Tensor, count: int, folder: Path | None, name: str) -> Tensor:
    """Room for a plane of `count` items."""
    shape = (count, like.shape[1])
    if folder is None or like.device.type != "cpu" or like.shape[1] == 0:
        return like.new_empty(shape)
    path = folder / f"gates-{name}.bin"
    size = shape[0] * shape[1]
    flat = torch.from_file(str(path), shared=True, size=size, dtype=like.dtype)
    return flat.view(shape)


def pass_entries(device: str) -> int:
    """The entries that the largest tensor of one forward pass may have on a kind of device."""
    return _PASS_ENTRIES[device]


def widest_pass(network: Network) -> int:
    """The entries of the largest tensor of one item's forward pass."""
    widths = list(network.widths)
    for position, node in enumerate(network.nodes):
        if isinstance(node, MaxPool):
            widths.append(network.widths[position] * node.planes * 2)
    return max(widths)


def _gated(network: Network, position: int) -> GatedNode:
    node = network.nodes[position]
    assert isinstance(node, Gate | Clamp | MaxPool | Computed)
    return node
