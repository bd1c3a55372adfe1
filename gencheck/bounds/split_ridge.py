"""Weights that moved on a part of the items, tested by the rest: a prior from a part, and no divergence.

PAC-Bayes pays for what it moves on the items that it counts errors on. A mean fitted to a part of them
is a prior for the rest, and with the posterior at the prior the binomial bound, which has the right
constant, takes the place of PAC-Bayes: R ≤ sup{r : P(Bin(m − n, r) ≤ errors) ≥ δ}.
"""

import math
from dataclasses import dataclass

import numpy as np

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.multiclass import margins_of
from gencheck.bounds.path_space import Array, Features
from gencheck.bounds.path_space_choice import PENALTIES, Problem

SOURCE = (
    "Clopper & Pearson 1934; Langford 2005; a prior from a part of the items: after Ambroladze, "
    "Parrado-Hernández & Shawe-Taylor, Tighter PAC-Bayes Bounds, 2006 (not looked up)"
)

# The share of the part that λ is chosen on; the mean is then fitted to all of the part.
_CHOOSING = 0.2
# λ beyond the grid of posteriors, which are kept near by their divergence; here nothing is paid for it.
_PENALTIES = (*PENALTIES, *(10.0**power for power in (-4, -5, -6, -7)))


@dataclass(frozen=True)
class SplitRidge:
    """Ridge regression around h⁰ on the first n of m items, and its errors on the rest.

    Attributes
    ----------
    mean
        θ, shape (d, K).
    penalty
        λ in units of the mean of K(x, x); infinite for h⁰ itself.
    fitted, errors, items
        n, the errors on the rest, and m − n.
    risk
        The binomial bound.
    """

    mean: Array
    penalty: float
    fitted: int
    errors: int
    items: int
    risk: float


def split_ridge(problem: Problem, count: int, delta: float) -> SplitRidge:
    """The bound for a mean that the first `count` items decide.

    Parameters
    ----------
    count
        n, from 2 to m − 1; the features' span must be of items among these.
    """
    cut = count - max(1, round(_CHOOSING * count))
    chosen = slice(cut, count)
    tried = _means(problem, cut, _PENALTIES)
    wrong = [_errors(problem, mean, chosen) for mean in tried]
    penalty = _PENALTIES[int(np.argmin(wrong))]
    (mean,) = _means(problem, count, (penalty,))
    items = len(problem.labels) - count
    errors = _errors(problem, mean, slice(count, None))
    risk = binomial_upper_end(errors, items, -math.log(delta))
    return SplitRidge(mean, penalty, fitted=count, errors=errors, items=items, risk=risk)


def _means(problem: Problem, count: int, penalties: tuple[float, ...]) -> list[Array]:
    """(ΦᵀΦ + nλ)⁻¹ Φᵀ r over the first n items, for each λ in units of their mean of K(x, x)."""
    own = problem.features.coordinates[:count]
    values, vectors = np.linalg.eigh(own.T @ own)
    products = vectors.T @ (own.T @ problem.residuals[:count])
    unit = count * float(problem.features.squares[:count].mean())
    shifts = [penalty * unit for penalty in penalties]
    return [
        np.zeros_like(products)
        if math.isinf(shift)
        else vectors @ (products / (values.clip(min=0) + shift)[:, None])
        for shift in shifts
    ]


def _errors(problem: Problem, mean: Array, rows: slice) -> int:
    """How many of these items the mean errs on; ties are errors."""
    own = problem.features
    items = Features(own.coordinates[rows], own.squares[rows], own.base[rows])
    outputs = items.base + items.coordinates @ mean
    return int((margins_of(outputs, problem.labels[rows]) <= 0).sum())
