"""Where on the input a direction of path space lies: its squared length by input coordinate."""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import Batch, Collapse, Program, Slide
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.evaluate import map_exponents
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel
from gencheck.spectral.kernel.strip_factors import StripFactors, strip_factors
from gencheck.spectral.ranks import LANES, Ranks, dealt

# Bytes of maps and overlaps that one step holds: all of them are kept for the derivative. Larger
# steps get their memory from the system page by page, which costs more than the arithmetic.
_STEP_BYTES = 2**26

# Rows of a step at most: larger products are no quicker.
_STEP_ROWS = 256

# Rows and columns of a tile of their kernel: so many tiles that ranks can share them.
_TILE = 128

# Directions of the items' span whose share of its largest eigenvalue is below this, or below the
# precision of the run that found u, are left out: rounding would decide them.
_DIRECTION = 1e-10


@dataclass(frozen=True)
class CoordinateEnergy:
    """Σ_p u_p² of a direction u of path space with ‖u‖ = 1, by where its paths start.

    Attributes
    ----------
    coordinates
        By input coordinate, shape (d,).
    elsewhere
        Of the paths that start at biases and constants.
    captured
        ‖Pu‖², P the projector on the span of the items that were used: the sum of all of the above.
    items
        How many items those are.
    """

    coordinates: Tensor
    elsewhere: float
    captured: float
    items: int


def coordinate_energy(
    kernel: PathKernel,
    factors: Factors,
    products: Tensor,
    exponent: int,
    progress: Progress = SILENT,
) -> CoordinateEnergy:
    """The energy of u projected on the span of some items, from z_i·u of these items alone.

    Pu = Σ_i b_i z_i with b = K⁺(z_i·u)_i. The kernel is linear in what its input coordinates
    contribute: with K(t) that of coordinates worth t_j each,

        Σ_{p from j} (Pu)_p² = ∂/∂t_j Σ_ii′ b_i b_i′ K_ii′(t),

    so one backward pass through the program of the kernel gives all coordinates, exactly. Blocks of pairs
    are dealt to the kernel's ranks.

    Parameters
    ----------
    kernel
        The path kernel, whose program is differentiated.
    factors
        Of the items that span, M of them.
    products
        z_i·u of these items, shape (M,), ``2**(exponent / 2)`` times smaller than they are.
    """
    wide = replace(factors, items=factors.items.double(), placed={})
    run = _DifferentiableKernel(kernel.windows, wide)
    options = replace(kernel.options, tile=_TILE, storage="memory")
    outputs = products.new_empty(0)
    gram = replace(kernel, options=options).gram(PathFeatures(wide, outputs))
    whole = gram.dense() * 2.0 ** (gram.exponent - run.exponent)
    values, vectors = torch.linalg.eigh(whole)
    cut = max(_DIRECTION, torch.finfo(factors.items.dtype).eps)
    kept = values > cut * values[-1].clamp(min=0)
    basis = vectors[:, kept]
    scaled = products.to(whole) * 2.0 ** ((exponent - run.exponent) / 2)
    rotated = basis.T @ scaled
    captured = float((rotated.square() / values[kept]).sum())
    coordinates = run.energy(basis @ (rotated / values[kept]), kernel.ranks, progress).cpu()
    return CoordinateEnergy(
        coordinates=coordinates,
        elsewhere=max(captured - float(coordinates.sum()), 0.0),
        captured=captured,
        items=len(products),
    )


class _DifferentiableKernel:
    """The program of the kernel in operations that torch differentiates, step by step of pairs."""

    def __init__(self, program: Program, factors: Factors) -> None:
        self.program, self.factors = program, factors
        self.exponents = map_exponents(program, factors, min(factors.count, _STEP_ROWS))
        held = sum(
            node.cells + sum(2 * batch.blocks for batch in getattr(node, "batches", ()))
            for node in program.maps
        )
        side = isqrt(_STEP_BYTES // (8 * held))
        side = max(1, min(side, _STEP_ROWS))
        starts = range(0, factors.count, side)
        self.strips = [slice(start, min(start + side, factors.count)) for start in starts]
        self._kept: dict[int, StripFactors] = {}

    @property
    def exponent(self) -> int:
        """The power of two left out of the kernel."""
        return self.exponents[-1]

    def energy(self, combination: Tensor, ranks: Ranks, progress: Progress) -> Tensor:
        """∂/∂t of Σ_ii′ b_i b_i′ K_ii′(t) at t = 1, in true units of a kernel scaled by 2**-exponent."""
        # blocks of pairs on and above the diagonal
        steps = list(combinations_with_replacement(self.strips, 2))
        lanes = dealt(len(steps), min(LANES, len(steps)))
        own = sum(len(lanes[lane]) for lane in ranks.share(len(lanes)))
        progress.start("direction", own, "blocks")

        def of_lane(lane: int) -> Tensor:
            worth = self.factors.items.new_ones(self.factors.items.shape[1]).requires_grad_()
            for step in lanes[lane]:
                rows, columns = steps[step]
                block = self._run(self._strip(rows), self._strip(columns), worth)
                # a block above the diagonal stands for its mirror image too
                twice = 1.0 if columns == rows else 2.0
                (twice * (combination[rows] @ block @ combination[columns])).backward()
                progress.advance(1)
            assert worth.grad is not None
            return worth.grad

        found = ranks.summed(len(lanes), of_lane, self.factors.items[0])
        progress.finish()
        return found

    def _strip(self, rows: slice) -> StripFactors:
        """The factors of some items; those of the last two are kept."""
        if rows.start not in self._kept:
            if len(self._kept) == 2:
                self._kept.pop(next(iter(self._kept)))
            self._kept[rows.start] = strip_factors(self.program, self.factors, rows)
        else:
            # the one that was read last goes last
            self._kept[rows.start] = self._kept.pop(rows.start)
        return self._kept[rows.start]

    def _run(self, left: StripFactors, right: StripFactors, worth: Tensor) -> Tensor:
        made: list[Tensor] = []
        for position, node in enumerate(self.program.maps):
            if isinstance(node, Collapse):
                made.append(
                    self._collapse(position, node, made, left=left, right=right, worth=worth)
                )
            else:
                made.append(self._slide(position, node, made[node.source]))
        return made[-1][0]

    def _scale(self, source: int | None, position: int) -> float:
        base = 0 if source is None else self.exponents[source]
        return 2.0 ** (base - self.exponents[position])

    def _collapse(
        self,
        position: int,
        node: Collapse,
        made: list[Tensor],
        left: StripFactors,
        right: StripFactors,
        worth: Tensor,
    ) -> Tensor:
        like = self.factors.items
        pairs = (
            next(iter(left.values())).shape[1],
            next(iter(right.values())).shape[1],
        )
        bias = self._scale(None, position) if node.bias else 0.0
        out = like.new_full((node.cells, *pairs), bias)
        for number, batch in enumerate(node.batches):
            key = (position, number)
            if batch.columns:
                part = _overlaps(batch, left[key], right[key], worth)
            else:
                counts = torch.from_numpy(batch.counts).to(like)
                part = counts[:, None, None].expand(-1, *pairs)
            part = part * (self._scale(batch.carrier, position) * batch.repeat)
            if batch.carrier is not None:
                part = part * made[batch.carrier][torch.from_numpy(batch.at).to(like.device)]
            out = out.index_add(0, torch.from_numpy(batch.cells).to(like.device), part)
        return out

    def _slide(self, position: int, node: Slide, source: Tensor) -> Tensor:
        padded = torch.cat([source, source.new_zeros((1, *source.shape[1:]))])
        reads = torch.from_numpy(np.where(node.reads < 0, len(source), node.reads))
        out = padded[reads[:, 0].to(source.device)]
        for tap in range(1, reads.shape[1]):
            out = out + padded[reads[:, tap].to(source.device)]
        out = out * self._scale(node.source, position)
        return out + self._scale(None, position) if node.bias else out


def _overlaps(batch: Batch, left: Tensor, right: Tensor, worth: Tensor) -> Tensor:
    if not batch.vocabulary:
        return _worth(batch, left, worth) @ right.transpose(1, 2)
    equal = (left == right.transpose(1, 2)).to(left)
    return equal * worth[torch.from_numpy(batch.births), None]


def _worth(batch: Batch, factors: Tensor, worth: Tensor) -> Tensor:
    """The factors with each input coordinate multiplied by its worth t_j."""
    inputs = [column for column in batch.columns if column.node == 0]
    if not inputs:
        return factors
    (column,) = inputs
    index = np.where(column.index < 0, len(worth), column.index)
    padded = torch.nn.functional.pad(worth, (0, 1))
    return factors * padded[torch.from_numpy(index).to(worth.device)][:, None, :]
