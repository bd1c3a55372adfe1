"""Which Gaussian over path weights bounds the risk best: every posterior at once, priors paid for.

The PAC-Bayes bound holds for all posteriors together, so the ridge λ behind the mean, the shrinkage of
the covariance and the items that span both may be chosen greedily on the very items, at no price. Only
what the prior, the bound or the loss depends on is paid for: s, β, and c for the mean classifier.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gencheck.bounds.multiclass import margins_of
from gencheck.bounds.path_space import (
    COARSE_STEP,
    MARGIN_FACTORS,
    SCALE_POWERS,
    Array,
    Features,
    Level,
    PathSpaceBound,
    Posterior,
    catoni_risk,
    drawn_bound,
    drawn_errors,
    mean_bound,
)

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

    def mean(self, penalty: float) -> Array:
        """θ = (Γ + mλ)⁻¹ Φᵀ r, λ in units of the mean of K(x, x); 0 for an infinite one."""
        products: Array = self.features.coordinates.T @ self.residuals
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


def best_drawn(problem: Problem, delta: float, grid: Grid | None = None) -> Chosen:
    """The least bound of the drawn classifier, which holds with probability 1 − δ whatever is chosen."""
    grid = grid or Grid()
    level = Level(delta, len(grid.scales))
    chosen, posterior = _least(problem, level, grid, None)
    bound = drawn_bound(posterior, problem.features, problem.labels, level)
    return Chosen(
        posterior=posterior,
        bound=bound,
        error=bound.empirical,
        penalty=chosen.penalty,
        sharpness=chosen.sharpness,
        scale_power=chosen.power,
    )


def best_mean(problem: Problem, delta: float, grid: Grid | None = None) -> Chosen:
    """The least bound of the posterior's mean, as `best_drawn`."""
    grid = grid or Grid()
    level = Level(delta, len(grid.scales))
    found = [(*_least(problem, level, grid, c), c) for c in MARGIN_FACTORS]
    chosen, posterior, c = min(found, key=lambda one: one[0].risk)
    bound = mean_bound(posterior, problem.features, problem.labels, level, c)
    margins = margins_of(posterior.outputs(problem.features), problem.labels)
    error = float((margins <= 0).mean())
    return Chosen(
        posterior=posterior,
        bound=bound,
        error=error,
        penalty=chosen.penalty,
        sharpness=chosen.sharpness,
        scale_power=chosen.power,
    )


@dataclass(frozen=True)
class _Candidate:
    risk: float
    power: int
    sharpness: float
    penalty: float


def _least(
    problem: Problem, level: Level, grid: Grid, c: float | None
) -> tuple[_Candidate, Posterior]:
    """The candidate of the least bound on some of the items, and its posterior."""
    *_, best = _tried(problem, level, grid, c)
    posterior = Posterior(
        problem.scale_unit * 2.0**-best.power,
        problem.shrinkage(best.sharpness),
        problem.mean(best.penalty),
    )
    return best, posterior


def _tried(problem: Problem, level: Level, grid: Grid, c: float | None) -> Iterator[_Candidate]:
    """Candidates, each better than all before it."""
    part = problem.part(SEARCHED)
    items, classes = part.features, part.residuals.shape[1]
    squared = items.coordinates**2
    shrinkages = [problem.shrinkage(t) for t in grid.sharpness]
    spreads = [classes * float((-g - np.log1p(-g)).sum()) / 2 for g in shrinkages]
    rooms = [np.clip(items.squares - squared @ g, 0.0, None) for g in shrinkages]
    means = [problem.mean(penalty) for penalty in grid.penalties]
    outputs = [items.base + items.coordinates @ mean for mean in means]
    sizes = [float((mean**2).sum()) / 2 for mean in means]
    fixed, count = level.price(c) - math.log(level.delta), len(problem.labels)
    factor = 1.0 if c is None else 1 / float(ndtr(c))
    least = math.inf
    for power in grid.scales:
        scale = problem.scale_unit * 2.0**-power
        threshold = None if c is None else c * math.sqrt(2) * scale * np.sqrt(items.squares)
        for j, sharpness in enumerate(grid.sharpness):
            for i, penalty in enumerate(grid.penalties):
                nats = fixed + spreads[j] + sizes[i] / scale**2
                if factor * catoni_risk(0.0, nats, count) > least:
                    continue
                room = scale**2 * rooms[j]
                errors = drawn_errors(outputs[i], part.labels, room, threshold, COARSE_STEP)
                risk = factor * catoni_risk(float(errors.mean()), nats, count)
                if risk < least:
                    least = risk
                    yield _Candidate(risk, power, sharpness, penalty)
