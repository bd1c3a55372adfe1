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
    for p in range(target.shape[0]):
        target[p] += scale * carrier[p] * np.int32(popcount(left[p] & right[p]))


@compiled
def weighted_bits_at(left, right, scale, carrier, at, target):
    """Target += scale · carrier(at) · the bits that words share."""
    for p in range(target.shape[0]):
        shared = np.int32(popcount(left[p] & right[p]))
        target[p] += scale * carrier[at[p]] * shared


@compiled
def weighted_total(left, right, carrier):
    """Σ carrier · the bits that words share."""
    total = carrier[0] * 0
    for p in range(carrier.shape[0]):
        total += carrier[p] * np.int32(popcount(left[p] & right[p]))
    return total


@compiled
def copied(counts, overlaps):
    """Overlaps = counts, as real numbers."""
    for p in range(overlaps.shape[0]):
        overlaps[p] = counts[p]


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
def plus_masked(scale, source, mask, target):
    """Target += scale · mask · source."""
    for p in range(target.shape[0]):
        target[p] += scale * mask[p] * source[p]


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
def box3(source, target, far, scale, constant):
    """Windows of three that stay in the grid or leave it by one, `far` entries apart, in one pass."""
    end = target.shape[0]
    before, here, after = source[: end - 2 * far], source[far : end - far], source[2 * far : end]
    inner = target[far : end - far]
    for p in range(inner.shape[0]):
        inner[p] = constant + scale * (before[p] + here[p] + after[p])
    for p in range(far):
        target[p] = constant + scale * (source[p] + source[far + p])
        target[end - far + p] = constant + scale * (
            source[end - far + p] + source[end - 2 * far + p]
        )


@compiled
def box3_masked(source, target, left, right, scale, constant):
    """`box3` along rows that lie side by side; the masks are 0 where a neighbour is another row's."""
    end = target.shape[0]
    before, here, after = source[: end - 2], source[1 : end - 1], source[2:end]
    from_left, from_right, inner = left[1 : end - 1], right[1 : end - 1], target[1 : end - 1]
    for p in range(inner.shape[0]):
        inner[p] = constant + scale * (
            from_left[p] * before[p] + here[p] + from_right[p] * after[p]
        )
    target[0] = constant + scale * (source[0] + right[0] * source[1])
    target[end - 1] = constant + scale * (source[end - 1] + left[end - 1] * source[end - 2])


@compiled
def box5(source, target, far, scale, constant):
    """Windows of five, `far` entries apart, those inside the grid: the ends are left to the caller."""
    end = target.shape[0]
    first, second, third = source[: end - 4 * far], source[far : end - 3 * far], source[2 * far :]
    fourth, fifth, inner = source[3 * far :], source[4 * far :], target[2 * far : end - 2 * far]
    for p in range(inner.shape[0]):
        inner[p] = constant + scale * (first[p] + second[p] + third[p] + fourth[p] + fifth[p])


@compiled
def ends5(source, target, far, scale, constant):
    """The two windows at each end of `box5`."""
    end = target.shape[0]
    for p in range(far):
        a, b, c, d = source[p], source[far + p], source[2 * far + p], source[3 * far + p]
        target[p] = constant + scale * (a + b + c)
        target[far + p] = constant + scale * (a + b + c + d)
        q = end - far + p
        a, b, c, d = source[q], source[q - far], source[q - 2 * far], source[q - 3 * far]
        target[q] = constant + scale * (a + b + c)
        target[q - far] = constant + scale * (a + b + c + d)


@compiled
def box5_rows(source, target, width, scale, constant):
    """`box5` along each of the rows that lie side by side."""
    box5(source, target, 1, scale, constant)
    for start in range(0, target.shape[0], width):
        ends5(source[start : start + width], target[start : start + width], 1, scale, constant)


@compiled
def plus_every(scale, source, stride, target):
    """Target += scale · every so many-th entry of the source."""
    for p in range(target.shape[0]):
        target[p] += scale * source[p * stride]


@compiled
def halved(source, target):
    """The sums of neighbours in twos."""
    for p in range(target.shape[0]):
        target[p] = source[2 * p] + source[2 * p + 1]


@compiled
def shortened(source, side, target):
    """The sums of neighbours, `side` at a time."""
    for p in range(target.shape[0]):
        total = source[side * p]
        for d in range(1, side):
            total += source[side * p + d]
        target[p] = total


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
