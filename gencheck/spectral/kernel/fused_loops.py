"""Maps of one cell, from their overlaps to the kernel in one pass over memory: compiled loops (numba)."""

from functools import partial

import numpy as np

from gencheck.spectral.kernel.bits.loops import unowned
from gencheck.spectral.kernel.bits.vector_loops import WORDS_AT_ONCE, compiled, copied, count_four

# Where an overlap comes from: bits that words share, 32-bit products of whole coordinates, products
# in floats, or a number that is the same for all pairs.
BITS, WHOLE, PRODUCT, COUNT = range(4)

# Columns of the table of operations.
KIND, TARGET, SOURCE, FRESH, FIRST, STOP = range(6)

# Rows of one task, and columns whose maps stay in a first-level cache.
_ROWS, _COLUMNS = 32, 256

# No sum is split otherwise, and what torch contracts is contracted: the bits are those of its passes.
_ROUNDED = partial(compiled, fastmath={"contract", "nsz"})


@compiled
def _count(own, others, first, stop, counts):
    """Counts = the bits that one item's words share with the columns' words, from first to stop."""
    counts[:] = 0
    size = counts.shape[0]
    for w in range(first, stop, WORDS_AT_ONCE):
        count_four(
            own[w],
            own[w + 1],
            own[w + 2],
            own[w + 3],
            others[w][:size],
            others[w + 1][:size],
            others[w + 2][:size],
            others[w + 3][:size],
            counts,
        )


@_ROUNDED
def _scaled_levels(products, own, shifts, factor, overlaps):
    """Overlaps = factor · (products + own + shifts), the sum in whole numbers."""
    for j in range(overlaps.shape[0]):
        overlaps[j] = np.float32(products[j] + own + shifts[j]) * factor


@_ROUNDED
def _start(scale, start, overlaps, target):
    """Target = start + scale · overlaps."""
    for j in range(target.shape[0]):
        target[j] = start + scale * overlaps[j]


@_ROUNDED
def _start_from(scale, start, carrier, overlaps, target):
    """Target = start + scale · carrier · overlaps."""
    for j in range(target.shape[0]):
        target[j] = start + (scale * carrier[j]) * overlaps[j]


@_ROUNDED
def _plus(scale, overlaps, target):
    """Target += scale · overlaps."""
    for j in range(target.shape[0]):
        target[j] += scale * overlaps[j]


@_ROUNDED
def _plus_from(scale, carrier, overlaps, target):
    """Target += scale · carrier · overlaps."""
    for j in range(target.shape[0]):
        target[j] += (scale * carrier[j]) * overlaps[j]


@compiled
def _add(operation, numbers, overlaps, maps):
    """What one batch adds to its map, or begins it with."""
    scale, start = numbers[0], numbers[1]
    size, source = overlaps.shape[0], operation[SOURCE]
    # cut one by one: parts of two axes at once would not be known to lie side by side
    target = maps[operation[TARGET]][:size]
    if operation[FRESH] and source < 0:
        _start(scale, start, overlaps, target)
    elif operation[FRESH]:
        _start_from(scale, start, maps[source][:size], overlaps, target)
    elif source < 0:
        _plus(scale, overlaps, target)
    else:
        _plus_from(scale, maps[source][:size], overlaps, target)


@compiled
def fill_fused(program, words, wholes, products, out):
    """The kernel between two groups of items, into `out` of shape (rows, columns).

    `program` is a table with a row for each batch, and its numbers: scale, what its map starts from,
    and the overlap of a COUNT. `words` are the left items', shape (rows, words), and the right ones',
    (words, columns). `wholes` are 32-bit products, (p, rows, columns), the parts of each row and each
    column in them, (p, rows) and (p, columns), and what they are multiplied by, (p,). `products` has
    shape (q, rows, columns).
    """
    rows, columns = out.shape
    table, numbers = program
    maps = table[-1, TARGET] + 1
    for task in range((rows + _ROWS - 1) // _ROWS):
        own_maps = np.empty((maps, _COLUMNS), out.dtype)
        own_overlaps = np.empty(_COLUMNS, out.dtype)
        own_counts = np.empty(_COLUMNS, np.int32)
        # rows of the words lie a power of two apart, where they would push each other from a cache
        own_words = np.empty((words[1].shape[0], _COLUMNS), np.uint64)
        near = unowned(own_words)
        values, overlaps, counts = unowned(own_maps), unowned(own_overlaps), unowned(own_counts)
        operations, factors, result = unowned(table), unowned(numbers), unowned(out)
        left, right, real = unowned(words[0]), unowned(words[1]), unowned(products)
        whole, down, across = unowned(wholes[0]), unowned(wholes[1]), unowned(wholes[2])
        scales = unowned(wholes[3])
        for start in range(0, columns, _COLUMNS):
            stop = min(start + _COLUMNS, columns)
            size = stop - start
            for w in range(near.shape[0]):
                near[w, :size] = right[w, start:stop]
            for i in range(task * _ROWS, min((task + 1) * _ROWS, rows)):
                for o in range(operations.shape[0]):
                    kind, first = operations[o, KIND], operations[o, FIRST]
                    part = overlaps[:size]
                    if kind == BITS:
                        end = operations[o, STOP]
                        _count(left[i], near, first, end, counts[:size])
                        copied(counts[:size], part)
                    elif kind == WHOLE:
                        _scaled_levels(
                            whole[first, i, start:stop],
                            down[first, i],
                            across[first, start:stop],
                            scales[first],
                            part,
                        )
                    elif kind == PRODUCT:
                        part[:] = real[first, i, start:stop]
                    else:
                        part[:] = factors[o, 2]
                    _add(operations[o], factors[o], part, values)
                result[i, start:stop] = values[maps - 1, :size]
        # named here, so that they live as long as what points into them
        own_maps[0, 0], own_overlaps[0], own_counts[0] = 0, 0, own_words.shape[0]
