"""Best-first branch and bound for ‖v_k‖_∞ where the paths are too many to enumerate.

Paths are extended from the output back, unit by unit. A beginning with the product f of its gates
so far goes on to some start s (an input coordinate, or 1) through further gates, all of which lie in
[0, 1]; so no completion exceeds

    max_s max( Σ_i (c_i f_i s_i)⁺, Σ_i (c_i f_i s_i)⁻ ).

The beginning with the largest such bound is extended next, and one whose bound is no larger than the
best path found is given up. So is one that leads to the same cell with the same product of gates as
another: both have the same completions. What is left at any time brackets ‖v_k‖_∞ from above.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import torch
from torch import Tensor

from gencheck.network.program import Collapse, Slide
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.paths import BIAS, Path, PathSpace, Step

# Entries of all beginnings that are held at one time; beyond, the least hopeful are let go.
_HELD_ENTRIES = 2**26

# Beginnings that are recognised when they come again.
_REMEMBERED = 2**21

# What one step of the search costs beside its products, at the nominal rate.
_STEP_FLOPS = 5e6

# Entries of the products that one extension forms at a time.
_PART_ENTRIES = 2**22


@dataclass(frozen=True)
class Bracket:
    """‖v_k‖_∞ from below, by a path that attains it, and from above.

    `flops` is what the search took.
    """

    lower: float
    path: Path
    upper: float
    flops: float


@dataclass(order=True)
class _Beginning:
    """A path from the output back to a cell of a map, with the most that it can become."""

    order: tuple[float, int]
    at_map: int = field(compare=False)
    cell: int = field(compare=False)
    feature: Tensor = field(compare=False)
    path: Path = field(compare=False)

    @property
    def bound(self) -> float:
        """The most that a completion can reach."""
        return -self.order[0]


@dataclass(frozen=True)
class _Block:
    """The steps that some columns stand for, named one at a time: they are many, and few are kept."""

    at_map: int
    batch: int
    block: int
    units: Tensor

    def step(self, column: int) -> Step:
        """The step of one column."""
        return Step(self.at_map, self.batch, self.block, int(self.units[column]))


class BranchAndBound:
    """The search for one output.

    Parameters
    ----------
    space
        The paths on the items with a nonzero coefficient; gates must lie in [0, 1].
    weights
        c, shape (n,), float64.
    lower, path
        The best path known, and its |v_p|.
    """

    def __init__(self, space: PathSpace, weights: Tensor, lower: float, path: Path) -> None:
        self.space, self.exact_weights = space, weights.double()
        self.weights = weights.to(space.like.dtype)
        self.lower, self.path = lower, path
        starts = torch.cat([space.ones(), space.distinct_inputs()], 1)
        self.positive = starts.clamp(min=0)
        self.negative = (-starts).clamp(min=0)
        self.signed = bool(self.negative.any())
        # bounds are formed in the run's dtype: room for the rounding of their sums
        self.room = 1 + space.count * torch.finfo(space.like.dtype).eps
        self.open: list[_Beginning] = []
        self.seen: set[bytes] = set()
        self.let_go = 0.0
        self.count, self.flops = 0, 0.0
        self.deadline = Deadline(math.inf)

    def bracketed(self, budget: float, deadline: Deadline | None = None) -> Bracket:
        """Extend the most hopeful beginnings until `budget` operations are spent or none is left.

        Past the `deadline` the beginning at hand is let go of, and its bound stays in the upper end.
        """
        self.deadline = deadline or self.deadline
        ones = self.space.ones()[:, 0]
        start = float(self._bounds(ones[:, None])[0])
        heapq.heappush(self.open, _Beginning((-start, 0), self.space.last, 0, ones, ()))
        while self.open and self.open[0].bound > self.lower and self.flops < budget:
            if self.deadline.has_passed():
                break
            self._extend(heapq.heappop(self.open))
        left = self.open[0].bound if self.open else 0.0
        return Bracket(self.lower, self.path, max(left, self.let_go, self.lower), self.flops)

    def _extend(self, beginning: _Beginning) -> None:
        node = self.space.program.maps[beginning.at_map]
        if node.bias:
            step = Step(beginning.at_map, BIAS, beginning.cell, 0)
            self._finish(beginning.feature, (*beginning.path, step))
        if isinstance(node, Slide):
            # the same gates, so the same bound
            for source in {int(p) for p in node.reads[beginning.cell] if p >= 0}:
                self._push(beginning, node.source, source, beginning.feature, beginning.path)
            return
        for b, batch, j in self.space.blocks(beginning.at_map, beginning.cell):
            if self.deadline.has_passed():
                self.let_go = max(self.let_go, beginning.bound)
                return
            columns = self.space.columns(beginning.at_map, b, j)
            for first, products in self._products(beginning.feature, columns.values):
                units = columns.units[first : first + products.shape[1]]
                block = _Block(beginning.at_map, b, j, units)
                if batch.carrier is None:
                    self._finish_best(products, block, beginning.path)
                elif self._is_first(batch.carrier):
                    self._finish_pairs(
                        products, block, beginning.path, batch.carrier, int(batch.at[j])
                    )
                else:
                    self._branch(beginning, products, block, batch.carrier, int(batch.at[j]))

    def _products(self, feature: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
        width = max(1, _PART_ENTRIES // max(self.space.count, 1))
        for first in range(0, columns.shape[1], width):
            yield first, feature[:, None] * columns[:, first : first + width]

    def _branch(
        self, beginning: _Beginning, products: Tensor, block: _Block, at_map: int, cell: int
    ) -> None:
        # no completion of a part exceeds one of the whole, whatever rounding says
        bounds = self._bounds(products).clamp(max=beginning.bound).tolist()
        for column, bound in enumerate(bounds):
            if bound > self.lower:
                path = (*beginning.path, block.step(column))
                self._push_at(bound, at_map, cell, products[:, column].clone(), path)

    def _push(
        self, beginning: _Beginning, at_map: int, cell: int, feature: Tensor, path: Path
    ) -> None:
        self._push_at(beginning.bound, at_map, cell, feature, path)

    def _push_at(self, bound: float, at_map: int, cell: int, feature: Tensor, path: Path) -> None:
        if self._has_been(at_map, cell, feature):
            return
        self.count += 1
        made = _Beginning((-bound, self.count), at_map, cell, feature, path)
        heapq.heappush(self.open, made)
        if len(self.open) * max(self.space.count, 1) > _HELD_ENTRIES:
            self._thin()

    def _has_been(self, at_map: int, cell: int, feature: Tensor) -> bool:
        """True where a beginning with the same completions is or was open."""
        key = blake2b(feature.cpu().numpy().tobytes(), digest_size=16)
        key.update(f"{at_map} {cell}".encode())
        made = key.digest()
        if made in self.seen:
            return True
        if len(self.seen) < _REMEMBERED:
            self.seen.add(made)
        return False

    def _thin(self) -> None:
        """Let go of the less hopeful half; the largest bound among them stays part of the upper end."""
        ordered = sorted(self.open)
        kept = ordered[: len(ordered) // 2]
        self.let_go = max(self.let_go, ordered[len(kept)].bound)
        self.open = kept

    def _bounds(self, features: Tensor) -> Tensor:
        """max_s max(Σ_i (c_i f_i s_i)⁺, Σ_i (c_i f_i s_i)⁻) of each column f. Shape (columns,)."""
        weighted = self.weights[:, None] * features
        up, down = weighted.clamp(min=0).T, (-weighted).clamp(min=0).T
        plus, minus = up @ self.positive, down @ self.positive
        work = 4.0 * features.numel() * self.positive.shape[1] * (2 if self.signed else 1)
        self.flops += work + _STEP_FLOPS
        if self.signed:
            plus, minus = plus + down @ self.negative, minus + up @ self.negative
        return torch.maximum(plus, minus).amax(1) * self.room

    def _finish_best(self, products: Tensor, block: _Block, before: Path) -> None:
        """The best of complete paths that end in the same block."""
        if not products.shape[1]:
            return
        self.flops += 2.0 * products.numel() + _STEP_FLOPS
        values = (self.weights @ products).abs()
        at = int(values.argmax())
        # evaluated anew only where rounding leaves it a chance
        if float(values[at]) * self.room > self.lower:
            self._finish(products[:, at], (*before, block.step(at)))

    def _is_first(self, at_map: int) -> bool:
        """True for a map at which all paths start."""
        node = self.space.program.maps[at_map]
        return isinstance(node, Collapse) and not node.sources

    def _finish_pairs(
        self, products: Tensor, block: _Block, before: Path, at_map: int, cell: int
    ) -> None:
        """The best of all completions whose next step is the last: as cheap as to bound them."""
        if not products.shape[1]:
            return
        weighted = self.weights[:, None] * products
        if self.space.program.maps[at_map].bias:
            totals = weighted.sum(0).abs()
            row = int(totals.argmax())
            if float(totals[row]) * self.room > self.lower:
                path = (*before, block.step(row), Step(at_map, BIAS, cell, 0))
                self._finish(products[:, row], path)
        for b, _, j in self.space.blocks(at_map, cell):
            columns = self.space.columns(at_map, b, j)
            if not len(columns.units):
                continue
            self.flops += 2.0 * weighted.numel() * len(columns.units) + _STEP_FLOPS
            values = (weighted.T @ columns.values).abs()
            row, column = divmod(int(values.argmax()), values.shape[1])
            if float(values[row, column]) * self.room > self.lower:
                last = _Block(at_map, b, j, columns.units)
                path = (*before, block.step(row), last.step(column))
                self._finish(products[:, row] * columns.values[:, column], path)

    def _finish(self, feature: Tensor, path: Path) -> None:
        value = abs(float(self.exact_weights @ feature.double()))
        if value > self.lower:
            self.lower, self.path = value, path
