"""The Gram matrix of the path kernel, in tiles of the upper triangle."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from gencheck.errors import InputError
from gencheck.network.program import Program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.blocks import (
    Blocks,
    RecomputedBlocks,
    StoredBlocks,
    held_blocks,
)
from gencheck.spectral.kernel.cache import TileCache, kernel_identity, missing_tiles
from gencheck.spectral.kernel.calibrate import OverlapChoice
from gencheck.spectral.kernel.cuts import FACTOR_BYTES
from gencheck.spectral.kernel.executors import (
    BitExecutor,
    Executor,
    MatrixExecutor,
)
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.operator import NormalisedGram
from gencheck.spectral.kernel.products import (
    FEW_VECTORS,
    TOGETHER,
    WIDE_ENTRIES,
    LoopProducts,
    loops_pay,
    tile_products,
)
from gencheck.spectral.kernel.strips import Strips, fill_tile, fill_tiles, within
from gencheck.spectral.kernel.tiles import Tile, lanes_of, upper_tiles
from gencheck.spectral.ranks import ALONE, LANES, Ranks

# Where a kernel's largest value may lie: its rounding is the dtype's, its cube a float64.
_RANGE = {torch.float32: (1e-30, 1e38), torch.float64: (1e-90, 1e90)}


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


EXECUTORS: dict[str, Callable[[Program, Factors, int, int], Executor]] = {
    "matrix": MatrixExecutor,
    "bits": BitExecutor,
}


def gram_matrix(
    program: Program,
    factors: Factors,
    tile_size: int,
    factor_bytes: int = FACTOR_BYTES,
    kept_bytes: int | None = None,
    executor: str = "matrix",
    overlaps: str = "auto",
    cache: TileCache | None = None,
    storage: str = "memory",
    ranks: Ranks = ALONE,
    progress: Progress = SILENT,
) -> Gram:
    """The Gram matrix of the path kernel for all items of `factors`.

    With 0/1 gates every overlap is an integer below 2²⁴ and therefore exact in float32.

    Parameters
    ----------
    factor_bytes
        How much unpacked factors the steps are laid out for. It decides how sums are split, so it
        should not depend on what happens to be free.
    kept_bytes
        How much they may take in all; by default `factor_bytes`.
    executor
        ``matrix``: products in torch; ``bits``: compiled loops, for gates of 0 and 1 on the CPU.
    overlaps
        How matrix products form overlaps of whole numbers: ``float32``, ``int8``, ``bits``, or
        ``auto``: each layer's quickest by a short trial. The bits are the same.
    cache
        Where finished tiles are kept.
    storage
        ``memory``; ``disk``: tiles are read from the cache in every product; ``recompute``: they are
        formed anew in every product. The last two are linear in memory and give the same bits.
    ranks
        Who forms which tiles, and holds them.
    """
    work = EXECUTORS[executor](program, factors, tile_size, factor_bytes)
    choices = work.calibrate(overlaps)
    if cache is not None:
        cache.identity = kernel_identity(program, factors, f"{work.settings} {tile_size}")
    strips = Strips(work, factors.count, factor_bytes if kept_bytes is None else kept_bytes)
    tiles, like = upper_tiles(factors.count, tile_size), factors.items
    own = own_tiles(lanes_of(tiles, LANES), ranks)

    def form(wanted: Iterable[tuple[Tile, Tensor]]) -> None:
        made = fill_tiles(work, strips, missing_tiles(wanted, cache, progress), progress)
        for tile, block in made:
            if cache is not None:
                cache.save(tile, block)

    def fill(tile: Tile, block: Tensor) -> None:
        fill_tile(work, strips, tile, block, SILENT)

    sizes = (tiles[number].shape for number in own)
    progress.start("gram", float(sum(a * b for a, b in sizes)), "pairs")
    blocks: Blocks
    if storage == "recompute":
        blocks = RecomputedBlocks(tiles, like, fill)
    elif storage == "disk":
        if cache is None:
            raise ValueError("tiles on disk need a cache")
        blocks = StoredBlocks(tiles, like, cache)
        for part in blocks.of(own):
            form([part])
    else:
        blocks = held_blocks(tiles, own, like)
        form((tiles[number], block) for number, block in blocks.items())
    gram = Gram(tiles, blocks, factors.count, work.exponent, like=like, ranks=ranks)
    gram.overlaps = choices
    require_in_range(gram.diagonal(), like.dtype)
    progress.finish()
    return gram


def own_tiles(lanes: list[range], ranks: Ranks) -> list[int]:
    """The numbers of the tiles that this process forms and holds."""
    return [number for lane in ranks.share(len(lanes)) for number in lanes[lane]]


def require_in_range(diagonal: Tensor, dtype: torch.dtype) -> None:
    """Do nothing where products of three kernels, which the solvers form, are floats.

    Parameters
    ----------
    diagonal
        K(i, i), which no K(i, j) exceeds by more than the geometric mean of two of them.
    dtype
        What the kernel was formed in.

    Raises
    ------
    InputError
        The kernel is past the range of `dtype`, or its cube past float64's.
    """
    low, high = _RANGE[dtype]
    largest = float(diagonal.max())
    if diagonal.isfinite().all() and (low < largest < high or largest == 0):
        return
    name = str(dtype).removeprefix("torch.")
    raise InputError(
        where="the path kernel of the items",
        found=f"values of up to {largest:.3g} in {name}",
        required=f"a largest one between {low:g} and {high:g}",
        remedy="Divide the items by a constant near their size"
        + (", or pass --dtype float64." if dtype == torch.float32 else "."),
    )
