"""Spearman's correlation of several figures with an outcome, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_LEVEL = 0.95

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation, a mean over seeds, with its percentile interval.

    Attributes
    ----------
    value
        In [−1, 1]; a figure that is the same for all orders nothing and counts as 0.
    low, high
        The ends of a bootstrap interval of level 95 %: estimated, not certified.
    difference
        Such an interval for this correlation less that of the figure which is compared with.
    """

    value: float
    low: float
    high: float
    difference: tuple[float, float]


def spearman(figures: Array, outcome: Array) -> Array:
    """The correlation of ranks along the last axis, ties at their mean rank.

    `figures` of shape (…, n) and `outcome` of a shape that broadcasts with it; NaN where either is
    the same for all.
    """
    parts = []
    for values in (figures, outcome):
        ranks = np.asarray(rankdata(values, axis=-1), np.float64)
        parts.append(ranks - ranks.mean(-1, keepdims=True))
    sizes = np.sqrt(np.square(parts[0]).sum(-1) * np.square(parts[1]).sum(-1))
    products = (parts[0] * parts[1]).sum(-1)
    found: Array = np.divide(products, sizes, out=np.full_like(products, np.nan), where=sizes > 0)
    return found


def correlations(
    figures: Sequence[Array], outcomes: Sequence[Array], beside: int, *, rounds: int, seed: int
) -> list[Correlation]:
    """One correlation for each figure: the mean over seeds of the correlation within a seed.

    Each bootstrap round draws seeds with repetition and, within each draw, its sets with repetition;
    all figures are taken on the same draws, which is what makes their differences comparable.

    Parameters
    ----------
    figures, outcomes
        For each seed, shape (figures, n) and (n,).
    beside
        The number of the figure that the others are compared with.
    """
    random = np.random.default_rng(seed)
    pairs = zip(figures, outcomes, strict=True)
    value = np.mean([np.nan_to_num(spearman(f, o)) for f, o in pairs], 0)
    # of shape (seeds drawn, figures, rounds)
    drawn = np.stack([_resampled(figures, outcomes, rounds, random) for _ in figures])
    means = drawn.mean(0)
    low, high = np.quantile(means, _ends(), axis=1)
    less, more = np.quantile(means - means[beside], _ends(), axis=1)
    return [
        Correlation(float(v), float(a), float(b), (float(c), float(d)))
        for v, a, b, c, d in zip(value, low, high, less, more, strict=True)
    ]


def _resampled(
    figures: Sequence[Array], outcomes: Sequence[Array], rounds: int, random: np.random.Generator
) -> Array:
    """Correlations of resampled sets of a seed drawn anew in each round. Shape (figures, rounds)."""
    found = np.empty((len(figures[0]), rounds))
    chosen = random.integers(len(figures), size=rounds)
    for seed, (values, outcome) in enumerate(zip(figures, outcomes, strict=True)):
        own = np.flatnonzero(chosen == seed)
        sets = random.integers(len(outcome), size=(len(own), len(outcome)))
        found[:, own] = np.nan_to_num(spearman(values[:, sets], outcome[sets]))
    return found


def _ends() -> tuple[float, float]:
    return (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
