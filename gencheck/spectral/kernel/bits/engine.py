"""Gram matrices by counting bits: what prepares items for the compiled loops and calls them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencheck.spectral.kernel.bits.plan import BITS, READY, REALS, WORDS, BitPlan
from gencheck.spectral.kernel.factors import Factors

Words = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class PackedItems:
    """The factors of some items as the loops read them.

    Attributes
    ----------
    words
        For each width of `WORDS`, shape (n, words of that width).
    reals
        Shape (n, real factors), in the run's dtype.
    ready
        For each matrix product, the factors of its one block, shape (n, width).
    """

    words: tuple[Words, ...]
    reals: NDArray[np.floating]
    ready: tuple[Tensor, ...]

    def rows(self, part: slice) -> "PackedItems":
        """Those of some of the items."""
        words = tuple(array[part] for array in self.words)
        return PackedItems(words, self.reals[part], tuple(r[part] for r in self.ready))


def packed_items(plan: BitPlan, factors: Factors, rows: slice) -> PackedItems:
    """Words and real factors of some items."""
    reader = factors.reader(rows)
    count = len(reader.items)
    dtypes = (np.uint16, np.uint32, np.uint64)
    words = tuple(
        np.zeros((count, max(size, 1)), dtype)
        for size, dtype in zip(plan.words, dtypes, strict=True)
    )
    reals = np.zeros((count, max(plan.reals, 1)), reader.items.numpy().dtype)
    ready = []
    for place in plan.placed:
        batch = place.batches[0]
        if place.kind == READY:
            ready.append(reader.batch(batch)[0])
        elif place.kind == REALS:
            values = reader.batch(batch).permute(1, 2, 0)
            reals[:, place.entries] = values.reshape(count, -1).numpy()
        elif place.kind == BITS:
            target = words[place.word][:, place.entries]
            for part in place.batches:
                packed = _words(reader.binary(part).numpy(), WORDS[place.word], place.depth)
                if place.by_carrier:
                    target[:, part.at] = packed
                elif place.first >= 0:
                    spread = target.reshape(count, place.depth, place.blocks)
                    own = packed.reshape(count, place.depth, part.blocks)
                    spread[:, :, part.cells - place.first] = own
                    target[:] = spread.reshape(count, -1)
                else:
                    target[:] = packed
    return PackedItems(words, reals, tuple(ready))


def _words(active: NDArray[np.bool_], width: int, depth: int) -> Words:
    """Bits of shape (n, blocks, K) as words of shape (n, depth · blocks), the blocks fastest."""
    count, blocks, used = active.shape
    if used < depth * width:
        padded = np.zeros((count, blocks, depth * width), np.bool_)
        padded[:, :, :used] = active
        active = padded
    dtype = np.dtype(f"uint{width}")
    packed = np.packbits(active.reshape(count, blocks, depth, width), axis=3).view(dtype)[..., 0]
    return packed.transpose(0, 2, 1).reshape(count, -1)


class BitKernel:
    """Fills blocks of the Gram matrix by counting bits, pair by pair, on the calling thread."""

    def __init__(self, plan: BitPlan, dtype: torch.dtype) -> None:
        # only here, so that those who do not count bits need no compiler
        from gencheck.spectral.kernel.bits.loops import fill_block

        self.plan, self.loops = plan, fill_block
        self.numbers = plan.numbers.astype(str(dtype).removeprefix("torch."))
        self.sizes = (plan.scratch, plan.counts, plan.result)

    def fill(self, left: PackedItems, right: PackedItems, upper: bool, out: Tensor) -> None:
        """The kernel between two groups of items, into `out` of shape (rows, columns)."""
        # the loops write to contiguous memory, which a part of a tile is not
        result = out if out.is_contiguous() else torch.empty_like(out).contiguous()
        pairs = zip(left.ready, right.ready, strict=True)
        products = [a @ b.T for a, b in pairs] or [out.new_empty(out.shape)]
        self.loops(
            self.plan.table,
            self.numbers,
            self.plan.index,
            *left.words,
            *right.words,
            left.reals,
            right.reals,
            torch.stack(products, 2).numpy(),
            self.sizes,
            upper,
            result.numpy(),
        )
        if result is not out:
            out.copy_(result)
