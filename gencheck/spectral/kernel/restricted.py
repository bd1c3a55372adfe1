"""The Gram matrix of some of the items, on the blocks of the whole one."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, combinations_with_replacement

from torch import Tensor

from gencheck.spectral.kernel.blocks import Blocks
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.strips import within
from gencheck.spectral.kernel.tiles import Tile


def restricted(gram: Gram, parts: Sequence[slice]) -> Gram:
    """The Gram matrix of the items in `parts`, increasing runs of positions.

    Each of its tiles is a part of a tile of `gram`, held by the rank that holds that one, and in its
    lane: sums have the same bits on any number of ranks. Of tiles in memory only those are copied
    that lose columns.
    """
    cuts: list[tuple[int, Tile]] = []
    tiles: list[Tile] = []
    lanes: list[range] = []
    for lane in gram.lanes:
        first = len(tiles)
        for number in lane:
            for own, place in _cut(gram.tiles[number], parts):
                cuts.append((number, own))
                tiles.append(place)
        lanes.append(range(first, len(tiles)))
    count = sum(part.stop - part.start for part in parts)
    return Gram(
        tiles,
        _blocks(gram.blocks, cuts),
        count,
        gram.exponent,
        like=gram.like,
        lanes=lanes,
        ranks=gram.ranks,
    )


def _cut(tile: Tile, parts: Sequence[slice]) -> Iterator[tuple[Tile, Tile]]:
    """What a tile holds of each pair of parts: where in it, and where among the items of all parts."""
    lengths = (part.stop - part.start for part in parts)
    starts = list(accumulate(lengths, initial=0))[:-1]
    for left, right in combinations_with_replacement(range(len(parts)), 2):
        rows, columns = _common(tile.rows, parts[left]), _common(tile.columns, parts[right])
        if rows.start < rows.stop and columns.start < columns.stop:
            own = Tile(within(rows, tile.rows), within(columns, tile.columns))
            yield (
                own,
                Tile(
                    _moved(rows, starts[left] - parts[left].start),
                    _moved(columns, starts[right] - parts[right].start),
                ),
            )


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _moved(run: slice, by: int) -> slice:
    return slice(run.start + by, run.stop + by)


def _blocks(blocks: Blocks, cuts: Sequence[tuple[int, Tile]]) -> Blocks:
    parts = _Parts(blocks, cuts)
    if not isinstance(blocks, dict):
        return parts
    held = (number for number, (source, _) in enumerate(cuts) if source in blocks)
    # rows of a block lie behind each other, as loops over many blocks need them
    return {number: parts[number].contiguous() for number in held}


class _Parts:
    """Parts of blocks, by the numbers of the tiles that they are now."""

    def __init__(self, blocks: Blocks, cuts: Sequence[tuple[int, Tile]]) -> None:
        self.blocks, self.cuts = blocks, cuts

    def __getitem__(self, number: int, /) -> Tensor:
        source, own = self.cuts[number]
        return self.blocks[source][own.rows, own.columns]
