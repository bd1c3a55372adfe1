"""Ways to form overlaps of factors: in floats, or of whole numbers in integers, which loses nothing.

All ways of one batch give the same bits. Gates of 0 and 1 are whole numbers, and an overlap of them
stays below 2²⁴. So are pixels k/255: with u = k − 128,

    ⟨k, k′⟩ = ⟨u, u′⟩ + 128 (Σu + Σu′) + 128² d,

where |⟨u, u′⟩| ≤ 2²⁴ for d ≤ 1024 coordinates, exact in float32 as well; wider ones are cut.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from gencheck.network.program import Batch
from gencheck.spectral.kernel.factors import FactorReader

# Coordinates of at most 2⁷ each whose overlaps are exact in float32.
_EXACT_WIDTH = 1024

# Rows whose overlaps are moved from integers to floats at one time: few enough to stay in a cache.
_ROWS = 64

# What torch multiplies 8-bit integers on a CUDA device by: more rows than these, whole multiples.
_INT8_ROWS, _INT8_MULTIPLE = 17, 8


class Way(Protocol):
    """One way to form the overlaps of a batch."""

    name: str

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """The factors of some items as this way reads them, of shape (blocks, n, …)."""
        ...

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Fill `out`, of shape (blocks, rows, columns), with the overlaps of prepared factors."""
        ...


class FloatProducts:
    """Batched matrix products in the run's dtype."""

    name = "float32"

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """As they are."""
        return reader.batch(batch)

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """One product for all blocks; 0/1 gates make every overlap an exact integer."""
        # of single factors there is nothing to sum, and a matrix product takes three times as long
        product = torch.mul if left.shape[2] == 1 else torch.bmm
        product(left, right.transpose(1, 2), out=out)


FLOATS = FloatProducts()

# How the overlaps of batches are formed where not as products of floats, by map and batch.
Ways: TypeAlias = Mapping[tuple[int, int], Way]


class Int8Products:
    """Products of 8-bit integers with 32-bit sums, for gates of 0 and 1."""

    name = "int8"

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """One byte each."""
        return reader.binary(batch).to(torch.int8).transpose(0, 1).contiguous()

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Block by block."""
        for own, other, overlap in zip(left, right, out, strict=True):
            overlap.copy_(int8_product(own, other))


class CountedBits:
    """Shared bits of words, in compiled loops on the CPU, for gates of 0 and 1."""

    name = "bits"

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """Words of 64 gates."""
        # only here, so that those who do not count bits need no compiler
        from gencheck.spectral.kernel.bits.shared import packed_words

        return packed_words(reader.binary(batch))

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """All blocks at once."""
        from gencheck.spectral.kernel.bits.shared import count_shared

        count_shared(left, right, out)


@dataclass(frozen=True)
class Levels:
    """Coordinates that are whole numbers k = x · scale, taken as u = k − offset in [−128, 127]."""

    scale: int
    offset: int

    def of(self, items: Tensor) -> Tensor:
        """u, in the items' dtype."""
        return (items * self.scale).round_() - self.offset

    def shift(self, factors: Tensor) -> Tensor:
        """The part of each item, given as u, in ⟨k, k′⟩ − ⟨u, u′⟩: with offset o, o Σu + o² d / 2."""
        # exact in floats too, and several times quicker than converting each to an integer
        dtype = factors.dtype if factors.is_floating_point() else torch.int32
        sums = factors.sum(1, dtype=dtype).int()
        return sums.mul_(self.offset).add_(self.offset**2 * factors.shape[1] // 2)


def levels_of(items: Tensor) -> Levels | None:
    """How the coordinates of `items` are whole numbers, None where they are not."""
    low, high = (float(end) for end in items.aminmax())
    for levels in (Levels(1, 0), Levels(255, 128)):
        first, last = (end * levels.scale - levels.offset for end in (low, high))
        if first < -128.5 or last > 127.5:
            continue
        parts = items.split(1024)
        if all(bool(((p * levels.scale).round_().div_(levels.scale) == p).all()) for p in parts):
            return levels
    return None


class FloatLevels:
    """Products of whole coordinates in float32, as exact as those of integers."""

    name = "float32"

    def __init__(self, levels: Levels) -> None:
        self.levels = levels

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """u, as floats."""
        return self.levels.of(reader.batch(batch))

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """So many coordinates at a time that the sums are exact."""
        for own, other, overlap in zip(left, right, out, strict=True):
            parts = zip(own.split(_EXACT_WIDTH, 1), other.split(_EXACT_WIDTH, 1), strict=True)
            whole: Tensor | None = None
            for a, b in parts:
                torch.mm(a, b.T, out=overlap)
                if own.shape[1] > _EXACT_WIDTH:
                    whole = overlap.int() if whole is None else whole.add_(overlap.int())
            write_levels(overlap if whole is None else whole, own, other, self.levels, out=overlap)


class Int8Levels:
    """Products of whole coordinates as 8-bit integers with 32-bit sums."""

    name = "int8"

    def __init__(self, levels: Levels) -> None:
        self.levels = levels

    def prepared(self, reader: FactorReader, batch: Batch) -> Tensor:
        """u, one byte each."""
        return self.levels.of(reader.batch(batch)).to(torch.int8)

    def into(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Block by block."""
        for own, other, overlap in zip(left, right, out, strict=True):
            write_levels(int8_product(own, other), own, other, self.levels, out=overlap)


def write_levels(
    products: Tensor, left: Tensor, right: Tensor, levels: Levels, *, out: Tensor
) -> None:
    """⟨x, x′⟩ of whole coordinates from ⟨u, u′⟩, with one rounding of the sum and one of the scale.

    `products` may be `out` itself.
    """
    own, other = levels.shift(left), levels.shift(right)
    for rows in _row_parts(len(products)):
        whole = products[rows].to(torch.int32)
        if levels.offset:
            whole.add_(own[rows, None]).add_(other)
        out[rows] = whole
        if levels.scale != 1:
            out[rows].mul_(1 / levels.scale**2)


def _row_parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, count, _ROWS))


def int8_product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """L Rᵀ of 8-bit integers, shape (rows, columns), in 32-bit integers; into `out` where one is given.

    torch has it under a private name alone; `has_int8_products` says whether it does.
    """
    rows, columns = len(left), len(right)
    width = -left.shape[1] % _INT8_MULTIPLE
    above = max(_INT8_ROWS - rows, 0)
    beside = -columns % _INT8_MULTIPLE
    if width or above:
        left = torch.nn.functional.pad(left, (0, width, 0, above))
    if width or beside:
        right = torch.nn.functional.pad(right, (0, width, 0, beside))
    if out is None:
        return torch._int_mm(left, right.T)[:rows, :columns]
    if above or beside:
        return out.copy_(torch._int_mm(left, right.T)[:rows, :columns])
    return torch._int_mm(left, right.T, out=out)


def has_int8_units(device: str) -> bool:
    """True where the processor multiplies 8-bit integers quicker than floats.

    A fact of the machine and no measurement: whether coordinates are taken as whole numbers decides
    the last bits, so that it must not depend on how busy the machine is.
    """
    if device != "cpu":
        return True
    # private names, for which torch has no public ones; without them it is taken for false
    asked = (
        getattr(torch.cpu, name, None) for name in ("_is_vnni_supported", "_is_amx_tile_supported")
    )
    return any(ask is not None and ask() for ask in asked)


def has_int8_products(device: str) -> bool:
    """True where torch multiplies 8-bit integers on that device, and rightly."""
    if not hasattr(torch, "_int_mm"):
        return False
    ones = torch.arange(-8, 8, dtype=torch.int8, device=device).repeat(24, 1)
    try:
        found = int8_product(ones, ones)
    except (RuntimeError, TypeError):
        return False
    return bool((found == int((ones[0].long() ** 2).sum())).all())
