"""Sums over square windows of a map, row by row, in registers: compiled loops (numba).

The rows of the source that a row of windows reads are added up first. Their sum is then shifted along
itself and added, with zeros moving in from both sides, so that nothing is stored in between. How far the
windows reach is part of the code: loops over three taps cost more than what they do.
"""

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from gencheck.spectral.kernel.bits.plan import (
    KERNEL,
    OUTER,
    PADDING,
    READ,
    ROW_READ,
    ROW_WRITTEN,
    SOURCE,
    STRIDE,
    TARGET,
    WIDEST,
    WRITTEN,
)
from gencheck.spectral.kernel.bits.vector_code import VectorCode
from gencheck.spectral.kernel.bits.vector_loops import compiled


def _lines(left: int, right: int, lanes: int) -> Any:
    """Loops over rows of windows that reach so far to both sides of a lane."""

    @intrinsic
    def lines(
        typing_context: Any, addresses: Any, rows: Any, columns: Any, numbers: Any, stride: Any
    ) -> Any:
        """out[y, l] = constant + scale · Σ_{−left ≤ t ≤ right} Σ_r source[top(y) + r, stride · l + t].

        Addresses: of the source's first row, of a row of zeros, of the first row of results. `rows`:
        the first that is read, how many the grid has, how many are written. `columns`: entries from one
        row to the next, lanes in the grid, entries from one row of results to the next. `numbers`: scale,
        constant.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            code = VectorCode(context, builder, numbers[0], lanes)
            (
                (source, zeros, target),
                (top, height, count),
                (width, inside, out),
                (scale, constant),
            ) = (cgutils.unpack_tuple(builder, a) for a in arguments[:4])
            stride = arguments[4]
            scale, constant = code.spread(scale), code.spread(constant)
            in_grid = code.is_below(inside)
            halved = builder.icmp_signed("==", stride, code.number(2))
            with cgutils.for_range(builder, count, intp=code.integer) as loop:
                first = code.offset(top, loop.index, stride)
                column = code.zero
                for tap in range(left + right + 1):
                    row = builder.add(first, code.number(tap))
                    address = code.offset(source, row, width, code.number(code.size))
                    present = builder.icmp_unsigned("<", row, height)
                    address = builder.select(present, address, zeros)
                    column = builder.fadd(
                        column, code.load(address, code.number(0)), flags=code.flags
                    )
                column = builder.select(in_grid, column, code.zero)
                total = column
                for reach, order in (
                    (left, [lanes, *range(lanes - 1)]),
                    (right, [*range(1, lanes), lanes]),
                ):
                    moved = column
                    for _ in range(reach):
                        moved = code.picked(moved, order)
                        total = builder.fadd(total, moved, flags=code.flags)
                sums = builder.fmul(scale, total, flags=code.flags)
                sums = builder.fadd(constant, sums, flags=code.flags)
                place = builder.mul(loop.index, out)
                with builder.if_else(halved) as (every_other, all_of_them):
                    with every_other:
                        code.store(code.picked(sums, [*range(0, lanes, 2)]), target, place)
                    with all_of_them:
                        code.store(sums, target, place)
            return context.get_dummy_value()

        return types.void(addresses, rows, columns, numbers, stride), generate

    return lines


# by how far they reach to the left and to the right
_one, _two, _three = _lines(0, 0, WIDEST), _lines(0, 1, WIDEST), _lines(0, 2, WIDEST)
_five, _seven = _lines(0, 4, WIDEST), _lines(0, 6, WIDEST)
_around3, _around5, _around7 = _lines(1, 1, WIDEST), _lines(2, 2, WIDEST), _lines(3, 3, WIDEST)
_narrow_one, _narrow_two = _lines(0, 0, WIDEST // 2), _lines(0, 1, WIDEST // 2)
_narrow_three = _lines(0, 2, WIDEST // 2)
_narrow3, _narrow5 = _lines(1, 1, WIDEST // 2), _lines(2, 2, WIDEST // 2)


@compiled
def _take(kind, places, numbers, stride):
    """Rows of windows by the loops that are made for them."""
    (taps, around, narrow), (addresses, rows, columns) = kind, places
    if taps == 3 and around and narrow:
        _narrow3(addresses, rows, columns, numbers, stride)
    elif taps == 3 and around:
        _around3(addresses, rows, columns, numbers, stride)
    elif taps == 5 and around and narrow:
        _narrow5(addresses, rows, columns, numbers, stride)
    elif taps == 5 and around:
        _around5(addresses, rows, columns, numbers, stride)
    elif taps == 7 and around:
        _around7(addresses, rows, columns, numbers, stride)
    elif taps == 1 and narrow:
        _narrow_one(addresses, rows, columns, numbers, stride)
    elif taps == 1:
        _one(addresses, rows, columns, numbers, stride)
    elif taps == 2 and narrow:
        _narrow_two(addresses, rows, columns, numbers, stride)
    elif taps == 2:
        _two(addresses, rows, columns, numbers, stride)
    elif taps == 3 and narrow:
        _narrow_three(addresses, rows, columns, numbers, stride)
    elif taps == 3:
        _three(addresses, rows, columns, numbers, stride)
    elif taps == 5:
        _five(addresses, rows, columns, numbers, stride)
    else:
        _seven(addresses, rows, columns, numbers, stride)


@compiled
def box(row, scale, constant, maps):
    """target(y, x) = constant + scale · Σ of the source over the square window (y, x), of each group.

    A group of one row has windows over columns: what they read above and below it is absent.

    What is stored is `WIDEST` entries at once, from left to right and from top to bottom: as many after
    the target's last may be overwritten, and are read after the source's last. The first of the maps
    are zeros.
    """
    taps, stride, padding = row[KERNEL], row[STRIDE], row[PADDING]
    width, out, height, lines = row[READ], row[WRITTEN], row[ROW_READ], row[ROW_WRITTEN]
    size, start = maps.itemsize, np.int64(maps.ctypes.data)
    numbers = (scale, constant)
    # a lane is the first column of a window, or its middle where zeros stand before the first
    fits = width <= WIDEST and stride * out <= WIDEST
    narrow = (
        2 * width <= WIDEST
        and 2 * stride * out <= WIDEST
        and (taps < 5 or (taps == 5 and padding > 0))
    )
    for group in range(row[OUTER]):
        source = start + size * (row[SOURCE] + group * height * width)
        target = start + size * (row[TARGET] + group * lines * out)
        if fits:
            addresses, rows = (source, start, target), (-padding, height, lines)
            places = (addresses, rows, (width, width, out))
            _take((taps, padding > 0, narrow), places, numbers, stride)
            continue
        for y in range(lines):
            done = 0
            while done < out:
                base = min(done * stride - padding if done else 0, width)
                addresses = (source + size * base, start, target + size * (y * out + done))
                rows, columns = (y * stride - padding, height, 1), (width, width - base, out)
                around = padding > 0 and done == 0
                _take((taps, around, False), (addresses, rows, columns), numbers, stride)
                reach = taps // 2 if around else taps - 1
                sums = WIDEST if base + WIDEST >= width else WIDEST - reach
                done += (sums + stride - 1) >> (stride - 1)
