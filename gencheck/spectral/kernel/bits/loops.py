"""The operations of a `BitPlan` on pairs of items, as compiled loops (numba)."""

from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from gencheck.spectral.kernel.bits.plan import (
    AT_INDEX,
    AT_MODE,
    BITS,
    BY_INDEX,
    CELL_INDEX,
    CELL_MODE,
    COUNT,
    COUNTS,
    DEPTH,
    DILATION,
    FILL,
    IN_ORDER,
    INNER,
    KERNEL,
    KIND,
    MASKED,
    OFFSET,
    OUTER,
    PADDING,
    POOL,
    READ,
    READY,
    REALS,
    SINGLE,
    SLIDE,
    SOURCE,
    STRIDE,
    TARGET,
    WORD,
    WRITTEN,
)
from gencheck.spectral.kernel.bits.vector_loops import (
    box3,
    box3_masked,
    box5,
    box5_rows,
    compiled,
    copied,
    count_all,
    count_bits,
    count_more,
    ends5,
    halved,
    plus,
    plus_at,
    plus_every,
    plus_masked,
    product,
    product_more,
    shortened,
    times,
    times_at,
    total,
    weighted_bits,
    weighted_bits_at,
    weighted_total,
)

# Items whose words are read together.
GROUP = 8


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@compiled
def unowned(array):
    """The same memory without an owner.

    Slices of an array count references to its owner, and threads that count on one owner wait for
    each other longer than the loops take. The caller keeps the array alive.
    """
    return numba.carray(pointer(array.ctypes.data), array.shape, array.dtype)


@compiled
def _add(row, scale, overlaps, maps, index):
    """maps[cell] += scale · maps[at] · overlaps, over the blocks of one batch."""
    count, source, target = row[COUNT], row[SOURCE], row[TARGET]
    at_mode, cell_mode = row[AT_MODE], row[CELL_MODE]
    part = overlaps[:count]
    if at_mode == SINGLE:
        scale = scale * maps[source]
    elif at_mode == IN_ORDER:
        times(maps[source : source + count], part)
    elif at_mode == BY_INDEX:
        times_at(maps[source:], index[row[AT_INDEX] : row[AT_INDEX] + count], part)
    if cell_mode == IN_ORDER:
        plus(scale, part, maps[target : target + count])
    elif cell_mode == SINGLE:
        maps[target] += scale * total(part)
    else:
        cells = index[row[CELL_INDEX] : row[CELL_INDEX] + count]
        plus_at(scale, part, cells, maps[target:])


@compiled
def _add_bits(row, scale, left, right, counts, overlaps, maps, index):
    """Overlaps of bits, added; in one loop where each block is one word and all lies in order."""
    count, offset, depth = row[COUNT], row[OFFSET], row[DEPTH]
    if count == 1:
        stop = offset + depth
        overlaps[0] = count_all(left[offset:stop], right[offset:stop])
        _add(row, scale, overlaps, maps, index)
        return
    stop = offset + count
    if depth == 1 and row[CELL_MODE] == IN_ORDER:
        target = maps[row[TARGET] : row[TARGET] + count]
        if row[AT_MODE] == IN_ORDER:
            carrier = maps[row[SOURCE] : row[SOURCE] + count]
            weighted_bits(left[offset:stop], right[offset:stop], scale, carrier, target)
            return
        if row[AT_MODE] == BY_INDEX:
            at = index[row[AT_INDEX] : row[AT_INDEX] + count]
            carrier = maps[row[SOURCE] :]
            weighted_bits_at(left[offset:stop], right[offset:stop], scale, carrier, at, target)
            return
    if depth == 1 and row[CELL_MODE] == SINGLE and row[AT_MODE] == IN_ORDER:
        carrier = maps[row[SOURCE] : row[SOURCE] + count]
        maps[row[TARGET]] += scale * weighted_total(left[offset:stop], right[offset:stop], carrier)
        return
    part = counts[:count]
    count_bits(left[offset:stop], right[offset:stop], part)
    for d in range(1, depth):
        first = offset + d * count
        count_more(left[first : first + count], right[first : first + count], part)
    copied(part, overlaps[:count])
    _add(row, scale, overlaps, maps, index)


@compiled
def _multiply(row, left, right, overlaps):
    """overlaps[p] = the inner product of two items' real factors in block p."""
    count, offset = row[COUNT], row[OFFSET]
    part = overlaps[:count]
    product(left[offset : offset + count], right[offset : offset + count], part)
    for d in range(1, row[DEPTH]):
        first = offset + d * count
        product_more(left[first : first + count], right[first : first + count], part)


@compiled
def _slide(row, scale, constant, maps, masks):
    """A box filter along one axis: target(r) = constant + scale · Σ_tap source(reads(r))."""
    read, written, inner = row[READ], row[WRITTEN], row[INNER]
    kernel, stride, padding, dilation = row[KERNEL], row[STRIDE], row[PADDING], row[DILATION]
    outer = row[OUTER]
    source = maps[row[SOURCE] : row[SOURCE] + outer * read * inner]
    target = maps[row[TARGET] : row[TARGET] + outer * written * inner]
    size = target.shape[0]
    if kernel == 3 and stride == 1 and padding == 1 and dilation == 1 and read > 2:
        if row[MASKED]:
            offset = row[MASKED]
            left, right = (
                masks[offset : offset + size],
                masks[offset + 2 * size : offset + 3 * size],
            )
            box3_masked(source, target, left, right, scale, constant)
            return
        if outer == 1 and read == written:
            box3(source, target, inner, scale, constant)
            return
    if kernel == 5 and stride == 1 and padding == 2 and dilation == 1 and read == written > 4:
        if inner == 1:
            box5_rows(source, target, written, scale, constant)
            return
        if outer == 1:
            box5(source, target, inner, scale, constant)
            ends5(source, target, inner, scale, constant)
            return
    target[:] = constant
    for tap in range(kernel):
        shift = tap * dilation - padding
        if row[MASKED]:
            # all rows at once, as one long row: what crosses from one into another counts 0
            offset = row[MASKED] + tap * target.shape[0]
            mask = masks[offset : offset + target.shape[0]]
            if shift < 0:
                plus_masked(scale, source[:shift], mask[-shift:], target[-shift:])
            elif shift > 0:
                end = target.shape[0] - shift
                plus_masked(scale, source[shift:], mask[:end], target[:end])
            else:
                plus(scale, source, target)
            continue
        first = (-shift + stride - 1) // stride if shift < 0 else 0
        stop = min(written, (read - 1 - shift) // stride + 1) if read > shift else 0
        if stop <= first:
            continue
        if stride == 1:
            for o in range(outer):
                start = (o * read + first + shift) * inner
                place = (o * written + first) * inner
                count = (stop - first) * inner
                plus(scale, source[start : start + count], target[place : place + count])
        else:
            _slide_strided(
                source, target, scale, outer, read, written, inner, stride, shift, first, stop
            )


@compiled
def _slide_strided(source, target, scale, outer, read, written, inner, stride, shift, first, stop):
    """One tap of `_slide`, position by position."""
    for o in range(outer):
        if inner == 1:
            reads = source[o * read + first * stride + shift : (o + 1) * read]
            plus_every(scale, reads, stride, target[o * written + first : o * written + stop])
            continue
        for r in range(first, stop):
            place, start = (o * written + r) * inner, (o * read + r * stride + shift) * inner
            plus(scale, source[start : start + inner], target[place : place + inner])


@compiled
def _pool(row, overlaps, maps):
    """target(y, x) += the sum over a square of the source, squares tiling it."""
    width, out, side = row[READ], row[WRITTEN], row[KERNEL]
    cells = row[OUTER] * side * width
    source = maps[row[SOURCE] : row[SOURCE] + cells]
    # rows are cut into whole squares, so all rows are summed along as one
    rows = overlaps[: cells // side]
    if side == 2:
        halved(source, rows)
    else:
        shortened(source, side, rows)
    for y in range(row[OUTER]):
        start = row[TARGET] + y * out
        target = maps[start : start + out]
        for dy in range(side):
            first = (y * side + dy) * out
            plus(np.float32(1), rows[first : first + out], target)


@compiled
def _pair(
    table,
    numbers,
    index,
    masks,
    w8,
    w16,
    w32,
    w64,
    v8,
    v16,
    v32,
    v64,
    x,
    y,
    ready,
    counts,
    overlaps,
    maps,
):
    """Carry out all operations for one pair: its words w, v, real factors x, y, ready overlaps."""
    for o in range(table.shape[0]):
        row = table[o]
        scale, constant = numbers[o, 0], numbers[o, 1]
        kind = row[KIND]
        if kind == BITS:
            word = row[WORD]
            if word == 0:
                _add_bits(row, scale, w8, v8, counts, overlaps, maps, index)
            elif word == 1:
                _add_bits(row, scale, w16, v16, counts, overlaps, maps, index)
            elif word == 2:
                _add_bits(row, scale, w32, v32, counts, overlaps, maps, index)
            else:
                _add_bits(row, scale, w64, v64, counts, overlaps, maps, index)
        elif kind == POOL:
            _pool(row, overlaps, maps)
        elif kind == SLIDE:
            _slide(row, scale, constant, maps, masks)
        elif kind == FILL:
            maps[row[TARGET] : row[TARGET] + row[COUNT]] = constant
        elif kind == REALS:
            _multiply(row, x, y, overlaps)
            _add(row, scale, overlaps, maps, index)
        elif kind == READY:
            overlaps[0] = ready[row[WORD]]
            _add(row, scale, overlaps, maps, index)
        elif kind == COUNTS:
            for p in range(row[COUNT]):
                overlaps[p] = index[row[OFFSET] + p]
            _add(row, scale, overlaps, maps, index)


@compiled
def fill_block(
    table,
    numbers,
    index,
    masks,
    w8,
    w16,
    w32,
    w64,
    v8,
    v16,
    v32,
    v64,
    x,
    y,
    ready,
    sizes,
    upper,
    out,
):
    """The kernel between all items of two groups, into `out` of shape (rows, columns).

    `ready` has shape (rows, columns, products); `sizes` are the entries of the maps, of the largest
    batch, and of the result. With `upper`, the two groups are the same and only pairs i ≤ j are
    computed, each written twice.
    """
    for task in range((out.shape[0] + GROUP - 1) // GROUP):
        own_maps = np.empty(sizes[0], out.dtype)
        own_overlaps = np.empty(sizes[1], out.dtype)
        own_counts = np.empty(sizes[1], np.int32)
        maps, overlaps, counts = unowned(own_maps), unowned(own_overlaps), unowned(own_counts)
        rows, scales, places = unowned(table), unowned(numbers), unowned(index)
        inside = unowned(masks)
        left8, left16, left32, left64 = unowned(w8), unowned(w16), unowned(w32), unowned(w64)
        right8, right16, right32, right64 = (
            unowned(v8),
            unowned(v16),
            unowned(v32),
            unowned(v64),
        )
        left, right, products, result = unowned(x), unowned(y), unowned(ready), unowned(out)
        last = min((task + 1) * GROUP, out.shape[0])
        # groups of rows against groups of columns, so that their words stay in a cache
        for start in range(task * GROUP if upper else 0, out.shape[1], GROUP):
            for i in range(task * GROUP, last):
                for j in range(max(i, start) if upper else start, min(start + GROUP, out.shape[1])):
                    _pair(
                        rows,
                        scales,
                        places,
                        inside,
                        left8[i],
                        left16[i],
                        left32[i],
                        left64[i],
                        right8[j],
                        right16[j],
                        right32[j],
                        right64[j],
                        left[i],
                        right[j],
                        products[i, j],
                        counts,
                        overlaps,
                        maps,
                    )
                    result[i, j] = maps[sizes[2]]
                    if upper:
                        result[j, i] = result[i, j]
        # named here, so that they live as long as what points into them
        own_maps[0], own_overlaps[0], own_counts[0] = 0, 0, 0
