"""Some columns of the Gram matrix, linear in the number of items."""

from torch import Tensor

from gencheck.network.program import Program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.cuts import FACTOR_BYTES
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.formation import EXECUTORS, require_in_range
from gencheck.spectral.kernel.strips import Strips, cut, fill_tile
from gencheck.spectral.kernel.tiles import Tile


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
    work = EXECUTORS[executor](program, factors, tile_size, FACTOR_BYTES)
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
