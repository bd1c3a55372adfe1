"""Products of tiles with few vectors, as compiled loops (numba): each entry is read once."""

import numba
import numpy as np

from gencheck.spectral.kernel.bits.loops import pointer
from gencheck.spectral.kernel.bits.vector_loops import compiled

# Rows of a block that pass over a vector together, so that it is read and written once for all.
_ROWS = 4


@compiled
def _four_rows(a, b, c, d, across, down, target):
    """Target += downᵀ (a, b, c, d); the products of each of the four rows with `across`."""
    first = second = third = fourth = 0.0
    w, x, y, z = down[0], down[1], down[2], down[3]
    for j in range(target.shape[0]):
        p, q, r, s = np.float64(a[j]), np.float64(b[j]), np.float64(c[j]), np.float64(d[j])
        first += p * across[j]
        second += q * across[j]
        third += r * across[j]
        fourth += s * across[j]
        target[j] += w * p + x * q + y * r + z * s
    return first, second, third, fourth


@compiled
def _row(a, across):
    """The product of a row with `across`."""
    total = 0.0
    for j in range(across.shape[0]):
        total += np.float64(a[j]) * across[j]
    return total


@compiled
def _plus_row(a, factor, target):
    """Target += factor · a row."""
    for j in range(target.shape[0]):
        target[j] += factor * np.float64(a[j])


@compiled
def _add_above(block, row, column, right, sums):
    """What a block above the diagonal, and its mirror image, add to the sums of each vector."""
    rows, columns = block.shape
    whole = rows // _ROWS * _ROWS
    for i in range(0, whole, _ROWS):
        for k in range(right.shape[0]):
            across, target = (
                right[k, column : column + columns],
                sums[k, column : column + columns],
            )
            down = right[k, row + i : row + i + _ROWS]
            found = _four_rows(
                block[i], block[i + 1], block[i + 2], block[i + 3], across, down, target
            )
            for r in range(_ROWS):
                sums[k, row + i + r] += found[r]
    for i in range(whole, rows):
        for k in range(right.shape[0]):
            across, target = (
                right[k, column : column + columns],
                sums[k, column : column + columns],
            )
            sums[k, row + i] += _row(block[i], across)
            _plus_row(block[i], right[k, row + i], target)


@compiled
def _add_diagonal(block, row, right, sums):
    """What a block on the diagonal, which holds both triangles, adds to the sums of each vector."""
    size = block.shape[0]
    for i in range(size):
        for k in range(right.shape[0]):
            sums[k, row + i] += _row(block[i], right[k, row : row + size])


@compiled
def add_lanes(addresses, places, firsts, like, right, sums):
    """sums[l] += (K A)ᵀ of lane l's blocks, block by block in their order, lane by lane.

    `addresses` are those of the blocks, of the dtype of `like`; `places` their first row, rows, first
    column and columns. Lane l has the blocks from ``firsts[l]`` to ``firsts[l + 1]``. `right` is Aᵀ,
    shape (k, N); `sums` has shape (lanes, k, N).
    """
    for lane in range(sums.shape[0]):
        for number in range(firsts[lane], firsts[lane + 1]):
            row, rows, column, columns = places[number]
            block = numba.carray(pointer(addresses[number]), (rows, columns), like.dtype)
            if row == column:
                _add_diagonal(block, row, right, sums[lane])
            else:
                _add_above(block, row, column, right, sums[lane])
