"""Tiles filled strip by strip: the factors of some items at a time, the least recently used dropped."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gencheck.progress import Progress
from gencheck.spectral.kernel.executors import Executor
from gencheck.spectral.kernel.tiles import Tile


def fill_tile(
    work: Executor, strips: "Strips", tile: Tile, block: Tensor, progress: Progress
) -> None:
    """Fill `block` with the kernel between the items of the tile's rows and columns."""
    for rows, columns in strips.steps(tile):
        (left, own_rows), (right, own_columns) = strips.of(rows), strips.of(columns)
        part = block[within(rows, tile.rows), within(columns, tile.columns)]
        work.fill(left, own_rows, right, own_columns, same=rows == columns, out=part)
        mirrored = tile.on_diagonal and columns.start > rows.start
        if mirrored:
            block[within(columns, tile.rows), within(rows, tile.columns)].copy_(part.T)
        progress.advance(float(part.numel() * (1 + mirrored)))


def within(part: slice, whole: slice) -> slice:
    """Where `part` lies in `whole`, counted from its start."""
    return slice(part.start - whole.start, part.stop - whole.start)


class Strips:
    """The factors of strips of items, the least recently used of them dropped."""

    def __init__(self, work: Executor, count: int, kept_bytes: int) -> None:
        self.work, self.count = work, count
        self.cuts = work.cuts if work.cuts.passing else work.cuts.keeping(kept_bytes)
        self.made: OrderedDict[int, Any] = OrderedDict()

    def steps(self, tile: Tile) -> Iterator[tuple[slice, slice]]:
        """The tile cut into steps, strip by strip; on the diagonal only those not below it."""
        for strip_rows in cut(tile.rows, self.cuts.strip):
            for strip_columns in cut(tile.columns, self.cuts.strip):
                for rows in cut(strip_rows, self.cuts.step):
                    for columns in cut(strip_columns, self.cuts.step):
                        if not tile.on_diagonal or columns.start >= rows.start:
                            yield rows, columns

    def of(self, items: slice) -> tuple[Any, slice]:
        """The factors of the strip that holds `items`, and their place in it."""
        number = items.start // self.cuts.strip
        first = number * self.cuts.strip
        if number not in self.made:
            while len(self.made) >= self.cuts.kept:
                self.made.popitem(last=False)
            rows = slice(first, min(first + self.cuts.strip, self.count))
            self.made[number] = self.work.prepared(rows)
        self.made.move_to_end(number)
        return self.made[number], slice(items.start - first, items.stop - first)


def cut(items: slice, size: int) -> Iterator[slice]:
    """`items` cut at the multiples of `size`."""
    start = items.start
    while start < items.stop:
        stop = min((start // size + 1) * size, items.stop)
        yield slice(start, stop)
        start = stop
