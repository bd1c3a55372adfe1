"""How a Gram matrix is formed: by whom, in which tiles, and where they are kept."""

from collections.abc import Callable, Iterable

import torch
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
from gencheck.spectral.kernel.cuts import FACTOR_BYTES
from gencheck.spectral.kernel.executors import (
    BitExecutor,
    Executor,
    MatrixExecutor,
)
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.gram import Gram, own_tiles
from gencheck.spectral.kernel.strips import Strips, fill_tile, fill_tiles
from gencheck.spectral.kernel.tiles import Tile, lanes_of, upper_tiles
from gencheck.spectral.ranks import ALONE, LANES, Ranks

# Where a kernel's largest value may lie: its rounding is the dtype's, its cube a float64.
_RANGE = {torch.float32: (1e-30, 1e38), torch.float64: (1e-90, 1e90)}


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
