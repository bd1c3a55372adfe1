"""The program of the path kernel as a flat table of operations on one pair of items.

Where gates are 0 or 1, an overlap is the number of bits that two words share. All maps of one pair
fit into a first-level cache, so the whole program is carried out pair by pair: each operation below
is a loop over the cells of a map.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gencheck.network.ir import Clamp, Gate, MaxPool, Network
from gencheck.network.program import Batch, Program
from gencheck.spectral.kernel.factors import Factors

# What an operation does.
FILL, BITS, REALS, READY, COUNTS, SLIDE, BOX = range(7)

# How the carrier's cells, and the cells of the result, lie: none, in order, all one, or by index.
NONE, IN_ORDER, SINGLE, BY_INDEX = range(4)

# Columns of the table of whole numbers.
KIND, TARGET, SOURCE, COUNT, WORD, OFFSET, DEPTH = range(7)
AT_MODE, AT_INDEX, CELL_MODE, CELL_INDEX = range(7, 11)
OUTER, READ, WRITTEN, INNER, KERNEL, STRIDE, PADDING, DILATION = range(11, 19)
# Of a BOX, over rows; whether a map starts from the constant, or goes on from what it has.
ROW_READ, ROW_WRITTEN, FRESH = range(19, 22)

# Entries of a row that loops over windows take at once: so many after a map may be overwritten.
WIDEST = 32

# Widths of the words that blocks of bits are put into.
WORDS = (16, 32, 64)

# An overlap of so many real coordinates in one block is left to a matrix product.
_READY_WIDTH = 32

# More real factors than this, beside what share of the bits, and matrix products are quicker.
_REALS_BESIDE, _REALS_SHARE = 8192, 0.1


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the factors of some batches are kept for each item.

    Attributes
    ----------
    batches
        One batch; or several that continue different cells of one carrier, kept in the carrier's
        order, so that one loop over its cells serves them all.
    kind
        BITS, REALS or READY.
    word
        The number of the array that holds it: a width of `WORDS`, or of a matrix.
    offset, depth, blocks
        The first entry there, how many entries each block takes, and the blocks, which run fastest.
    by_carrier
        True where the blocks are the carrier's cells in order.
    first
        Otherwise the cell of the result that the first block goes to, where the blocks are cells in
        order, absent ones with no bit set; −1 where they are the batch's own.
    """

    batches: tuple[Batch, ...]
    kind: int
    word: int
    offset: int
    depth: int
    blocks: int
    by_carrier: bool
    first: int = -1

    @property
    def entries(self) -> slice:
        """Its entries in each item's array."""
        return slice(self.offset, self.offset + self.depth * self.blocks)


@dataclass
class BitPlan:
    """Operations, indices, scratch sizes, and where the factors of each batch lie.

    Attributes
    ----------
    table, numbers
        One row an operation: whole numbers by column, and (scale, constant).
    index
        Indices that operations refer to by their offset.
    scratch
        Entries of the maps of one pair; the kernel's value ends up in entry `result`.
    counts
        Entries of the largest batch of overlaps.
    words, reals
        Entries of each item's array of each width of words, and of real factors.
    """

    table: NDArray[np.int64]
    numbers: NDArray[np.float64]
    index: NDArray[np.int32]
    scratch: int
    result: int
    counts: int
    words: list[int]
    reals: int
    placed: list[Placed]


def is_binary(batch: Batch, factors: Factors) -> bool:
    """True where every factor of the batch is 0 or 1."""
    return all(
        column.node != 0 and factors.planes[column.node, column.plane].is_binary
        for column in batch.columns
    )


def suits_bits(program: Program, network: Network) -> bool:
    """True for maps of many cells whose factors are nearly all 0 or 1.

    There counting bits beats matrix products; on a plain chain of dense layers it does not.
    """
    if any(batch.vocabulary or batch.repeat > 1 for _, _, batch in program.batches()):
        return False
    bits = reals = 0
    for _, _, batch in program.batches():
        size = batch.blocks * batch.width
        if batch.columns and not is_ready(batch):
            binary = all(_is_binary_node(network, column.node) for column in batch.columns)
            bits, reals = bits + size * binary, reals + size * (not binary)
    spatial = any(node.cells > 1 for node in program.maps)
    return spatial and bits > 0 and reals <= _REALS_BESIDE + _REALS_SHARE * bits


def _is_binary_node(network: Network, position: int) -> bool:
    node = network.nodes[position]
    if isinstance(node, Gate):
        return node.slope is not None and not bool(node.slope.any())
    return isinstance(node, Clamp | MaxPool)


def is_ready(batch: Batch) -> bool:
    """True for one block of many input coordinates: its overlaps are one matrix product."""
    plain = len(batch.columns) == 1 and batch.columns[0].node == 0
    return batch.blocks == 1 and plain and batch.width >= _READY_WIDTH
