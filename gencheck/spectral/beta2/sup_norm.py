"""β2: the largest entry of v_k = E_S[y_k z] − E_T[y_k z], exactly or as an interval.

v_k is a vector over all paths; an extreme entry of it is found by enumeration while the paths are
few, and is bracketed by the best path found and by norms that bound every entry beyond that.
"""

import math
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from gencheck.network.program import Program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta2.branch import BranchAndBound
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.enumeration import BLOCK_ENTRIES, blocks, enumerated, restricted
from gencheck.spectral.beta2.paths import Path, PathSpace, Step, unmerged_path_count
from gencheck.spectral.beta2.search import best_path
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.ranks import ALONE, Ranks

# Seconds of budget are operations at this rate, so that the result of a machine that keeps up with it
# does not depend on how fast it is; on another the clock ends the search, and the result says so.
NOMINAL_FLOPS_PER_SECOND = 5e10

# Merging equal and dead paths is worth its time where enumeration is too long by at most this factor.
_MERGE_HOPE = 1e4

# Where enumeration takes more operations than this, branch and bound is tried first: it may give up
# most paths, and takes no longer than the enumeration would.
_LONG_ENUMERATION = 5e9


@dataclass(frozen=True)
class SupNorm:
    """‖v_k‖_∞ for each output k, as an interval.

    Attributes
    ----------
    lower, upper
        Lists of K numbers; equal where `exact`.
    exact
        True where every path was enumerated, or given up because it cannot be the largest.
    output, path
        The output and the path that attain max_k `lower`.
    flops
        What the enumeration took, or would have taken; infinite where that is not known.
    stopped_by_clock
        True where another run, with more time or on a quicker machine, may find a narrower interval.
    """

    lower: list[float]
    upper: list[float]
    exact: bool
    output: int
    path: Path
    flops: float
    stopped_by_clock: bool = False

    @classmethod
    def unsearched(cls, outputs: int) -> "SupNorm":
        """Nothing is known: no path was looked at."""
        lower, upper = [0.0] * outputs, [math.inf] * outputs
        return cls(lower, upper, exact=False, output=0, path=(), flops=math.inf)


def sup_norms(
    program: Program,
    factors: Factors,
    coefficients: Tensor,
    budget: float,
    gates_lie_in_unit_interval: bool = True,
    seed: int = 0,
    progress: Progress = SILENT,
    deadline: Deadline | None = None,
    ranks: Ranks = ALONE,
) -> SupNorm:
    """‖v_k‖_∞ = max_p |Σ_i c_ik z_p(x_i)| for every column k of `coefficients`.

    Only the items with c_ik ≠ 0 enter output k, which for class labels divides the work by K.
    Features are formed in the factors' dtype; the entry of the best path is evaluated in float64.

    Parameters
    ----------
    coefficients
        Shape (N, K), float64.
    budget
        Enumerate where it takes at most this many floating-point operations; elsewhere, what branch
        and bound may take to narrow the interval, for all outputs together.
    gates_lie_in_unit_interval
        False where slopes rule out the upper end that rests on gates in [0, 1]; the upper ends are
        then infinite unless paths are enumerated.
    seed
        Seeds the random starts of the search where enumeration is too long.
    deadline
        When to stop with what has been found, whatever operations are left; none by default.
    ranks
        Who searches which outputs; all of them have what was found.
    """
    outputs = range(coefficients.shape[1])
    own = ranks.share(len(outputs))
    deadline = deadline or Deadline(math.inf)
    counting = deadline.share(1 / 4)
    flops = _enumeration_flops(program, factors, coefficients, budget, counting)
    search = _Search(flops, budget, len(outputs), gates_lie_in_unit_interval)
    progress.start("beta2", len(own), "outputs")
    # of each output: a lower and an upper end, and whether the clock ended a search
    ends = torch.zeros((3, len(outputs)), dtype=torch.float64, device=factors.items.device)
    paths: dict[int, Path] = {}
    for k in own:
        # built anew for each output: together they could take more memory than the data
        space, weights = restricted(program, factors, coefficients[:, k])
        time = deadline.share(1 / (own.stop - k))
        value, paths[k], end = search.of(space, weights, seed + k, time)
        ends[:, k] = ends.new_tensor([value, max(value, end), float(time.struck)])
        progress.advance(1)
    progress.finish()
    lower, upper, struck = ranks.joined(ends).tolist()
    output = max(outputs, key=lower.__getitem__)
    return SupNorm(
        lower=lower,
        upper=upper,
        exact=lower == upper,
        output=output,
        path=_shared_path(paths.get(output), ranks, ends),
        flops=flops,
        stopped_by_clock=(counting.struck or any(struck)) and lower != upper,
    )


def _shared_path(own: Path | None, ranks: Ranks, like: Tensor) -> Path:
    """The path that one rank has, on every rank."""
    count = int(ranks.joined(torch.tensor([len(own or ())], device=like.device)))
    if count == 0:
        return ()
    steps = torch.tensor([astuple(step) for step in own or ()] or [(0,) * 4] * count)
    return tuple(Step(*step) for step in ranks.joined(steps.to(like.device)).tolist())


@dataclass(frozen=True)
class _Search:
    """How ‖v_k‖_∞ of one output is found: what enumerating all takes, and what may be taken."""

    flops: float
    budget: float
    outputs: int
    gates_lie_in_unit_interval: bool

    def of(
        self, space: PathSpace, weights: Tensor, seed: int, deadline: Deadline
    ) -> tuple[float, Path, float]:
        """|v_p| of the best path found, that path, and an upper end."""
        if space.count == 0:
            return 0.0, (), 0.0
        value, end = 0.0, math.inf
        path: Path = ()
        enumerable, share = self.flops <= self.budget, self.budget / self.outputs
        unit = self.gates_lie_in_unit_interval
        if not enumerable or (unit and self.flops > _LONG_ENUMERATION):
            allowed = min(share, self.flops / self.outputs) if enumerable else share
            value, path, end = self._bracketed(space, weights, seed, allowed, deadline)
        if enumerable and end > value:
            best, found, whole = enumerated(space, weights, deadline)
            if whole or best > value:
                value, path = best, found
            end = value if whole else end
        return value, path, end

    def _bracketed(
        self, space: PathSpace, weights: Tensor, seed: int, budget: float, deadline: Deadline
    ) -> tuple[float, Path, float]:
        first = deadline.share(1 / 4)
        value, path = best_path(space, weights, seed, budget / 4, first)
        deadline.struck = deadline.struck or first.struck
        if not self.gates_lie_in_unit_interval or deadline.has_passed():
            return value, path, math.inf
        end = _parts_bound(space, weights)
        branches = BranchAndBound(space, weights, value, path)
        bracket = branches.bracketed(3 * budget / 4, deadline)
        return bracket.lower, bracket.path, max(bracket.lower, min(end, bracket.upper))


def _enumeration_flops(
    program: Program,
    factors: Factors,
    coefficients: Tensor,
    budget: float,
    deadline: Deadline,
) -> float:
    """What enumeration takes: two operations for each distinct path, item and output.

    Where the paths are hopelessly many before equal and dead ones are merged, they are not merged.
    Infinite once it is seen to be past the budget.
    """
    items = float((coefficients != 0).sum())
    flops = 2.0 * unmerged_path_count(program) * items
    if flops <= budget or flops > budget * _MERGE_HOPE:
        return flops
    flops = 0.0
    for column in coefficients.T:
        space, _ = restricted(program, factors, column)
        flops += 2.0 * space.path_count() * space.count
        if flops > budget or deadline.has_passed():
            return math.inf
    return flops


def sup_norms_under(program: Program, factors: Factors, targets: Tensor, labels: Tensor) -> Tensor:
    """max_k ‖Σ_i d_i y_ik z(x_i)‖_∞ for every column d of `labels`, by enumeration. Shape (B,).

    All columns share each block of path features: one matrix product of B rows a block.

    Parameters
    ----------
    targets
        Shape (N, K), float64.
    labels
        Shape (N, B), float64.
    """
    largest = torch.zeros(labels.shape[1], dtype=torch.float64, device=factors.items.device)
    for column in targets.T:
        space, own = restricted(program, factors, column)
        if space.count == 0:
            continue
        rows = column.nonzero()[:, 0]
        coefficients = labels[rows].to(own) * own[:, None]
        if space.program.maps[space.last].bias:
            largest = torch.maximum(largest, coefficients.sum(0).abs())
        for b, batch, j in space.blocks(space.last, 0):
            units = space.columns(space.last, b, j).values
            wide = max(1, BLOCK_ENTRIES // (space.count * max(units.shape[1], 1)))
            for features, _ in blocks(space, batch.carrier, int(batch.at[j])):
                for part in features.split(wide, 1):
                    made = (part[:, :, None] * units[:, None, :]).reshape(space.count, -1)
                    if made.numel():
                        entries = coefficients.T @ made.double()
                        largest = torch.maximum(largest, entries.abs().amax(1))
    return largest.cpu()


def _parts_bound(space: PathSpace, weights: Tensor) -> float:
    """An upper end: gates lie in [0, 1], so no path exceeds the positive or the negative part.

    A path's feature is the value at its start times gates, the last of which belong to the last
    collapse. Dropping the gates between leaves, for start s and last unit u, at most
    max(Σ_i (c_i s_i)⁺ g_iu, Σ_i (c_i s_i)⁻ g_iu).
    """
    starts = torch.cat([space.ones(), space.distinct_inputs()], 1)
    narrow = weights.to(space.like.dtype)
    weighted = narrow[:, None] * starts
    parts = torch.cat([weighted.clamp(min=0), (-weighted).clamp(min=0)], 1)
    bounds = [0.0]
    if space.program.maps[space.last].bias:
        bounds.append(abs(float(weights.sum())))
    for b, batch, j in space.blocks(space.last, 0):
        values = space.columns(space.last, b, j).values
        if values.shape[1] == 0:
            continue
        if batch.carrier is None:
            bounds.append(float((narrow @ values).abs().max()))
        else:
            bounds.append(float((parts.T @ values).max()))
    # the sums were formed in the run's dtype: leave room for their rounding
    return max(bounds) * (1 + space.count * torch.finfo(space.like.dtype).eps)
