"""The Gram matrix of the path kernel, in tiles of the upper triangle."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from gencheck.spectral.kernel.blocks import (
    Blocks,
)
from gencheck.spectral.kernel.calibrate import OverlapChoice
from gencheck.spectral.kernel.operator import NormalisedGram
from gencheck.spectral.kernel.products import (
    FEW_VECTORS,
    TOGETHER,
    WIDE_ENTRIES,
    LoopProducts,
    loops_pay,
    tile_products,
)
from gencheck.spectral.kernel.strips import within
from gencheck.spectral.kernel.tiles import Tile, lanes_of
from gencheck.spectral.ranks import ALONE, LANES, Ranks


class Gram(LinearOperator):
    """K = ZZᵀ for N items, as ``2**exponent`` times tiles of its upper triangle.

    To scipy it is the operator ``2**-exponent`` K in float64: the true kernel is past float64 for
    deep networks. `scipy.sparse.linalg.eigsh` takes it as it is.

    Attributes
    ----------
    tiles
        Where each block lies.
    blocks
        The blocks by the numbers of their tiles, in the run's dtype and on its device; of the tiles
        in `ranks`' own lanes.
    count
        The number N of items.
    exponent
        The power of two left out of the blocks.
    like
        A tensor of the blocks' dtype on their device.
    ranks
        Who holds the other blocks.
    lanes
        The numbers of the tiles whose products are summed in order before they are added to others.
    overlaps
        How the overlaps of each layer were formed, where that was chosen.
    by_loops
        True where products with few vectors are formed by compiled loops.
    """

    def __init__(
        self,
        tiles: list[Tile],
        blocks: Blocks,
        count: int,
        exponent: int,
        *,
        like: Tensor | None = None,
        lanes: list[range] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(np.float64, (count, count))
        self.tiles, self.blocks, self.count, self.exponent = tiles, blocks, count, exponent
        self.like = (blocks[0] if like is None else like)[:0]
        self.ranks = ranks
        self.overlaps: tuple[OverlapChoice, ...] = ()
        self.by_loops = loops_pay(count, self.device)
        self.lanes = lanes_of(tiles, LANES) if lanes is None else lanes

    def _matmat(self, right: Any) -> Any:
        return self.matmul(torch.from_numpy(np.ascontiguousarray(right, np.float64))).cpu().numpy()

    def _adjoint(self) -> "Gram":
        return self

    _transpose = _adjoint

    def _own(self) -> Iterator[tuple[Tile, Tensor]]:
        """The tiles that this process holds, with their blocks."""
        for number in own_tiles(self.lanes, self.ranks):
            yield self.tiles[number], self.blocks[number]

    def _lane(self, lane: int) -> Iterator[tuple[Tile, Tensor]]:
        return ((self.tiles[number], self.blocks[number]) for number in self.lanes[lane])

    def summed(
        self, over: Callable[[Iterator[tuple[Tile, Tensor]]], Tensor], like: Tensor
    ) -> Tensor:
        """Σ over lanes, in their order, of what `over` makes of the tiles and blocks of each.

        On every rank, with the same bits on any number of them; of the shape and dtype of `like`.
        """
        return self._sum_of_lanes(lambda lane: over(self._lane(lane)), like)

    def _sum_of_lanes(self, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        return self.ranks.summed(len(self.lanes), make, like)

    def matmul(self, right: Tensor) -> Tensor:
        """``2**-exponent`` K A for `right` = A of shape (N, k), formed and returned in float64.

        Sums in float64 cost little beside reading K, and leave its own rounding as the only one.
        """
        right = right.to(self.device, torch.float64).T.contiguous()
        if self.by_loops and len(right) <= FEW_VECTORS:
            parts = right.split(TOGETHER)
            sums = [self._sum_of_lanes(self._loops.by_lane(part), part) for part in parts]
            return torch.cat(sums).T.contiguous()
        largest = max(rows * columns for rows, columns in (tile.shape for tile in self.tiles))
        buffer = right.new_empty(min(largest, WIDE_ENTRIES))
        return self.summed(lambda parts: tile_products(parts, right, buffer), right).T.contiguous()

    @cached_property
    def _loops(self) -> LoopProducts:
        own = self.ranks.share(len(self.lanes))
        return LoopProducts(self.tiles, self.lanes, own, self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the blocks are."""
        return self.like.device

    @property
    def nbytes(self) -> int:
        """What all blocks take, wherever they are kept."""
        sizes = (rows * columns for rows, columns in (tile.shape for tile in self.tiles))
        return sum(sizes) * self.like.element_size()

    def normalised(self) -> "NormalisedGram":
        """K_ij / √(K_ii K_jj): cosines between path features, whatever their lengths."""
        return NormalisedGram(self)

    def diagonal(self) -> Tensor:
        """``2**-exponent`` K(i, i) for every item, float64, on the CPU. Shape (N,)."""
        return self._diagonal

    @cached_property
    def _diagonal(self) -> Tensor:
        # read once: blocks may be far away
        found = self.like.new_zeros(self.count, dtype=torch.float64)
        for number in own_tiles(self.lanes, self.ranks):
            tile = self.tiles[number]
            if tile.on_diagonal:
                found[tile.rows] = self.blocks[number].diagonal().double()
        return self.ranks.joined(found).cpu()

    def submatrix(self, rows: slice, columns: slice) -> Tensor:
        """``2**-exponent`` K(i, j) for i in `rows` and j in `columns`, in the blocks' dtype."""
        matrix = self.like.new_zeros((rows.stop - rows.start, columns.stop - columns.start))
        for tile, block in self._own():
            _copied(matrix, rows, columns, tile, block)
            if not tile.on_diagonal:
                _copied(matrix.T, columns, rows, tile, block)
        return self.ranks.joined(matrix)

    def dense(self) -> Tensor:
        """The whole matrix ``2**-exponent`` K, shape (N, N): for small N."""
        every = slice(0, self.count)
        return self.submatrix(every, every)


def _copied(matrix: Tensor, rows: slice, columns: slice, tile: Tile, block: Tensor) -> None:
    """Copy what a tile holds of `rows` and `columns` into their matrix."""
    down = slice(max(rows.start, tile.rows.start), min(rows.stop, tile.rows.stop))
    across = slice(max(columns.start, tile.columns.start), min(columns.stop, tile.columns.stop))
    if down.start < down.stop and across.start < across.stop:
        part = block[within(down, tile.rows), within(across, tile.columns)]
        matrix[within(down, rows), within(across, columns)] = part


def own_tiles(lanes: list[range], ranks: Ranks) -> list[int]:
    """The numbers of the tiles that this process forms and holds."""
    return [number for lane in ranks.share(len(lanes)) for number in lanes[lane]]
