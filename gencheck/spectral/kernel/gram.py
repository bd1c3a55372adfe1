"""The Gram matrix of the path kernel, in tiles of the upper triangle."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from gencheck.errors import InputError
from gencheck.network.program import Program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.cache import TileCache, kernel_identity
from gencheck.spectral.kernel.executors import (
    FACTOR_BYTES,
    BitExecutor,
    Executor,
    MatrixExecutor,
)
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.operator import NormalisedGram
from gencheck.spectral.kernel.strips import Strips, cut, fill_tile, within
from gencheck.spectral.kernel.tiles import Tile, upper_tiles

# Entries of a block that are widened to float64 at one time: few enough to stay in a cache.
_WIDE_ENTRIES = 2**18

# Where a kernel's largest value may lie: its rounding is the dtype's, its cube a float64.
_RANGE = {torch.float32: (1e-30, 1e38), torch.float64: (1e-90, 1e90)}


class Gram(LinearOperator):
    """K = ZZᵀ for N items, as ``2**exponent`` times tiles of its upper triangle.

    To scipy it is the operator ``2**-exponent`` K in float64: the true kernel is past float64 for
    deep networks. `scipy.sparse.linalg.eigsh` takes it as it is.

    Attributes
    ----------
    tiles
        Where each stored block lies.
    blocks
        The blocks, in the run's dtype and on its device.
    count
        The number N of items.
    exponent
        The power of two left out of the blocks.
    """

    def __init__(self, tiles: list[Tile], blocks: list[Tensor], count: int, exponent: int) -> None:
        super().__init__(np.float64, (count, count))
        self.tiles, self.blocks, self.count, self.exponent = tiles, blocks, count, exponent

    def _matmat(self, right: Any) -> Any:
        return self.matmul(torch.from_numpy(np.ascontiguousarray(right, np.float64))).cpu().numpy()

    def _adjoint(self) -> "Gram":
        return self

    _transpose = _adjoint

    def matmul(self, right: Tensor) -> Tensor:
        """``2**-exponent`` K A for `right` = A of shape (N, k), formed and returned in float64.

        The blocks are widened one at a time: float64 sums cost little beside reading K, and leave
        its own rounding as the only one.
        """
        right = right.to(self.blocks[0].device, torch.float64)
        product = _Product(right, max(block.numel() for block in self.blocks))
        for tile, block in zip(self.tiles, self.blocks, strict=True):
            product.add(tile, block)
        return product.sum

    @property
    def device(self) -> torch.device:
        """Where the blocks are."""
        return self.blocks[0].device

    def normalised(self) -> "NormalisedGram":
        """K_ij / √(K_ii K_jj): cosines between path features, whatever their lengths."""
        return NormalisedGram(self)

    def diagonal(self) -> Tensor:
        """``2**-exponent`` K(i, i) for every item, float64, on the CPU. Shape (N,)."""
        parts = [
            block.diagonal().double().cpu()
            for tile, block in zip(self.tiles, self.blocks, strict=True)
            if tile.on_diagonal
        ]
        return torch.cat(parts)

    def submatrix(self, rows: slice, columns: slice) -> Tensor:
        """``2**-exponent`` K(i, j) for i in `rows` and j in `columns`, in the blocks' dtype."""
        matrix = self.blocks[0].new_empty((rows.stop - rows.start, columns.stop - columns.start))
        for tile, block in zip(self.tiles, self.blocks, strict=True):
            _copied(matrix, rows, columns, tile, block)
            if not tile.on_diagonal:
                _copied(matrix.T, columns, rows, tile, block)
        return matrix

    def restricted(self, parts: Sequence[slice]) -> "Gram":
        """The Gram matrix of the items in `parts` alone, in their order, as one tile."""
        rows = [torch.cat([self.submatrix(a, b) for b in parts], 1) for a in parts]
        block = torch.cat(rows)
        whole = slice(0, len(block))
        return Gram([Tile(whole, whole)], [block], len(block), self.exponent)

    def dense(self) -> Tensor:
        """The whole matrix ``2**-exponent`` K, shape (N, N): for small N."""
        matrix = self.blocks[0].new_empty((self.count, self.count))
        for tile, block in zip(self.tiles, self.blocks, strict=True):
            matrix[tile.rows, tile.columns] = block
            matrix[tile.columns, tile.rows] = block.T
        return matrix


class _Product:
    """K A, added up tile by tile."""

    def __init__(self, right: Tensor, largest: int) -> None:
        self.right, self.sum = right, torch.zeros_like(right)
        self._buffer = right.new_empty(min(largest, _WIDE_ENTRIES))

    def add(self, tile: Tile, block: Tensor) -> None:
        """What one tile, and its mirror image, add."""
        height = max(1, len(self._buffer) // block.shape[1])
        for start in range(0, len(block), height):
            part = block[start : start + height]
            wide = self._buffer[: part.numel()].view(part.shape).copy_(part)
            rows = slice(tile.rows.start + start, tile.rows.start + start + len(part))
            self.sum[rows] += wide @ self.right[tile.columns]
            if not tile.on_diagonal:
                self.sum[tile.columns] += wide.T @ self.right[rows]


def _copied(matrix: Tensor, rows: slice, columns: slice, tile: Tile, block: Tensor) -> None:
    """Copy what a tile holds of `rows` and `columns` into their matrix."""
    down = slice(max(rows.start, tile.rows.start), min(rows.stop, tile.rows.stop))
    across = slice(max(columns.start, tile.columns.start), min(columns.stop, tile.columns.stop))
    if down.start < down.stop and across.start < across.stop:
        part = block[within(down, tile.rows), within(across, tile.columns)]
        matrix[within(down, rows), within(across, columns)] = part


_EXECUTORS: dict[str, Callable[[Program, Factors, int, int], Executor]] = {
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
    cache: TileCache | None = None,
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
    cache
        Where finished tiles are kept.
    """
    make = _EXECUTORS[executor]
    work = make(program, factors, tile_size, factor_bytes)
    if cache is not None:
        cache.identity = kernel_identity(program, factors, f"{work.settings} {tile_size}")
    strips = Strips(work, factors.count, factor_bytes if kept_bytes is None else kept_bytes)
    tiles = upper_tiles(factors.count, tile_size)
    progress.start("gram", float(sum(a * b for a, b in (t.shape for t in tiles))), "pairs")
    blocks = _allocated(tiles, factors.items)
    for tile, block in zip(tiles, blocks, strict=True):
        if cache is not None and cache.load(tile, block):
            progress.advance(float(block.numel()))
            continue
        fill_tile(work, strips, tile, block, progress)
        if cache is not None:
            cache.save(tile, block)
    progress.finish()
    gram = Gram(tiles, blocks, factors.count, work.exponent)
    require_in_range(gram.diagonal(), factors.items.dtype)
    return gram


def kernel_columns(
    program: Program,
    factors: Factors,
    count: int,
    tile_size: int,
    executor: str = "matrix",
    progress: Progress = SILENT,
) -> tuple[Tensor, int]:
    """K(i, j) for all N items i and the first `count` items j, linear in N.

    Returns
    -------
    columns, exponent
        Shape (N, count), in the run's dtype, and the power of two left out.
    """
    work = _EXECUTORS[executor](program, factors, tile_size, FACTOR_BYTES)
    strips = Strips(work, factors.count, FACTOR_BYTES)
    columns = factors.items.new_empty((factors.count, count))
    progress.start("kernel", float(columns.numel()), "pairs")
    for right in cut(slice(0, count), tile_size):
        for left in cut(slice(0, factors.count), tile_size):
            tile = Tile(left, slice(right.start, right.stop))
            block = columns[left, right]
            if tile.on_diagonal:
                # the loops leave what lies below the diagonal of such a tile to its mirror image
                block = factors.items.new_empty(tile.shape)
            fill_tile(work, strips, tile, block, progress)
            if tile.on_diagonal:
                columns[left, right] = block
    progress.finish()
    require_in_range(columns.diagonal(), factors.items.dtype)
    return columns, work.exponent


def kernel_product(
    program: Program,
    factors: Factors,
    right: Tensor,
    tile_size: int,
    factor_bytes: int = FACTOR_BYTES,
    kept_bytes: int | None = None,
    executor: str = "matrix",
    progress: Progress = SILENT,
) -> tuple[Tensor, int]:
    """K A for `right` = A of shape (N, k) with one tile of K in memory at a time.

    The same numbers as `Gram.matmul` gives, for the tiles are the same and come in the same order.

    Returns
    -------
    product, exponent
        Shape (N, k), float64, and the power of two left out.
    """
    work = _EXECUTORS[executor](program, factors, tile_size, factor_bytes)
    strips = Strips(work, factors.count, factor_bytes if kept_bytes is None else kept_bytes)
    tiles = upper_tiles(factors.count, tile_size)
    largest = max(a * b for a, b in (tile.shape for tile in tiles))
    product = _Product(right.to(factors.items.device, torch.float64), largest)
    (memory,) = _allocated([max(tiles, key=lambda t: t.shape[0] * t.shape[1])], factors.items)
    progress.start("kernel", float(sum(a * b for a, b in (t.shape for t in tiles))), "pairs")
    for tile in tiles:
        rows, columns = tile.shape
        block = memory.view(-1)[: rows * columns].view(rows, columns)
        fill_tile(work, strips, tile, block, progress)
        product.add(tile, block)
    progress.finish()
    return product.sum, work.exponent


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
