"""What operations on one pair are collected in: their table, and places for maps in one array."""

from dataclasses import dataclass, field

import numpy as np

from gencheck.network.program import Program
from gencheck.network.windows import Index
from gencheck.spectral.kernel.bits.plan import (
    AT_INDEX,
    AT_MODE,
    BY_INDEX,
    CELL_INDEX,
    CELL_MODE,
    COUNT,
    DEPTH,
    DILATION,
    FRESH,
    IN_ORDER,
    INNER,
    KERNEL,
    KIND,
    OFFSET,
    OUTER,
    PADDING,
    READ,
    ROW_READ,
    ROW_WRITTEN,
    SINGLE,
    SOURCE,
    STRIDE,
    TARGET,
    WIDEST,
    WORD,
    WRITTEN,
)


@dataclass
class Table:
    """Operations collected, with the indices that they refer to."""

    rows: list[dict[int, int]] = field(default_factory=list)
    numbers: list[tuple[float, float]] = field(default_factory=list)
    index: list[Index] = field(default_factory=list)
    indexed: int = 0

    def add(self, scale: float, constant: float, **columns: int) -> None:
        """Append one operation."""
        self.rows.append({COLUMNS[name]: value for name, value in columns.items()})
        self.numbers.append((scale, constant))

    def mode(self, cells: Index, available: int) -> tuple[int, int]:
        """How the cells lie, and the offset of their index where one is needed."""
        if in_order(cells):
            return IN_ORDER, 0
        if available == 1:
            return SINGLE, 0
        self.index.append(cells)
        self.indexed += len(cells)
        return BY_INDEX, self.indexed - len(cells)


def in_order(cells: Index) -> bool:
    """True where the cells are the first ones, one after the other."""
    return np.array_equal(cells, np.arange(len(cells)))


COLUMNS = {
    "kind": KIND,
    "target": TARGET,
    "source": SOURCE,
    "count": COUNT,
    "word": WORD,
    "offset": OFFSET,
    "depth": DEPTH,
    "at_mode": AT_MODE,
    "at_index": AT_INDEX,
    "cell_mode": CELL_MODE,
    "cell_index": CELL_INDEX,
    "outer": OUTER,
    "read": READ,
    "written": WRITTEN,
    "inner": INNER,
    "kernel": KERNEL,
    "stride": STRIDE,
    "padding": PADDING,
    "dilation": DILATION,
    "row_read": ROW_READ,
    "row_written": ROW_WRITTEN,
    "fresh": FRESH,
}


class Slots:
    """Places for maps in one scratch array, given back after their last reader."""

    def __init__(self, program: Program) -> None:
        self.last = {s: m for m, node in enumerate(program.maps) for s in node.sources}
        self.program = program
        self.at: dict[int, int] = {}
        # the first entries are zeros, for loops that read rows outside a grid
        self.used: list[tuple[int, int, int]] = [(0, WIDEST, -2)]
        self.size = WIDEST

    def take(self, position: int, cells: int) -> int:
        """The first gap that is large enough; entries start at multiples of 16."""
        cells = -(-(cells + WIDEST) // 16) * 16
        start = 0
        for first, length, _ in sorted(self.used):
            if first - start >= cells:
                break
            start = max(start, first + length)
        self.used.append((start, cells, position))
        self.at[position] = start
        self.size = max(self.size, start + cells)
        return start

    def scratch(self, cells: int) -> int:
        """A place until `drop_scratch`."""
        return self.take(-1, cells)

    def drop_scratch(self) -> None:
        """Give back what `scratch` took."""
        self.used = [use for use in self.used if use[2] != -1]

    def release(self, position: int) -> None:
        """Give back the maps whose last reader was `position`."""
        done = {s for s in self.program.maps[position].sources if self.last[s] == position}
        self.used = [use for use in self.used if use[2] not in done]
