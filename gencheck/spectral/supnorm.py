"""β2: the largest entry of v_k = E_S[y_k z] − E_T[y_k z], exactly or as an interval.

v_k is a vector over all paths; an extreme entry of it is found by enumeration while the paths are
few, and is bracketed by the best path found and by norms that bound every entry beyond that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.network.terms import Gathering
from gencheck.progress import SILENT, Progress
from gencheck.spectral.factors import Factors
from gencheck.spectral.paths import BIAS, Columns, Path, PathSpace, Step
from gencheck.spectral.pathsearch import best_path

# Seconds of budget are counted at this rate and not on a clock, so that a run's result does not
# depend on how fast the machine was.
NOMINAL_FLOPS_PER_SECOND = 5e10

# Entries of a block of path features that is held at one time.
_BLOCK_ENTRIES = 2**23


@dataclass(frozen=True)
class SupNorm:
    """‖v_k‖_∞ for each output k, as an interval.

    Attributes
    ----------
    lower, upper
        Lists of K numbers; equal where `exact`.
    exact
        True where every path was enumerated.
    output, path
        The output and the path that attain max_k `lower`.
    flops
        What the enumeration took, or would have taken.
    """

    lower: list[float]
    upper: list[float]
    exact: bool
    output: int
    path: Path
    flops: float


def sup_norms(
    gatherings: tuple[Gathering, ...],
    factors: Factors,
    coefficients: Tensor,
    budget: float,
    seed: int = 0,
    progress: Progress = SILENT,
) -> SupNorm:
    """‖v_k‖_∞ = max_p |Σ_i c_ik z_p(x_i)| for every column k of `coefficients`.

    Only the items with c_ik ≠ 0 enter output k, which for class labels divides the work by K.
    Features are formed in the factors' dtype; the entry of the best path is evaluated in float64.

    Parameters
    ----------
    coefficients
        Shape (N, K), float64.
    budget
        Enumerate where it takes at most this many floating-point operations.
    seed
        Seeds the random starts of the search where enumeration is too long.
    """
    outputs = range(coefficients.shape[1])
    flops = 0.0
    for k in outputs:
        space, _ = _restricted(gatherings, factors, coefficients[:, k])
        flops += 2.0 * space.path_count() * space.count
    progress.start("beta2", len(outputs), "outputs")
    found: list[tuple[float, Path]] = []
    upper: list[float] = []
    for k in outputs:
        # built anew for each output: together they could take more memory than the data
        space, weights = _restricted(gatherings, factors, coefficients[:, k])
        value, path, end = _bracketed(space, weights, flops <= budget, seed + k)
        found.append((value, path))
        upper.append(end)
        progress.advance(1)
    progress.finish()
    lower = [value for value, _ in found]
    output = max(range(len(lower)), key=lower.__getitem__)
    return SupNorm(lower, upper, flops <= budget, output, found[output][1], flops)


def _restricted(
    gatherings: tuple[Gathering, ...], factors: Factors, column: Tensor
) -> tuple[PathSpace, Tensor]:
    """The paths on the items with a nonzero coefficient, and those coefficients."""
    rows = column.nonzero()[:, 0]
    space = PathSpace(gatherings, factors.rows(rows.to(factors.items.device)))
    return space, column[rows].to(factors.items.device)


def _bracketed(
    space: PathSpace, weights: Tensor, exact: bool, seed: int
) -> tuple[float, Path, float]:
    """The best path's entry, that path, and an upper end."""
    if space.count == 0:
        return 0.0, (), 0.0
    if exact:
        value, path = _enumerated(space, weights)
        return value, path, value
    value, path = best_path(space, weights, seed)
    return value, path, max(value, _parts_bound(space, weights))


def entry(space: PathSpace, weights: Tensor, path: Path) -> float:
    """|v_p| = |Σ_i c_i z_p(x_i)| of one path, in float64."""
    return abs(float(weights.double() @ space.feature(path).double()))


def _enumerated(space: PathSpace, weights: Tensor) -> tuple[float, Path]:
    """The largest |v_p| over all paths: the last gathering by GEMM, those before it in blocks."""
    best = -1.0
    found: Path = ()
    if space.gatherings[space.last].bias:
        found = (Step(space.last, BIAS, 0),)
        best = entry(space, weights, found)
    narrow = weights.to(space.like.dtype)
    for t, term, columns in space.terms(space.last):
        for features, paths in _blocks(space, term.carrier):
            values = (features * narrow[:, None]).T @ columns.values
            if values.numel() == 0:
                continue
            at = int(values.abs().argmax())
            row, column = divmod(at, values.shape[1])
            candidate = (Step(space.last, t, int(columns.units[column])), *paths.path(row))
            value = entry(space, weights, candidate)
            if value > best:
                best, found = value, candidate
    return max(best, 0.0), found


@dataclass(frozen=True)
class _BlockPaths:
    """Which path each column of a block belongs to, worked out only for the columns asked for."""

    step: tuple[int, int] | None
    columns: Columns | None
    first: int
    before: "_BlockPaths | None"

    def path(self, column: int) -> Path:
        if self.step is None:
            return ()
        gathering, term = self.step
        if self.columns is None or self.before is None:
            return (Step(gathering, BIAS, 0),)
        row, unit = divmod(column, self.columns.values.shape[1])
        step = Step(gathering, term, int(self.columns.units[unit]))
        return (step, *self.before.path(self.first + row))


def _blocks(space: PathSpace, carrier: int | None) -> Iterator[tuple[Tensor, _BlockPaths]]:
    """The feature columns (N, p) of all paths that a carrier stands for, block by block."""
    if carrier is None:
        yield space.ones(), _BlockPaths(None, None, 0, None)
        return
    if space.gatherings[carrier].bias:
        yield space.ones(), _BlockPaths((carrier, BIAS), None, 0, None)
    for t, term, columns in space.terms(carrier):
        width = max(columns.values.shape[1], 1)
        rows = max(1, _BLOCK_ENTRIES // (max(space.count, 1) * width))
        for features, paths in _blocks(space, term.carrier):
            for start in range(0, features.shape[1], rows):
                part = features[:, start : start + rows]
                product = part[:, :, None] * columns.values[:, None, :]
                label = _BlockPaths((carrier, t), columns, start, paths)
                yield product.reshape(space.count, -1), label


def _parts_bound(space: PathSpace, weights: Tensor) -> float:
    """An upper end: gates lie in [0, 1], so no path exceeds the positive or the negative part.

    A path's feature is the value at its start times gates, the last of which belong to the last
    gathering. Dropping the gates between leaves, for start s and last unit u, at most
    max(Σ_i (c_i s_i)⁺ g_iu, Σ_i (c_i s_i)⁻ g_iu).
    """
    starts = _starts(space)
    weighted = weights.to(space.like.dtype)[:, None] * starts
    parts = torch.cat([weighted.clamp(min=0), (-weighted).clamp(min=0)], 1)
    bounds = [0.0]
    if space.gatherings[space.last].bias:
        bounds.append(abs(float(weights.sum())))
    for _, term, columns in space.terms(space.last):
        if columns.values.shape[1] == 0:
            continue
        if term.carrier is None:
            direct = weights.to(space.like.dtype) @ columns.values
            bounds.append(float(direct.abs().max()))
        elif parts.shape[1]:
            bounds.append(float((parts.T @ columns.values).max()))
    # the sums were formed in the run's dtype: leave room for their rounding
    margin = 1 + space.count * torch.finfo(space.like.dtype).eps
    return max(bounds) * margin


def _starts(space: PathSpace) -> Tensor:
    """The values at which paths start: the distinct input columns, and 1 for biases. (N, s)."""
    starts = [space.ones()]
    for g, gathering in enumerate(space.gatherings):
        for t, term in enumerate(gathering.terms):
            if term.from_input:
                starts.append(space.columns[g, t].values)
    return torch.cat(starts, 1)
