"""Paths as products of columns: one column of a block's factors for each collapse that is passed."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import Batch, Collapse, Program, Slide
from gencheck.spectral.kernel.factors import FactorReader, Factors

BIAS = -1


@dataclass(frozen=True)
class Step:
    """Unit `unit` of block `block` of batch `batch` in map `map`.

    The batch BIAS is the map's own bias path, with the cell as its block.
    """

    map: int
    batch: int
    block: int
    unit: int


# From the output back to where the path starts.
Path: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Columns:
    """A block's factors with equal columns merged and zero columns dropped.

    Attributes
    ----------
    values
        Shape (n, C'), one column for each distinct nonzero one.
    units
        For each, the first unit of the block that has it.
    """

    values: Tensor
    units: Tensor


class PathSpace:
    """The paths of a network on some items, addressed by steps; merged where they cannot differ."""

    def __init__(self, program: Program, factors: Factors, rows: Tensor) -> None:
        self.program = program
        self.reader: FactorReader = factors.reader(rows)
        self.like = factors.items
        self.count = len(rows)
        self._columns: dict[tuple[int, int, int], Columns] = {}
        self._counts: dict[tuple[int, int], int] = {}

    @property
    def last(self) -> int:
        """The position of the map that is the kernel itself."""
        return len(self.program.maps) - 1

    def blocks(self, at_map: int, cell: int) -> list[tuple[int, Batch, int]]:
        """The blocks that a collapse gathers into a cell: position of the batch, batch, block."""
        node = self.program.maps[at_map]
        assert isinstance(node, Collapse)
        return [
            (b, node.batches[b], j) for b, j in self.program.blocks_by_cell.get((at_map, cell), [])
        ]

    def columns(self, at_map: int, batch: int, block: int) -> Columns:
        """The merged columns of one block."""
        key = (at_map, batch, block)
        if key not in self._columns:
            node = self.program.maps[at_map]
            assert isinstance(node, Collapse)
            self._columns[key] = self._merged_block(node.batches[batch], block)
        return self._columns[key]

    def _merged_block(self, batch: Batch, block: int) -> Columns:
        if not batch.vocabulary:
            return _merged(self.reader.block(batch, block))
        # a unit is a token: those that stand there in no item have a column of zeros
        tokens = self.reader.block(batch, block)[:, 0]
        distinct = tokens.unique()
        values = (tokens[:, None] == distinct).to(self.like.dtype)
        return Columns(values, distinct.long().cpu())

    def path_count(self, at_map: int | None = None, cell: int = 0) -> int:
        """The number of distinct paths that reach a cell of a map, by default the kernel."""
        at_map = self.last if at_map is None else at_map
        if (at_map, cell) not in self._counts:
            node = self.program.maps[at_map]
            total = int(node.bias)
            if isinstance(node, Slide):
                total += sum(self.path_count(node.source, p) for p in _read_by(node, cell))
            else:
                for b, batch, j in self.blocks(at_map, cell):
                    at = int(batch.at[j])
                    before = 1 if batch.carrier is None else self.path_count(batch.carrier, at)
                    total += before * len(self.columns(at_map, b, j).units)
            self._counts[at_map, cell] = total
        return self._counts[at_map, cell]

    def ones(self) -> Tensor:
        """The column of a bias path, shape (n, 1)."""
        return self.like.new_ones((self.count, 1))

    def column(self, step: Step) -> Tensor:
        """The factor column of one step, shape (n,)."""
        if step.batch == BIAS:
            return self.ones()[:, 0]
        columns = self.columns(step.map, step.batch, step.block)
        at = int((columns.units == step.unit).nonzero()[0, 0])
        return columns.values[:, at]

    def feature(self, path: Path) -> Tensor:
        """z_p for every item, shape (n,)."""
        product = self.ones()[:, 0]
        for step in path:
            product = product * self.column(step)
        return product

    def distinct_inputs(self) -> Tensor:
        """The distinct nonzero input coordinates as columns, shape (n, s)."""
        return _merged(self.reader.items).values


def _read_by(node: Slide, cell: int) -> list[int]:
    reads = node.reads[cell]
    return [int(p) for p in reads if p >= 0]


def unmerged_path_count(program: Program) -> float:
    """How many paths there are before any are merged; infinite past the range of floats."""
    counts: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    with np.errstate(over="ignore"):
        for node in program.maps:
            total = np.full(node.cells, float(node.bias))
            if isinstance(node, Slide):
                padded = np.append(counts[node.source], 0.0)
                total += padded[node.reads].sum(1)
            else:
                for batch in node.batches:
                    before = 1.0 if batch.carrier is None else counts[batch.carrier][batch.at]
                    np.add.at(
                        total,
                        batch.cells,
                        before * batch.counts * (batch.vocabulary or batch.repeat),
                    )
            counts.append(total)
    return float(counts[-1][0])


def _merged(factor: Tensor) -> Columns:
    if factor.shape[0] == 0:
        return Columns(factor[:, :0], torch.zeros(0, dtype=torch.long))
    # + 0.0 turns −0.0 into 0.0, so that equal columns have equal bytes
    rows = np.ascontiguousarray((factor.T + 0.0).cpu().numpy())
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    alive = first[(rows[first] != 0).any(1)]
    units = torch.from_numpy(alive)
    return Columns(factor[:, units.to(factor.device)].contiguous(), units)


def describe_path(path: Path, program: Program) -> list[str]:
    """A path in words, from its start to the last hidden unit: ``input[3, 5]``, ``layer fc1 unit 17``."""
    return [_step_in_words(step, program) for step in reversed(path)]


def _step_in_words(step: Step, program: Program) -> str:
    node = program.maps[step.map]
    if step.batch == BIAS or not isinstance(node, Collapse):
        return f"bias of layer {node.label}"
    batch = node.batches[step.batch]
    if batch.vocabulary:
        first = int(batch.births[step.block, 0])
        at = [int(i) for i in np.unravel_index(first, batch.origin.shape)]
        return f"token {step.unit} at input[{', '.join(map(str, at))}]"
    live = batch.births[step.block][batch.births[step.block] >= 0]
    shape = batch.origin.shape
    place = [int(i) for i in np.unravel_index(int(live[step.unit]), shape)]
    unit = str(place[0]) if len(place) == 1 else str(place)
    if batch.origin.kind == "input":
        return f"input[{', '.join(map(str, place))}]"
    if batch.origin.kind == "constant":
        return f"{batch.origin.label} unit {unit}"
    return f"layer {batch.origin.label} unit {unit}"
