"""Which Gaussian over path weights bounds the risk best: every posterior at once, priors paid for.

The PAC-Bayes bound holds for all posteriors together, so the ridge λ behind the mean, the shrinkage of
the covariance and the items that span both may be chosen greedily on the very items, at no price. Only
what the prior, the bound or the loss depends on is paid for: s, β, and c for the mean classifier.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gencheck.bounds.multiclass import margins_of
from gencheck.bounds.path_space import (
    COARSE_STEP,
    Array,
    Features,
    Level,
    PathSpaceBound,
    Posterior,
    catoni_risk,
    drawn_bound,
    drawn_errors,
    least_errors,
    mean_bound,
    room_left,
)
from gencheck.bounds.path_space_grid import MARGIN_FACTORS, SCALE_POWERS, Shares

# λ in units of the mean of K(x, x); infinite for the standard phase's own weights.
PENALTIES = (math.inf, *(10 ** (power / 2) for power in range(4, -7, -1)))
# t in g_a = r/(1 + r), r = t γ_a/γ_1: the sharpness of the posterior along the largest direction, which
# is s² γ_1/τ² of a Gaussian process with noise τ.
SHARPNESS = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4)
# Items that the search looks at; the bound itself is of all of them.
SEARCHED = 4000


@dataclass(frozen=True)
class Problem:
    """The items of the freeze phase as the bound sees them.

    Attributes
    ----------
    features, labels
        The m items.
    values
        γ ≥ 0, shape (d,): the eigenvalues of ΦᵀΦ, on the features' own coordinates.
    residuals
        What the mean is fitted to: one-hot labels minus h⁰, shape (m, K).
    scale_unit
        The unit of s, fixed before the items were seen.
    """

    features: Features
    labels: NDArray[np.int64]
    values: Array
    residuals: Array
    scale_unit: float

    @cached_property
    def products(self) -> Array:
        """Φᵀ r, shape (d, K)."""
        result: Array = self.features.coordinates.T @ self.residuals
        return result

    def mean(self, penalty: float) -> Array:
        """θ = (Γ + mλ)⁻¹ Φᵀ r, λ in units of the mean of K(x, x); 0 for an infinite one."""
        products = self.products
        if math.isinf(penalty):
            return np.zeros_like(products)
        shift = penalty * float(self.features.squares.mean()) * len(self.labels)
        result: Array = products / (self.values + shift)[:, None]
        return result

    def shrinkage(self, sharpness: float) -> Array:
        """g_a = r/(1 + r) with r = t γ_a / γ_1."""
        ratio = sharpness * self.values / max(float(self.values.max(initial=0.0)), 1e-300)
        result: Array = ratio / (1 + ratio)
        return result

    def part(self, most: int) -> "Problem":
        """Evenly chosen items, at most so many; the values stay those of all."""
        rows = slice(None, None, max(1, math.ceil(len(self.labels) / most)))
        own = self.features
        features = Features(own.coordinates[rows], own.squares[rows], own.base[rows])
        return Problem(
            features, self.labels[rows], self.values, self.residuals[rows], self.scale_unit
        )


@dataclass(frozen=True)
class Chosen:
    """The posterior that was chosen, its bound, and where on the grids it is.

    Attributes
    ----------
    error
        The 0-1 error on the items: of the drawn classifier in the mean over draws, or of the mean.
    scale_power
        s is 2^−`scale_power` of its unit.
    """

    posterior: Posterior
    bound: PathSpaceBound
    error: float
    penalty: float
    sharpness: float
    scale_power: int


@dataclass(frozen=True)
class Grid:
    """What is tried."""

    scales: tuple[int, ...] = SCALE_POWERS
    sharpness: tuple[float, ...] = SHARPNESS
    penalties: tuple[float, ...] = PENALTIES

    @property
    def shares(self) -> Shares:
        """How δ is shared by the scales."""
        return Shares(self.scales)


def best_drawn(problem: Problem, delta: float, grid: Grid | None = None) -> Chosen:
    """The least bound of the drawn classifier, which holds with probability 1 − δ whatever is chosen."""
    grid = grid or Grid()
    found = _Search(problem, delta, grid).least((None,))
    posterior = _posterior(problem, grid, found)
    level = Level(delta, grid.shares.price(found.power, None))
    bound = drawn_bound(posterior, problem.features, problem.labels, level)
    return _chosen(problem, grid, found, bound, bound.empirical)


def best_mean(problem: Problem, delta: float, grid: Grid | None = None) -> Chosen:
    """The least bound of the posterior's mean, as `best_drawn`."""
    grid = grid or Grid()
    found = _Search(problem, delta, grid).least(MARGIN_FACTORS)
    assert found.c is not None
    posterior = _posterior(problem, grid, found)
    level = Level(delta, grid.shares.price(found.power, found.c))
    bound = mean_bound(posterior, problem.features, problem.labels, level, found.c)
    margins = margins_of(posterior.outputs(problem.features), problem.labels)
    return _chosen(problem, grid, found, bound, float((margins <= 0).mean()))


@dataclass(frozen=True)
class _Candidate:
    """A point of all grids, and what its bound is at least on the items searched."""

    lower: float
    power: int
    j: int
    i: int
    c: float | None


def _chosen(
    problem: Problem, grid: Grid, found: _Candidate, bound: PathSpaceBound, error: float
) -> Chosen:
    return Chosen(
        posterior=_posterior(problem, grid, found),
        bound=bound,
        error=error,
        penalty=grid.penalties[found.i],
        sharpness=grid.sharpness[found.j],
        scale_power=found.power,
    )


def _posterior(problem: Problem, grid: Grid, found: _Candidate) -> Posterior:
    return Posterior(
        problem.scale_unit * 2.0**-found.power,
        problem.shrinkage(grid.sharpness[found.j]),
        problem.mean(grid.penalties[found.i]),
    )


class _Search:
    """Bounds of all candidates on some of the items, the same blocks used again and again."""

    def __init__(self, problem: Problem, delta: float, grid: Grid) -> None:
        self.problem, self.delta, self.grid = problem, delta, grid
        self.part = problem.part(SEARCHED)
        items, classes = self.part.features, self.part.residuals.shape[1]
        shrinkages = [problem.shrinkage(t) for t in grid.sharpness]
        means = [problem.mean(penalty) for penalty in grid.penalties]
        self.spreads = [classes * float((-g - np.log1p(-g)).sum()) / 2 for g in shrinkages]
        self.rooms = [room_left(items, g) for g in shrinkages]
        self.outputs = [items.base + items.coordinates @ mean for mean in means]
        self.margins = [margins_of(rows, self.part.labels) for rows in self.outputs]
        self.sizes = [float((mean**2).sum()) / 2 for mean in means]
        self.norms = np.sqrt(items.squares)

    def least(self, factors: tuple[float | None, ...]) -> _Candidate:
        """The candidate of the least bound, the most promising ones tried first."""
        points = product(
            factors, self.grid.scales, range(len(self.spreads)), range(len(self.sizes))
        )
        tried = [_Candidate(0.0, power, j, i, c) for c, power, j, i in points]
        # the nearest output alone, which costs a hundredth, rules out nearly all
        known = sorted(
            (replace(one, lower=self._risk(one, exact=False)) for one in tried),
            key=lambda one: one.lower,
        )
        best, risk = known[0], math.inf
        for one in known:
            if one.lower >= risk:
                break
            found = self._risk(one, exact=True)
            if found < risk:
                best, risk = one, found
        return best

    def _risk(self, one: _Candidate, *, exact: bool) -> float:
        """The bound on the items searched, or at least a number below it."""
        scale = self.problem.scale_unit * 2.0**-one.power
        nats = self.grid.shares.price(one.power, one.c) - math.log(self.delta)
        nats += self.spreads[one.j] + self.sizes[one.i] / scale**2
        threshold = None if one.c is None else one.c * math.sqrt(2) * scale * self.norms
        room = scale**2 * self.rooms[one.j]
        if exact:
            labels = self.part.labels
            errors = drawn_errors(self.outputs[one.i], labels, room, threshold, COARSE_STEP)
        else:
            errors = least_errors(self.margins[one.i], room, threshold)
        factor = 1.0 if one.c is None else 1 / float(ndtr(one.c))
        return factor * catoni_risk(float(errors.mean()), nats, len(self.problem.labels))
