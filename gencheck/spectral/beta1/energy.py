"""Where on the input a direction of path space lies: its squared length by input coordinate."""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import Batch, Program, Slide
from gencheck.network.windows import Index
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.evaluate import map_exponents
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel
from gencheck.spectral.kernel.strip_factors import StripFactors, strip_factors
from gencheck.spectral.ranks import LANES, Ranks, dealt

# Bytes of maps and overlaps that one step holds. Larger steps get their memory from the system page by
# page, which costs more than the arithmetic.
_STEP_BYTES = 2**26

# Rows of a step at most: larger products are no quicker.
_STEP_ROWS = 256

# Rows and columns of a tile of their kernel: so many tiles that ranks can share them.
_TILE = 256

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
    run = _Adjoints(kernel.windows, wide)
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


class _Adjoints:
    """∂/∂t of the kernel's values, step by step of pairs, by one pass backwards through its program.

    A path starts at one input coordinate or at none, so that K is linear in t, and the derivative by a
    map does not depend on what its cells are: no pass forwards is needed.
    """

    def __init__(self, program: Program, factors: Factors) -> None:
        self.program, self.factors = program, factors
        self.exponents = map_exponents(program, factors, min(factors.count, _STEP_ROWS))
        widest = max(batch.blocks for _, _, batch in program.batches())
        side = isqrt(_STEP_BYTES // (8 * (program.live_cells + 2 * widest)))
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
            like = self.factors.items
            # the last entry is that of what pads blocks
            found = like.new_zeros(like.shape[1] + 1)
            for rows, columns in (steps[step] for step in lanes[lane]):
                # a block above the diagonal stands for its mirror image too
                twice = 1.0 if columns == rows else 2.0
                worth = twice * torch.outer(combination[rows], combination[columns])
                self._add(worth, self._strip(rows), self._strip(columns), found)
                progress.advance(1)
            return found[:-1]

        found = ranks.summed(len(lanes), of_lane, self.factors.items[0])
        progress.finish()
        return found

    def _strip(self, rows: slice) -> StripFactors:
        """The factors of some items; those of the last two are kept."""
        made = self._kept.pop(rows.start, None)
        if made is None:
            made = strip_factors(self.program, self.factors, rows)
        self._kept[rows.start] = made
        if len(self._kept) > 2:
            self._kept.pop(next(iter(self._kept)))
        return made

    def _add(self, worth: Tensor, left: StripFactors, right: StripFactors, found: Tensor) -> None:
        """found[j] += Σ_ii′ worth_ii′ ∂K_ii′/∂t_j."""
        maps = self.program.maps
        adjoints: dict[int, Tensor] = {len(maps) - 1: worth[None]}
        for position in reversed(range(len(maps))):
            node, own = maps[position], adjoints.pop(position, None)
            if own is None:
                # no path goes on from here
                continue
            if isinstance(node, Slide):
                scale = 2.0 ** (self.exponents[node.source] - self.exponents[position])
                spread = _spread(node, own).mul_(scale)
                before = adjoints.get(node.source)
                adjoints[node.source] = spread if before is None else before.add_(spread)
                continue
            for number, batch in enumerate(node.batches):
                base = 0 if batch.carrier is None else self.exponents[batch.carrier]
                scale = 2.0 ** (base - self.exponents[position]) * batch.repeat
                factors = left.get((position, number)), right.get((position, number))
                if batch.carrier is None:
                    _start(batch, own, factors, scale, found)
                    continue
                if batch.carrier not in adjoints:
                    cells = maps[batch.carrier].cells
                    adjoints[batch.carrier] = own.new_zeros((cells, *own.shape[1:]))
                _pass_on(batch, own, factors, scale, adjoints[batch.carrier])


_Pair = tuple[Tensor | None, Tensor | None]


def _pass_on(batch: Batch, own: Tensor, factors: _Pair, scale: float, carrier: Tensor) -> None:
    """What a batch adds to the derivative by its carrier's cells."""
    left, right = factors
    worth = _cells(own, batch.cells)
    if left is None or right is None:
        part = worth * torch.from_numpy(batch.counts).to(own)[:, None, None]
    else:
        part = (left @ right.transpose(1, 2)).mul_(worth)
    if _is_whole(batch.at, len(carrier)):
        carrier.add_(part, alpha=scale)
    else:
        carrier.index_add_(0, torch.from_numpy(batch.at).to(own.device), part, alpha=scale)


def _start(batch: Batch, own: Tensor, factors: _Pair, scale: float, found: Tensor) -> None:
    """What a batch whose paths start in it adds to the derivative by the input coordinates."""
    left, right = factors
    inputs = [column for column in batch.columns if column.node == 0]
    if left is None or right is None or not inputs:
        return
    worth = _cells(own, batch.cells)
    if batch.vocabulary:
        parts = (worth * (left == right.transpose(1, 2))).sum((1, 2))[:, None]
        index = batch.births
    else:
        (column,) = inputs
        parts, index = (left * (worth @ right)).sum(1), column.index
    index = np.where(index < 0, len(found) - 1, index)
    places = torch.from_numpy(index).to(found.device).flatten()
    found.index_add_(0, places, parts.flatten(), alpha=scale)


def _cells(own: Tensor, cells: Index) -> Tensor:
    """Some cells of a map, or the map itself where they are all of them in order."""
    return own if _is_whole(cells, len(own)) else own[torch.from_numpy(cells).to(own.device)]


def _is_whole(cells: Index, count: int) -> bool:
    return np.array_equal(cells, np.arange(count))


def _spread(node: Slide, own: Tensor) -> Tensor:
    """Σ over the windows that read a cell, for each cell of the source: axis by axis."""
    windows, pairs = node.windows, own.shape[1:]
    grid = own.view(node.groups, *windows.out, *pairs)
    for axis, size in enumerate(windows.extent):
        shape = list(grid.shape)
        shape[axis + 1] = size
        wide = grid.new_zeros(shape)
        for tap in range(windows.kernel[axis]):
            reads = windows.reads(axis, tap)
            inside = np.flatnonzero((reads >= 0) & (reads < size))
            if len(inside):
                count, first = len(inside), int(reads[inside[0]])
                stop = first + windows.stride[axis] * (count - 1) + 1
                target = wide.movedim(axis + 1, 0)[first : stop : windows.stride[axis]]
                target += grid.movedim(axis + 1, 0)[int(inside[0]) : int(inside[0]) + count]
        grid = wide
    return grid.reshape(-1, *pairs)
