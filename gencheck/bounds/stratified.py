"""The mean of several groups' risks, each from its own items: a bound on Σ w_g μ_g.

Items are independent, losses in [0, 1], group g has n_g of them with mean μ̂_g, weights w_g > 0 sum to
1. For a loss X in [0, 1] with mean μ, E e^{−sX} ≤ 1 − μ(1 − e^{−s}) by convexity. With
s_g = λ w_g/n_g, Markov's inequality gives, for every λ ≥ 0,

    P(Σ w_g μ̂_g ≤ m̂) ≤ exp(λ m̂ + Σ n_g ln(1 − μ_g (1 − e^{−s_g}))).

The μ_g are unknown; under Σ w_g μ_g = M the exponent is at most its maximum over them, a concave problem
in which, for a multiplier ν, μ_g = 1/(1 − e^{−s_g}) − n_g/(ν w_g), cut to [0, 1]. The smallest of these
over λ is the logarithm of a p-value of M, because it depends on the items through m̂ alone and is
increasing in it. Where w_g ∝ n_g it is the relative-entropy bound of Hoeffding (1963) on all items.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_GOLDEN = (math.sqrt(5) - 1) / 2


def stratified_upper_end(
    means: Vector, counts: Vector, weights: Vector, log_inverse_level: float
) -> float:
    """sup{M : the log p-value of M is at least −L}, for the groups' empirical means.

    Parameters
    ----------
    means, counts, weights
        Shape (g,): μ̂_g, n_g and w_g, the last of sum 1.
    """
    seen = float(weights @ means)
    low, high = min(seen, 1.0), 1.0
    if stratified_log_p(low, high, counts, weights) >= -log_inverse_level:
        return 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        inside = stratified_log_p(seen, middle, counts, weights) >= -log_inverse_level
        low, high = (middle, high) if inside else (low, middle)
    return high


def stratified_log_p(seen: float, risk: float, counts: Vector, weights: Vector) -> float:
    """Ln of an upper bound on P(Σ w_g μ̂_g ≤ seen) where Σ w_g μ_g = risk; 0 for risk ≤ seen."""
    if risk <= seen:
        return 0.0

    def exponent(slope: float) -> float:
        steps = slope * weights / counts
        worst = _worst_means(-np.expm1(-steps), risk, counts, weights)
        with np.errstate(divide="ignore"):
            # ln(1 − μ (1 − e^−s)), exact for large s as well
            terms = np.logaddexp(np.log1p(-worst), np.log(worst) - steps)
        return slope * seen + float(counts @ terms)

    # the exponent is convex in λ, 0 with a negative slope at 0; λ of the order of n suffices
    high = float(counts.sum())
    while exponent(2 * high) < exponent(high) and high < 1e12:
        high *= 2
    return min(0.0, _minimum(exponent, 0.0, 2 * high))


def _worst_means(tilt: Vector, risk: float, counts: Vector, weights: Vector) -> Vector:
    """The μ_g with Σ w_g μ_g = `risk` that make Σ n_g ln(1 − μ_g tilt_g) largest."""
    if tilt.min() < 1e-12:
        # no tilt to speak of: every choice is as bad
        return np.full(len(tilt), risk)
    ends, slopes = 1 / tilt, counts / weights
    # Σ w_g μ_g is piecewise linear and decreasing in x = 1/ν: between its breakpoints, by interpolation
    breakpoints = np.unique(np.concatenate([(ends - 1) / slopes, ends / slopes]))
    means = np.clip(ends - breakpoints[:, None] * slopes, 0.0, 1.0)
    x = np.interp(-risk, -(means @ weights), breakpoints)
    worst: Vector = np.clip(ends - x * slopes, 0.0, 1.0)
    return worst


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """About the smallest value of a convex function, by golden sections; any value would be valid."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > 1e-4 * high:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
    return min(at_a, at_b)
