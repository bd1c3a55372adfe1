"""Elementary loops over vectors, compiled (numba).

Every loop runs over slices of its own: only then does the compiler see that they do not overlap, and
that no index is negative, and uses vector instructions.
"""

import os
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

# Sums may be split over the lanes of a vector; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}

# Words that one pass over a row of counts takes: more of them in registers are no quicker.
WORDS_AT_ONCE = 4


def compiled(function: Any, **options: Any) -> Any:
    """`function` compiled; the result is kept in the user's cache folder, or where numba finds room."""
    settings = {"fastmath": FAST, "error_model": "numpy", "nogil": True, **options}
    chosen = numba.config.CACHE_DIR
    try:
        # numba reads the folder here, and looks for another where it cannot be written
        numba.config.CACHE_DIR = chosen or str(cache_folder())
        return numba.njit(cache=True, **settings)(function)
    except RuntimeError:
        # no place for the cache: it is compiled anew in each process
        return numba.njit(**settings)(function)
    finally:
        numba.config.CACHE_DIR = chosen


def cache_folder() -> Path:
    """Where compiled loops are kept between processes."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "gencheck" / "numba"


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """The number of set bits: one instruction, vectorised by the compiler."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), generate


@compiled
def count_bits(left, right, counts):
    """counts[p] = the bits that words p share."""
    for p in range(counts.shape[0]):
        counts[p] = np.int32(popcount(left[p] & right[p]))


@compiled
def count_more(left, right, counts):
    """counts[p] += the bits that words p share."""
    for p in range(counts.shape[0]):
        counts[p] += np.int32(popcount(left[p] & right[p]))


@compiled
def count_all(left, right):
    """The bits that all words share."""
    total = np.int64(0)
    for p in range(left.shape[0]):
        total += np.int64(popcount(left[p] & right[p]))
    return total


@compiled
def weighted_bits(left, right, scale, carrier, target):
    """Target += scale · carrier · the bits that words share."""
    real = carrier.dtype.type
    for p in range(target.shape[0]):
        # in the carrier's own type: a product with an integer would be formed in float64
        target[p] += scale * carrier[p] * real(popcount(left[p] & right[p]))


@compiled
def begin_bits(left, right, scale, carrier, constant, target):
    """Target = constant + scale · carrier · the bits that words share."""
    real = carrier.dtype.type
    for p in range(target.shape[0]):
        target[p] = constant + scale * carrier[p] * real(popcount(left[p] & right[p]))


@compiled
def weighted_bits_at(left, right, scale, carrier, at, target):
    """Target += scale · carrier(at) · the bits that words share."""
    real = carrier.dtype.type
    for p in range(target.shape[0]):
        target[p] += scale * carrier[at[p]] * real(popcount(left[p] & right[p]))


@compiled
def weighted_total(left, right, carrier):
    """Σ carrier · the bits that words share."""
    real = carrier.dtype.type
    total = real(0)
    for p in range(carrier.shape[0]):
        total += carrier[p] * real(popcount(left[p] & right[p]))
    return total


@compiled
def copied(counts, overlaps):
    """Overlaps = counts, as real numbers."""
    for p in range(overlaps.shape[0]):
        overlaps[p] = counts[p]


@compiled
def begin_product(left, right, scale, constant, target):
    """Target = constant + scale · left · right."""
    for p in range(target.shape[0]):
        target[p] = constant + scale * (left[p] * right[p])


@compiled
def product(left, right, overlaps):
    """Overlaps = left · right."""
    for p in range(overlaps.shape[0]):
        overlaps[p] = left[p] * right[p]


@compiled
def product_more(left, right, overlaps):
    """Overlaps += left · right."""
    for p in range(overlaps.shape[0]):
        overlaps[p] += left[p] * right[p]


@compiled
def times(carrier, overlaps):
    """Overlaps *= carrier."""
    for p in range(overlaps.shape[0]):
        overlaps[p] *= carrier[p]


@compiled
def times_at(carrier, at, overlaps):
    """Overlaps *= carrier(at)."""
    for p in range(overlaps.shape[0]):
        overlaps[p] *= carrier[at[p]]


@compiled
def plus(scale, overlaps, target):
    """Target += scale · overlaps."""
    for p in range(target.shape[0]):
        target[p] += scale * overlaps[p]


@compiled
def begin(scale, constant, overlaps, target):
    """Target = constant + scale · overlaps."""
    for p in range(target.shape[0]):
        target[p] = constant + scale * overlaps[p]


@compiled
def plus_at(scale, overlaps, cells, target):
    """target(cells) += scale · overlaps."""
    for p in range(overlaps.shape[0]):
        target[cells[p]] += scale * overlaps[p]


@compiled
def total(overlaps):
    """The sum of all overlaps."""
    total = overlaps[0]
    for p in range(1, overlaps.shape[0]):
        total += overlaps[p]
    return total


@compiled
def plus_every(scale, source, stride, target):
    """Target += scale · every so many-th entry of the source."""
    for p in range(target.shape[0]):
        target[p] += scale * source[p * stride]


@compiled
def count_four(a, b, c, d, first, second, third, fourth, counts):
    """counts[j] += the bits that four words share with each item's."""
    for j in range(counts.shape[0]):
        counts[j] += np.int32(
            popcount(a & first[j])
            + popcount(b & second[j])
            + popcount(c & third[j])
            + popcount(d & fourth[j])
        )


@compiled
def fill_shared(left, right, out, first, stop):
    """Rows of all blocks from first to stop, four words at a time.

    `left` has shape (blocks, rows, words), `right` (blocks, words, columns).
    """
    rows, words = left.shape[1:]
    for task in range(first, stop):
        block, row = task // rows, task % rows
        counts = np.zeros(out.shape[2], np.int32)
        own, other = left[block, row], right[block]
        for w in range(0, words, WORDS_AT_ONCE):
            count_four(
                own[w],
                own[w + 1],
                own[w + 2],
                own[w + 3],
                other[w],
                other[w + 1],
                other[w + 2],
                other[w + 3],
                counts,
            )
        target = out[block, row]
        for j in range(counts.shape[0]):
            target[j] = counts[j]
