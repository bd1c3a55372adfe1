"""Overlaps of whole groups of items by counting the bits that their words share (numba)."""

from functools import partial

import numba
import numpy as np
import torch
from torch import Tensor

from gencheck.spectral.kernel.bits.loops import use_threads
from gencheck.spectral.kernel.bits.vector_loops import compiled, popcount

# Words that one pass over a row of counts takes: more of them in registers are no quicker.
_WORDS = 4


@compiled
def _count(a, b, c, d, first, second, third, fourth, counts):
    """counts[j] += the bits that four words share with each item's."""
    for j in range(counts.shape[0]):
        counts[j] += np.int32(
            popcount(a & first[j])
            + popcount(b & second[j])
            + popcount(c & third[j])
            + popcount(d & fourth[j])
        )


@partial(compiled, parallel=True)
def _fill(left, right, out):
    """`left` has shape (blocks, rows, words), `right` (blocks, words, columns): four words at a time."""
    blocks, rows, words = left.shape
    for task in numba.prange(blocks * rows):
        block, row = task // rows, task % rows
        counts = np.zeros(out.shape[2], np.int32)
        own, other = left[block, row], right[block]
        for w in range(0, words, _WORDS):
            _count(
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


def packed_words(active: Tensor) -> Tensor:
    """Booleans of shape (n, blocks, width) as words of shape (blocks, n, words), padded with 0."""
    count, blocks, width = active.shape
    size = 64 * _WORDS
    padded = np.zeros((count, blocks, -(-width // size) * size), np.bool_)
    padded[:, :, :width] = active.numpy()
    words = np.packbits(padded, axis=2).view(np.int64)
    return torch.from_numpy(np.ascontiguousarray(words.transpose(1, 0, 2)))


def count_shared(left: Tensor, right: Tensor, out: Tensor) -> None:
    """The bits that the words of two groups of items share, as real numbers, on torch's threads.

    Parameters
    ----------
    left, right
        Words of shape (blocks, n, words).
    out
        Shape (blocks, rows, columns).
    """
    threads = torch.get_num_threads()
    use_threads(threads)
    columns = np.ascontiguousarray(right.numpy().view(np.uint64).transpose(0, 2, 1))
    whole = out if out.is_contiguous() else torch.empty_like(out).contiguous()
    _fill(np.ascontiguousarray(left.numpy()).view(np.uint64), columns, whole.numpy())
    torch.set_num_threads(threads)
    if whole is not out:
        out.copy_(whole)
