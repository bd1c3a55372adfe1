"""Tiles filled strip by strip: the factors of some items at a time, the least recently used dropped."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import Any

from torch import Tensor

from gencheck.progress import Progress
from gencheck.spectral.kernel.executors import Executor
from gencheck.spectral.kernel.threads import side_by_side
from gencheck.spectral.kernel.tiles import Tile


def fill_tiles(
    work: Executor, strips: "Strips", wanted: Iterable[tuple[Tile, Tensor]], progress: Progress
) -> Iterator[tuple[Tile, Tensor]]:
    """Fill blocks with the kernel between the items of their tiles' rows and columns.

    Each tile comes back when it is done, in their order.
    """
    begun: deque[tuple[Tile, Tensor, float, bool]] = deque()

    def steps() -> Iterator[Callable[[], None]]:
        for tile, block in wanted:
            cuts = [*strips.steps(tile)]
            for at, (rows, columns) in enumerate(cuts, 1):
                mirrored = tile.on_diagonal and columns.start > rows.start
                entries = (rows.stop - rows.start) * (columns.stop - columns.start)
                begun.append((tile, block, float(entries * (1 + mirrored)), at == len(cuts)))
                yield strips.step(rows, columns, tile, block)

    results = side_by_side(steps()) if work.side_by_side else (call() for call in steps())
    for _ in results:
        tile, block, entries, done = begun.popleft()
        progress.advance(entries)
        if done:
            yield tile, block


def fill_tile(
    work: Executor, strips: "Strips", tile: Tile, block: Tensor, progress: Progress
) -> None:
    """Fill one block."""
    for _ in fill_tiles(work, strips, [(tile, block)], progress):
        pass


def within(part: slice, whole: slice) -> slice:
    """Where `part` lies in `whole`, counted from its start."""
    return slice(part.start - whole.start, part.stop - whole.start)


class _Strip:
    """The factors of some items, made by the first thread that asks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._lock, self._made = make, Lock(), None

    def __call__(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


class Strips:
    """The factors of strips of items, the least recently used of them dropped."""

    def __init__(self, work: Executor, count: int, kept_bytes: int) -> None:
        self.work, self.count = work, count
        self.cuts = work.cuts if work.cuts.passing else work.cuts.keeping(kept_bytes)
        self.made: OrderedDict[int, _Strip] = OrderedDict()

    def steps(self, tile: Tile) -> Iterator[tuple[slice, slice]]:
        """The tile cut into steps, strip by strip; on the diagonal only those not below it."""
        for strip_rows in cut(tile.rows, self.cuts.strip):
            for strip_columns in cut(tile.columns, self.cuts.strip):
                for rows in cut(strip_rows, self.cuts.step):
                    for columns in cut(strip_columns, self.cuts.step):
                        if not tile.on_diagonal or columns.start >= rows.start:
                            yield rows, columns

    def step(self, rows: slice, columns: slice, tile: Tile, block: Tensor) -> Callable[[], None]:
        """What fills one step of a tile's block, and its mirror image on the diagonal."""
        (left, own_rows), (right, own_columns) = self.of(rows), self.of(columns)
        same = rows == columns
        part = block[within(rows, tile.rows), within(columns, tile.columns)]
        mirrored = tile.on_diagonal and columns.start > rows.start

        def fill() -> None:
            self.work.fill(left(), own_rows, right(), own_columns, same=same, out=part)
            if mirrored:
                block[within(columns, tile.rows), within(rows, tile.columns)].copy_(part.T)

        return fill

    def of(self, items: slice) -> tuple[Callable[[], Any], slice]:
        """What gives the factors of the strip that holds `items`, and their place in it."""
        number = items.start // self.cuts.strip
        first = number * self.cuts.strip
        if number not in self.made:
            while len(self.made) >= self.cuts.kept:
                self.made.popitem(last=False)
            rows = slice(first, min(first + self.cuts.strip, self.count))
            self.made[number] = _Strip(partial(self.work.prepared, rows))
        self.made.move_to_end(number)
        return self.made[number], slice(items.start - first, items.stop - first)


def cut(items: slice, size: int) -> Iterator[slice]:
    """`items` cut at the multiples of `size`."""
    start = items.start
    while start < items.stop:
        stop = min((start // size + 1) * size, items.stop)
        yield slice(start, stop)
        start = stop
