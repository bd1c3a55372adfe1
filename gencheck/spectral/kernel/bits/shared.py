"""Overlaps of whole groups of items by counting the bits that their words share."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from gencheck.spectral.kernel.bits.vector_loops import WORDS_AT_ONCE, fill_shared
from gencheck.spectral.kernel.threads import in_parts


def word_count(width: int) -> int:
    """The words that so many bits take: a whole number of passes of the loops."""
    return -(-width // (64 * WORDS_AT_ONCE)) * WORDS_AT_ONCE


def packed_words(active: Tensor) -> Tensor:
    """Booleans of shape (n, blocks, width) as words of shape (blocks, n, words), padded with 0."""
    count, blocks, width = active.shape
    padded = np.zeros((count, blocks, 64 * word_count(width)), np.bool_)
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
    columns = np.ascontiguousarray(right.numpy().view(np.uint64).transpose(0, 2, 1))
    whole = out if out.is_contiguous() else torch.empty_like(out).contiguous()
    words = np.ascontiguousarray(left.numpy()).view(np.uint64)
    in_parts(words.shape[0] * words.shape[1], partial(fill_shared, words, columns, whole.numpy()))
    if whole is not out:
        out.copy_(whole)
