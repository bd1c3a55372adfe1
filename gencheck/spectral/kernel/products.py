"""Products of a matrix whose upper triangle lies in tiles, lane by lane."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencheck.spectral.kernel.blocks import Blocks
from gencheck.spectral.kernel.calibrate import compiled_loops_are_there
from gencheck.spectral.kernel.threads import in_parts
from gencheck.spectral.kernel.tiles import Tile

# Entries of a block that are widened to float64 at one time: few enough to stay in a cache.
WIDE_ENTRIES = 2**18

# More vectors than this are multiplied as a matrix; so many of them together share a reading of K.
FEW_VECTORS, TOGETHER = 16, 4

# Fewer items than this, and a matrix is read quicker than loops are loaded.
_LEAST_ITEMS = 8192


def loops_pay(count: int, device: torch.device) -> bool:
    """True where products of K with few vectors are formed by compiled loops.

    It depends on nothing that differs between ranks, or between ways to keep K.
    """
    return device.type == "cpu" and count >= _LEAST_ITEMS and compiled_loops_are_there()


class LoopProducts:
    """K A in float64 by compiled loops, which read each entry of a block once for both its places.

    The blocks of a lane are added in their order by one thread, so that the bits depend neither on
    the number of threads nor on where the blocks are.

    Parameters
    ----------
    lanes, own
        The numbers of each lane's tiles, and which lanes this process holds.
    """

    def __init__(self, tiles: list[Tile], lanes: list[range], own: range, blocks: Blocks) -> None:
        self.lanes, self.own, self.blocks = lanes, own, blocks
        sides = [(tile.rows, tile.columns) for tile in tiles]
        self.places = np.array(
            [(r.start, r.stop - r.start, c.start, c.stop - c.start) for r, c in sides], np.int64
        )

    def by_lane(self, right: Tensor) -> Callable[[int], Tensor]:
        """What each own lane adds to (K A)ᵀ, from Aᵀ of shape (k, N): held blocks all at once."""
        made: list[Tensor] = []

        def held(lane: int) -> Tensor:
            if not made:
                made.append(self._held(right))
            return made[0][lane - self.own.start]

        return held if isinstance(self.blocks, dict) else lambda lane: self._read(lane, right)

    @cached_property
    def _addresses(self) -> NDArray[np.int64]:
        numbers = (number for lane in self.own for number in self.lanes[lane])
        return np.array([self.blocks[number].data_ptr() for number in numbers], np.int64)

    def _held(self, right: Tensor) -> Tensor:
        """All own lanes, side by side on torch's threads."""
        sums = right.new_zeros((len(self.own), *right.shape))
        first = self.lanes[self.own.start].start if self.own else 0
        ends = [self.lanes[lane].stop - first for lane in self.own]
        places = self.places[first : first + len(self._addresses)]
        # some items of a matrix may have no tile in the lanes of this process
        if len(self._addresses):
            like, firsts = self.blocks[first].reshape(-1)[:0], [0, *ends]

            def add(start: int, stop: int) -> None:
                part = firsts[start : stop + 1]
                self._add(
                    self._addresses, places, part, like=like, right=right, sums=sums[start:stop]
                )

            in_parts(len(self.own), add)
        return sums

    def _read(self, lane: int, right: Tensor) -> Tensor:
        """One lane, whose blocks are read or formed one after another."""
        sums = right.new_zeros((1, *right.shape))
        for number in self.lanes[lane]:
            block = self.blocks[number].contiguous()
            addresses = np.array([block.data_ptr()], np.int64)
            places, like = self.places[number : number + 1], block.reshape(-1)[:0]
            self._add(addresses, places, [0, 1], like=like, right=right, sums=sums)
        return sums[0]

    @staticmethod
    def _add(
        addresses: NDArray[np.int64],
        places: NDArray[np.int64],
        firsts: list[int],
        *,
        like: Tensor,
        right: Tensor,
        sums: Tensor,
    ) -> None:
        # only here, so that those who have few items need no compiler
        from gencheck.spectral.kernel.product_loops import add_lanes

        arrays = (like.numpy(), right.numpy(), sums.numpy())
        add_lanes(addresses, places, np.array(firsts, np.int64), *arrays)


def tile_products(parts: Iterator[tuple[Tile, Tensor]], right: Tensor, buffer: Tensor) -> Tensor:
    """What some tiles, and their mirror images, add to (K A)ᵀ from Aᵀ; their blocks widened in `buffer`.

    Few long rows times a block take a third of the time of the block times few columns.
    """
    total = torch.zeros_like(right)
    for tile, block in parts:
        # `shape` and not `len`, which takes as long as a small product
        height = max(1, buffer.shape[0] // block.shape[1])
        for start in range(0, block.shape[0], height):
            part = block[start : start + height]
            wide = buffer[: part.numel()].view(part.shape).copy_(part)
            rows = slice(tile.rows.start + start, tile.rows.start + start + part.shape[0])
            total[:, rows] += _times(right[:, tile.columns], wide.T)
            if not tile.on_diagonal:
                total[:, tile.columns] += _times(right[:, rows], wide)
    return total


def _times(rows: Tensor, block: Tensor) -> Tensor:
    """Rows times a block; a single one as a vector, for a matrix product copies the block first."""
    return rows @ block if rows.shape[0] > 1 else torch.mv(block.T, rows[0])[None]
