"""The upper triangle of a symmetric matrix, cut into tiles."""

from dataclasses import dataclass

# A block on the diagonal is cut this many times finer, because half of it is computed twice.
_DIAGONAL_SPLIT = 4


@dataclass(frozen=True)
class Tile:
    """The entries (i, j) with i in `rows` and j in `columns`; on the diagonal the two are equal."""

    rows: slice
    columns: slice

    @property
    def on_diagonal(self) -> bool:
        """True where the tile is its own mirror image."""
        return self.rows == self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)


def _cuts(start: int, stop: int, size: int) -> list[slice]:
    return [slice(at, min(at + size, stop)) for at in range(start, stop, size)]


def upper_tiles(count: int, size: int) -> list[Tile]:
    """Tiles of at most `size` × `size` that cover the upper triangle of a `count` × `count` matrix.

    Every pair i ≤ j lies in exactly one tile, in row-major order of tiles.
    """
    tiles = []
    for i, rows in enumerate(blocks := _cuts(0, count, size)):
        fine = _cuts(rows.start, rows.stop, -(-size // _DIAGONAL_SPLIT))
        tiles += [Tile(a, b) for at, a in enumerate(fine) for b in fine[at:]]
        tiles += [Tile(rows, columns) for columns in blocks[i + 1 :]]
    return tiles


def lanes_of(tiles: list[Tile], count: int) -> list[range]:
    """The numbers of the tiles of each of at most `count` lanes: runs of about equally many pairs.

    They depend on nothing but the tiles, so that sums over them do not either.
    """
    sizes = [rows * columns for rows, columns in (tile.shape for tile in tiles)]
    total, before = sum(sizes), 0
    lanes: dict[int, list[int]] = {}
    for number, size in enumerate(sizes):
        # the lane that the tile's middle lies in
        lanes.setdefault((2 * before + size) * count // (2 * total), []).append(number)
        before += size
    return [range(run[0], run[-1] + 1) for run in lanes.values()]
