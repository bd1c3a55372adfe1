"""Where the blocks of a Gram matrix are: in memory, in files, or formed anew whenever they are read."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.tiles import Tile

# What writes the kernel between a tile's rows and its columns.
Fill: TypeAlias = Callable[[Tile, Tensor], None]


class Blocks(Protocol):
    """Blocks by the numbers of their tiles; one may be overwritten when the next is read."""

    def __getitem__(self, number: int, /) -> Tensor:
        """The block of one tile."""
        ...


class RecomputedBlocks:
    """Blocks that are formed whenever they are read, in the memory of one."""

    def __init__(self, tiles: list[Tile], like: Tensor, fill: Fill) -> None:
        self.tiles, self.fill = tiles, fill
        self._memory = one_block(tiles, like)

    def __getitem__(self, number: int, /) -> Tensor:
        """The same bits every time: a tile's do not depend on what was formed before."""
        block = _shaped(self._memory, self.tiles[number])
        self.fill(self.tiles[number], block)
        return block


class StoredBlocks:
    """Blocks that are read from the files of a cache, in the memory of one."""

    def __init__(self, tiles: list[Tile], like: Tensor, cache: TileCache) -> None:
        self.tiles, self.cache = tiles, cache
        self._memory = one_block(tiles, like)

    def of(self, numbers: Iterable[int]) -> Iterator[tuple[Tile, Tensor]]:
        """Tiles with memory for their blocks, the same for all."""
        for number in numbers:
            yield self.tiles[number], _shaped(self._memory, self.tiles[number])

    def __getitem__(self, number: int, /) -> Tensor:
        """What the cache was given, or found sound."""
        block = _shaped(self._memory, self.tiles[number])
        self.cache.read(self.tiles[number], block)
        return block


def held_blocks(tiles: list[Tile], numbers: list[int], like: Tensor) -> dict[int, Tensor]:
    """Memory for the blocks of the tiles `numbers`, with nothing in it yet."""
    blocks = _allocated([tiles[number] for number in numbers], like)
    return dict(zip(numbers, blocks, strict=True))


def one_block(tiles: list[Tile], like: Tensor) -> Tensor:
    """Memory for any one of the blocks."""
    (memory,) = _allocated([max(tiles, key=lambda tile: tile.shape[0] * tile.shape[1])], like)
    return memory.view(-1)


def _shaped(memory: Tensor, tile: Tile) -> Tensor:
    rows, columns = tile.shape
    return memory[: rows * columns].view(rows, columns)


def _allocated(tiles: list[Tile], like: Tensor) -> list[Tensor]:
    """Memory for all blocks, in one piece.

    On the CPU it comes from numpy, which asks for huge pages: with small ones, page faults take as
    long as the arithmetic.
    """
    sizes = [rows * columns for rows, columns in (tile.shape for tile in tiles)]
    if like.device.type == "cpu":
        dtype = str(like.dtype).removeprefix("torch.")
        storage = torch.from_numpy(np.empty(sum(sizes), dtype))
    else:
        storage = like.new_empty(sum(sizes))
    parts = storage.split(sizes)
    return [part.view(tile.shape) for part, tile in zip(parts, tiles, strict=True)]
