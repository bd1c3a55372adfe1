"""The Gram matrix of the path kernel, in tiles of the upper triangle."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.network.terms import Gathering, Term
from gencheck.progress import SILENT, Progress
from gencheck.spectral.factors import Factors
from gencheck.spectral.tiles import Tile, upper_tiles

# Carriers whose self-products stay within these powers of two need no scaling.
_SAFE_EXPONENT = 40

# Entries of a block that are widened to float64 at one time: few enough to stay in a cache.
_WIDE_ENTRIES = 2**18


@dataclass(frozen=True)
class Gram:
    """K = ZZᵀ for N items, as ``2**exponent`` times tiles of its upper triangle.

    Attributes
    ----------
    tiles
        Where each stored block lies.
    blocks
        The blocks, in the run's dtype and on its device.
    count
        The number N of items.
    exponent
        The power of two left out of the blocks; the true kernel is past float64 for deep networks.
    """

    tiles: list[Tile]
    blocks: list[Tensor]
    count: int
    exponent: int

    def matmul(self, right: Tensor) -> Tensor:
        """``2**-exponent`` K A for `right` = A of shape (N, k), formed and returned in float64.

        The blocks are widened one at a time: float64 sums cost little beside reading K, and leave
        its own rounding as the only one.
        """
        right = right.to(self.blocks[0].device, torch.float64)
        product = torch.zeros_like(right)
        largest = max(block.numel() for block in self.blocks)
        buffer = right.new_empty(min(largest, _WIDE_ENTRIES))
        for tile, block in zip(self.tiles, self.blocks, strict=True):
            height = max(1, len(buffer) // block.shape[1])
            for start in range(0, len(block), height):
                part = block[start : start + height]
                wide = buffer[: part.numel()].view(part.shape).copy_(part)
                rows = slice(tile.rows.start + start, tile.rows.start + start + len(part))
                product[rows] += wide @ right[tile.columns]
                if not tile.on_diagonal:
                    product[tile.columns] += wide.T @ right[rows]
        return product

    def diagonal(self) -> Tensor:
        """``2**-exponent`` K(i, i) for every item, float64, on the CPU. Shape (N,)."""
        parts = [
            block.diagonal().double().cpu()
            for tile, block in zip(self.tiles, self.blocks, strict=True)
            if tile.on_diagonal
        ]
        return torch.cat(parts)

    def dense(self) -> Tensor:
        """The whole matrix ``2**-exponent`` K, shape (N, N): for small N."""
        matrix = self.blocks[0].new_empty((self.count, self.count))
        for tile, block in zip(self.tiles, self.blocks, strict=True):
            matrix[tile.rows, tile.columns] = block
            matrix[tile.columns, tile.rows] = block.T
        return matrix


def gram_matrix(
    gatherings: tuple[Gathering, ...],
    factors: Factors,
    tile_size: int,
    progress: Progress = SILENT,
) -> Gram:
    """The Gram matrix of the path kernel for all items of `factors`.

    For each tile one pass over the gatherings: a GEMM for each term, and one fused elementwise pass.
    With 0/1 gates every overlap is an integer below 2²⁴ and therefore exact in float32.
    """
    exponents = carrier_exponents(gatherings, factors)
    tiles = upper_tiles(factors.count, tile_size)
    kernel = _TileKernel(gatherings, exponents, tile_size, factors.items)
    progress.start("gram", float(sum(a * b for a, b in (t.shape for t in tiles))), "pairs")
    blocks = _allocated(tiles, factors.items)
    for tile, block in zip(tiles, blocks, strict=True):
        kernel.compute(factors.rows(tile.rows), factors.rows(tile.columns), block)
        progress.advance(float(tile.shape[0] * tile.shape[1]))
    progress.finish()
    return Gram(tiles, blocks, factors.count, exponents[-1])


def _allocated(tiles: list[Tile], like: Tensor) -> list[Tensor]:
    """Memory for all blocks, in one piece.

    On the CPU it comes from numpy, which asks for huge pages: with small ones, page faults take as
    long as the arithmetic.
    """
    sizes = [rows * columns for rows, columns in (tile.shape for tile in tiles)]
    if like.device.type == "cpu":
        dtype = str(like.dtype).removeprefix("torch.")
        storage = torch.from_numpy(np.empty(sum(sizes), dtype))
    else:
        storage = like.new_empty(sum(sizes))
    parts = storage.split(sizes)
    return [part.view(tile.shape) for part, tile in zip(parts, tiles, strict=True)]


def flops_per_pair(gatherings: tuple[Gathering, ...]) -> int:
    """The floating-point operations of the overlaps that one pair of items needs: 2 · Σ widths."""
    return 2 * sum(
        term.width for g in gatherings for term in g.terms if term.from_input or term.gates
    )


def carrier_exponents(gatherings: tuple[Gathering, ...], factors: Factors) -> list[int]:
    """A power of two for each gathering that brings its largest self-product max_i a(i,i) near 1.

    By Cauchy-Schwarz |a(i,j)| ≤ max_i a(i,i), so no entry overflows after the scaling. All zero
    (no scaling, integers stay integers) where the self-products stay within 2^±40.
    """
    scaled: list[Tensor] = []
    exponents: list[int] = []
    for gathering in gatherings:
        parts: list[tuple[Tensor, int]] = []
        for term in gathering.terms:
            factor = factors.of(term)
            overlap = factors.items.new_full((factors.count,), term.width, dtype=torch.float64)
            if factor is not None:
                overlap = _squared_norms(factor)
            if term.carrier is None:
                parts.append((overlap, 0))
            else:
                parts.append((overlap * scaled[term.carrier], exponents[term.carrier]))
        if gathering.bias or not parts:
            parts.append((factors.items.new_ones((factors.count,), dtype=torch.float64), 0))
        base = max(exponent for _, exponent in parts)
        total = sum(part * 2.0 ** (exponent - base) for part, exponent in parts)
        assert isinstance(total, Tensor)
        peak = float(total.max())
        shift = int(torch.frexp(torch.tensor(peak, dtype=torch.float64)).exponent)
        scaled.append(total * 2.0**-shift)
        exponents.append(base + shift)
    if all(abs(exponent) <= _SAFE_EXPONENT for exponent in exponents):
        return [0] * len(exponents)
    return exponents


def _squared_norms(factor: Tensor, rows: int = 4096) -> Tensor:
    parts = [part.double().square().sum(1) for part in factor.split(rows)]
    return torch.cat(parts)


class _TileKernel:
    """Computes blocks with buffers that are allocated once.

    Fresh memory for each intermediate would be handed out page by page, which costs more than the
    arithmetic.
    """

    def __init__(
        self,
        gatherings: tuple[Gathering, ...],
        exponents: list[int],
        tile_size: int,
        like: Tensor,
    ) -> None:
        self.gatherings = gatherings
        self.exponents = exponents
        self.like = like
        self.size = tile_size * tile_size
        self.free: list[Tensor] = []
        self.readers = Counter(
            term.carrier for g in gatherings for term in g.terms if term.carrier is not None
        )

    def compute(self, left: Factors, right: Factors, block: Tensor) -> None:
        """Fill `block` with the kernel between the items of `left` and those of `right`."""
        carriers: dict[int, Tensor] = {}
        waiting = Counter(self.readers)
        last = len(self.gatherings) - 1
        for position, gathering in enumerate(self.gatherings):
            out = block if position == last else self._take(block.shape)
            self._gather(position, gathering, carriers, left, right, out)
            carriers[position] = out
            for term in gathering.terms:
                if term.carrier is not None:
                    waiting[term.carrier] -= 1
                    if waiting[term.carrier] == 0:
                        self.free.append(carriers.pop(term.carrier))

    def _take(self, shape: torch.Size) -> Tensor:
        if not self.free:
            return self.like.new_empty(self.size)[: shape.numel()].view(shape)
        storage = self.free.pop().untyped_storage()
        view: Tensor = self.like.new_empty(0).set_(storage, 0, shape, (shape[1], 1))
        return view

    def _gather(
        self,
        position: int,
        gathering: Gathering,
        carriers: dict[int, Tensor],
        left: Factors,
        right: Factors,
        out: Tensor,
    ) -> None:
        """Out = Σ_terms carrier ⊙ overlap + bias, at this gathering's exponent."""
        bias = 2.0 ** -self.exponents[position] if gathering.bias else 0.0
        constant = self.like.new_full((1, 1), bias)
        if not gathering.terms:
            out.copy_(constant.expand_as(out))
        for index, term in enumerate(gathering.terms):
            before = constant if index == 0 else out
            self._add_term(before, position, term, carriers, left, right, out)

    def _add_term(
        self,
        before: Tensor,
        position: int,
        term: Term,
        carriers: dict[int, Tensor],
        left: Factors,
        right: Factors,
        out: Tensor,
    ) -> None:
        """Out = before + carrier ⊙ overlap."""
        base = 0 if term.carrier is None else self.exponents[term.carrier]
        scale = 2.0 ** (base - self.exponents[position])
        rows, columns = left.of(term), right.of(term)
        if rows is None or columns is None:
            constant = term.width * scale
            if term.carrier is None:
                torch.add(before.expand_as(out), constant, out=out)
            else:
                torch.add(before.expand_as(out), carriers[term.carrier], alpha=constant, out=out)
        elif term.carrier is None:
            torch.addmm(before, rows, columns.T, alpha=scale, out=out)
        else:
            # not in `out`, which may be fresh memory: that is best written once, by the fused pass
            overlap = self._take(out.shape)
            torch.mm(rows, columns.T, out=overlap)
            torch.addcmul(before, carriers[term.carrier], overlap, value=scale, out=out)
            self.free.append(overlap)
