"""The operations of a `BitPlan` on pairs of items, as compiled loops (numba)."""

from functools import partial
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from gencheck.spectral.kernel.bits.box_loops import box
from gencheck.spectral.kernel.bits.plan import (
    AT_INDEX,
    AT_MODE,
    BITS,
    BOX,
    BY_INDEX,
    CELL_INDEX,
    CELL_MODE,
    COUNT,
    DEPTH,
    DILATION,
    FILL,
    FRESH,
    IN_ORDER,
    INNER,
    KERNEL,
    KIND,
    OFFSET,
    OUTER,
    PADDING,
    READ,
    READY,
    REALS,
    SINGLE,
    SLIDE,
    SOURCE,
    STRIDE,
    TARGET,
    WIDEST,
    WORD,
    WRITTEN,
)
from gencheck.spectral.kernel.bits.vector_loops import (
    begin,
    begin_bits,
    begin_product,
    compiled,
    copied,
    count_all,
    count_bits,
    count_more,
    plus,
    plus_at,
    plus_every,
    product,
    product_more,
    times,
    times_at,
    total,
    weighted_bits,
    weighted_bits_at,
    weighted_total,
)

# Calls with this many arrays cost more than short loops take.
inlined = partial(compiled, forceinline=True)

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
def _add(row, scale, constant, overlaps, maps, index):
    """maps[cell] += scale · maps[at] · overlaps, over the blocks of one batch.

    A fresh map, all of whose cells come in order, = constant + … instead.
    """
    count, source, target = row[COUNT], row[SOURCE], row[TARGET]
    at_mode, cell_mode = row[AT_MODE], row[CELL_MODE]
    part = overlaps[:count]
    if at_mode == SINGLE:
        scale = scale * maps[source]
    elif at_mode == IN_ORDER:
        times(maps[source : source + count], part)
    elif at_mode == BY_INDEX:
        times_at(maps[source:], index[row[AT_INDEX] : row[AT_INDEX] + count], part)
    if cell_mode == IN_ORDER and row[FRESH]:
        begin(scale, constant, part, maps[target : target + count])
    elif cell_mode == IN_ORDER:
        plus(scale, part, maps[target : target + count])
    elif cell_mode == SINGLE:
        maps[target] += scale * total(part)
    else:
        cells = index[row[CELL_INDEX] : row[CELL_INDEX] + count]
        plus_at(scale, part, cells, maps[target:])


@inlined
def _bits(row, numbers, left, right, counts, overlaps, maps, index):
    """Overlaps of bits. True where one loop adds them: each block is one word, and all lies in order."""
    scale, count, offset, depth = numbers[0], row[COUNT], row[OFFSET], row[DEPTH]
    if count == 1:
        stop = offset + depth
        overlaps[0] = count_all(left[offset:stop], right[offset:stop])
        return False
    stop = offset + count
    own, other = left[offset:stop], right[offset:stop]
    if depth == 1 and row[CELL_MODE] == IN_ORDER:
        target = maps[row[TARGET] : row[TARGET] + count]
        if row[AT_MODE] == IN_ORDER:
            carrier = maps[row[SOURCE] : row[SOURCE] + count]
            if row[FRESH]:
                begin_bits(own, other, scale, carrier, numbers[1], target)
            else:
                weighted_bits(own, other, scale, carrier, target)
            return True
        if row[AT_MODE] == BY_INDEX:
            at = index[row[AT_INDEX] : row[AT_INDEX] + count]
            weighted_bits_at(own, other, scale, maps[row[SOURCE] :], at, target)
            return True
    if depth == 1 and row[CELL_MODE] == SINGLE and row[AT_MODE] == IN_ORDER:
        carrier = maps[row[SOURCE] : row[SOURCE] + count]
        maps[row[TARGET]] += scale * weighted_total(own, other, carrier)
        return True
    part = counts[:count]
    count_bits(own, other, part)
    for d in range(1, depth):
        first = offset + d * count
        count_more(left[first : first + count], right[first : first + count], part)
    copied(part, overlaps[:count])
    return False


@compiled
def _reals(row, numbers, left, right, overlaps, maps):
    """Inner products of real factors. True where one loop adds them: one factor, no carrier, in order."""
    count, offset = row[COUNT], row[OFFSET]
    own, other = left[offset : offset + count], right[offset : offset + count]
    if row[FRESH] and row[DEPTH] == 1:
        target = maps[row[TARGET] : row[TARGET] + count]
        begin_product(own, other, numbers[0], numbers[1], target)
        return True
    part = overlaps[:count]
    product(own, other, part)
    for d in range(1, row[DEPTH]):
        first = offset + d * count
        product_more(left[first : first + count], right[first : first + count], part)
    return False


@compiled
def _slide(row, scale, constant, maps):
    """A sum of windows along one axis: target(r) = constant + scale · Σ_tap source(reads(r))."""
    read, written, inner = row[READ], row[WRITTEN], row[INNER]
    stride, outer = row[STRIDE], row[OUTER]
    source = maps[row[SOURCE] : row[SOURCE] + outer * read * inner]
    target = maps[row[TARGET] : row[TARGET] + outer * written * inner]
    target[:] = constant
    for tap in range(row[KERNEL]):
        shift = tap * row[DILATION] - row[PADDING]
        first = (-shift + stride - 1) // stride if shift < 0 else 0
        stop = min(written, (read - 1 - shift) // stride + 1) if read > shift else 0
        if stop <= first:
            continue
        for o in range(outer):
            if stride == 1:
                start = (o * read + first + shift) * inner
                place = (o * written + first) * inner
                count = (stop - first) * inner
                plus(scale, source[start : start + count], target[place : place + count])
            elif inner == 1:
                reads = source[o * read + first * stride + shift : (o + 1) * read]
                plus_every(scale, reads, stride, target[o * written + first : o * written + stop])
            else:
                for r in range(first, stop):
                    place, start = (
                        (o * written + r) * inner,
                        (o * read + r * stride + shift) * inner,
                    )
                    plus(scale, source[start : start + inner], target[place : place + inner])


@inlined
def _pair(
    table,
    numbers,
    index,
    w16,
    w32,
    w64,
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
        row, own = table[o], numbers[o]
        scale, constant = own[0], own[1]
        kind, word = row[KIND], row[WORD]
        done = True
        if kind == BITS and word == 0:
            done = _bits(row, own, w16, v16, counts, overlaps, maps, index)
        elif kind == BITS and word == 1:
            done = _bits(row, own, w32, v32, counts, overlaps, maps, index)
        elif kind == BITS:
            done = _bits(row, own, w64, v64, counts, overlaps, maps, index)
        elif kind == BOX:
            box(row, scale, constant, maps)
        elif kind == SLIDE:
            _slide(row, scale, constant, maps)
        elif kind == FILL:
            maps[row[TARGET] : row[TARGET] + row[COUNT]] = constant
        elif kind == REALS:
            done = _reals(row, own, x, y, overlaps, maps)
        elif kind == READY:
            overlaps[0] = ready[row[WORD]]
            done = False
        else:
            for p in range(row[COUNT]):
                overlaps[p] = index[row[OFFSET] + p]
            done = False
        if not done:
            _add(row, scale, constant, overlaps, maps, index)


@compiled
def fill_block(
    table,
    numbers,
    index,
    w16,
    w32,
    w64,
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
        own_maps[:WIDEST] = 0
        own_overlaps = np.empty(sizes[1], out.dtype)
        own_counts = np.empty(sizes[1], np.int32)
        maps, overlaps, counts = unowned(own_maps), unowned(own_overlaps), unowned(own_counts)
        rows, scales, places = unowned(table), unowned(numbers), unowned(index)
        left16, left32, left64 = unowned(w16), unowned(w32), unowned(w64)
        right16, right32, right64 = unowned(v16), unowned(v32), unowned(v64)
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
                        left16[i],
                        left32[i],
                        left64[i],
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
