"""Sums of products of few factors with maps, as compiled loops (numba).

An attention has one block for each target and source, of as many factors as there are heads. Matrix
products over so few factors are all overhead, and their results are as many as the sums to be formed: a
tile of some rows and one vector of columns is therefore kept in registers over all blocks of a cell.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic

from gencheck.spectral.kernel.bits.vector_code import VectorCode
from gencheck.spectral.kernel.bits.vector_loops import compiled

# Rows and columns of what is kept in registers: with 32 of 64 bytes, two of each row, so that a factor
# that was loaded is used twice.
ROWS, LANES = 4, 32 if get_host_cpu_features().get("avx512f") else 16

# Rows whose carriers stay in a cache while all cells pass.
_NEAR_ROWS = 1792 // LANES


@intrinsic
def _tile(
    typing_context: Any,
    rows: Any,
    addresses: Any,
    blocks: Any,
    cell_step: Any,
    real: Any,
) -> Any:
    """out[r, :] = Σ_b carrier[at[b], r, :] ⊙ Σ_h left[r, b, h] right[b, h, :], in registers.

    For `ROWS` rows r and `LANES` columns. Addresses: of left's rows; of right, from its first block on,
    carrier, at and out. Blocks: first, stop, factors in each. `real` is any number of their type.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code = VectorCode(context, builder, real, LANES)
        lefts, unpacked, bounds = (cgutils.unpack_tuple(builder, a) for a in arguments[:3])
        (right, carrier, at, out), (first, stop, width) = unpacked, bounds
        sums = [cgutils.alloca_once_value(builder, code.zero) for _ in range(ROWS)]
        parts = [cgutils.alloca_once(builder, code.vector) for _ in range(ROWS)]
        for slot in sums:
            builder.store(code.zero, slot)
        lanes, one = code.number(LANES), code.number(1)
        with cgutils.for_range_slice(builder, first, stop, one, code.integer) as (block, _):
            for slot in parts:
                builder.store(code.zero, slot)
            own = builder.mul(builder.sub(block, first), width)
            with cgutils.for_range(builder, width, intp=code.integer) as loop:
                row = code.load(right, builder.mul(builder.add(own, loop.index), lanes))
                place = code.offset(loop.index, block, width)
                for left, slot in zip(lefts, parts, strict=True):
                    factor = builder.load(code.pointer(left, place, code.kind))
                    code.add_product(slot, code.spread(factor), row)
            place = code.offset(at, block, code.number(8))
            cell = builder.load(builder.inttoptr(place, ir.PointerType(code.integer)))
            cell = builder.mul(cell, arguments[3])
            for r, (slot, part) in enumerate(zip(sums, parts, strict=True)):
                before = code.load(carrier, builder.add(cell, code.number(r * LANES)))
                code.add_product(slot, before, builder.load(part))
        for r, slot in enumerate(sums):
            code.store(builder.load(slot), out, code.number(r * LANES))
        return context.get_dummy_value()

    return types.void(rows, addresses, blocks, cell_step, real), generate


@compiled
def _packed_carrier(carrier, row, column, packed):
    """packed[c, r, :] = the carrier's cells in some rows and `LANES` columns; what is past them stays."""
    lanes = min(LANES, carrier.shape[2] - column)
    for cell in range(carrier.shape[0]):
        for r in range(min(packed.shape[1], carrier.shape[1] - row)):
            packed[cell, r, :lanes] = carrier[cell, row + r, column : column + lanes]


@compiled
def _packed_factors(right, column, first, stop, packed):
    """packed[b, h, :] = the factors of blocks from first to stop of `LANES` items."""
    for lane in range(min(LANES, right.shape[0] - column)):
        own = right[column + lane]
        for place in range(first, stop):
            packed[place - first, lane] = own[place]


@compiled
def _added(tile, numbers, out, row, column):
    """Out += scale · tile where there are rows and columns for it; = before + … where it is fresh."""
    scale, before, fresh = numbers
    lanes = min(LANES, out.shape[1] - column)
    for r in range(min(ROWS, out.shape[0] - row)):
        target, own = out[row + r, column : column + lanes], tile[r, :lanes]
        if fresh:
            for lane in range(lanes):
                target[lane] = before + scale * own[lane]
        else:
            for lane in range(lanes):
                target[lane] += scale * own[lane]


@compiled
def add_narrow(factors, blocks, carrier, numbers, out, first, stop):
    """out[c] += scale · Σ_{blocks b of cell c} carrier[at(b)] ⊙ Σ_h left[:, b, h] ⊗ right[:, b, h].

    `factors` are left and right, of shape (items, blocks · width), and the width. `blocks` are the
    carrier's cell of each block, where groups of blocks of one cell start and the last ends, and the
    cell of each group. Maps have shape (cells, rows, columns). `numbers` are the scale, a start, and
    whether every cell has blocks and starts from that. Groups of `LANES` columns from first to stop.
    """
    left, right, width = factors
    at, firsts, cells = blocks
    scale = numbers[0]
    rows = out.shape[1]
    size, step = out.itemsize, left.strides[0]
    start, places = left.ctypes.data, at.ctypes.data
    widest = 0
    for group in range(len(cells)):
        widest = max(widest, firsts[group + 1] - firsts[group])
    near = min(_NEAR_ROWS, (rows + ROWS - 1) // ROWS * ROWS)
    for task in range(first, stop):
        column = task * LANES
        near_carrier = np.zeros((carrier.shape[0], near, LANES), out.dtype)
        own_factors = np.zeros((widest * width, LANES), out.dtype)
        tile = np.zeros((ROWS, LANES), out.dtype)
        for top in range(0, rows, near):
            _packed_carrier(carrier, top, column, near_carrier)
            for group in range(len(cells)):
                begin, end = firsts[group], firsts[group + 1]
                _packed_factors(right, column, begin * width, end * width, own_factors)
                for row in range(top, min(top + near, rows), ROWS):
                    _tile(
                        (
                            start + step * row,
                            start + step * min(row + 1, rows - 1),
                            start + step * min(row + 2, rows - 1),
                            start + step * min(row + 3, rows - 1),
                        ),
                        (
                            own_factors.ctypes.data,
                            near_carrier.ctypes.data + size * (row - top) * LANES,
                            places,
                            tile.ctypes.data,
                        ),
                        (begin, end, width),
                        near * LANES,
                        scale,
                    )
                    _added(tile, numbers, out[cells[group]], row, column)
        # named here, so that they live as long as what points into them
        tile[0, 0] = near_carrier[0, 0, 0] + own_factors[0, 0]
