"""Two models on the same items: tests of, and intervals for, the difference of their risks.

Throughout D = loss(baseline) − loss(candidate) on an item, the items are independent draws, and
Δ = E D is the improvement. For 0-1 losses D is −1, 0 or 1: with p₊ = P(D = 1) and p₋ = P(D = −1),
Δ = p₊ − p₋ and ψ = p₊ + p₋ is how often the models differ.

McNemar's test is exact because, given that the models differ on d items, the wins are Bin(d, ½) under
Δ = 0. It says nothing of other Δ, so the interval inverts the exact tail of the sum T = wins − losses,

    f(Δ, ψ) = P(T ≤ t | Δ, ψ),

over the ψ of a confidence interval (Berger & Boos 1994): where ψ ≤ ψ_U but for a probability of γ,
sup_{ψ ≤ ψ_U} f + γ is a p-value. The supremum is at ψ_U: ∂f/∂ψ = (n/2)(q(t + 1) − q(t)) with q the
distribution of the sum of n − 1 items. Where ψ ≤ (1 + Δ²)/2, D + 1 is the sum of two independent
Bernoulli variables (its generating polynomial has real roots), so q is that of a sum of Bernoulli
variables: it increases up to its mode, which is within 1 of its mean (Darroch 1964), and f increases
in ψ while t ≤ (n − 1)Δ − 2. Elsewhere f is bounded by 1. Where ψ_U is above (1 + Δ²)/2, f is bounded by
what holds for any D in [−1, 1] (Hoeffding 1963, Bentkus 2004).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.betting import betting_strength, betting_upper_end
from gencheck.bounds.binomial import bernoulli_divergence, binomial_upper_end, log_cdf

# γ's share of δ: what is paid for not knowing how often the models differ. A tenth gives the shortest
# intervals for 500 items of which 5 to 20 % are discordant, within 2 % of the best share.
NUISANCE_SHARE = 0.1
# Half the width of the window, in standard deviations, outside which a binomial has no mass to speak of.
_WINDOW = 12.0
# An upper bound on what the window leaves out, and on rounding.
_LEFT_OUT = 1e-12


@dataclass(frozen=True)
class Improvement:
    """What is known of Δ = E[loss(baseline) − loss(candidate)].

    Attributes
    ----------
    value
        The mean difference on the items.
    lower, upper
        The ends of an interval of level 1 − δ, both sides together.
    p_value
        Two-sided, against Δ = 0.
    p_better
        One-sided, against Δ ≤ margin.
    test
        The name of the test of `p_value`.
    """

    value: float
    lower: float
    upper: float
    p_value: float
    p_better: float
    test: str


def improvement_of_counts(
    wins: int, losses: int, items: int, *, delta: float, margin: float = 0.0
) -> Improvement:
    """Δ from 0-1 losses: McNemar's exact test and the interval of the exact tail.

    Parameters
    ----------
    wins, losses
        The items on which only the candidate is right, and only the baseline.
    delta
        The interval misses with at most this probability.
    margin
        The improvement that `p_better` is against.
    """
    discordance, gamma = _largest_discordance(wins + losses, items, delta), NUISANCE_SHARE * delta
    t, level = wins - losses, (delta - gamma) / 2
    upper = _largest(lambda d: sum_tail(t, items, d, discordance) > level, discordance)
    lower = -_largest(lambda d: sum_tail(-t, items, d, discordance) > level, discordance)
    return Improvement(
        value=t / items,
        lower=lower,
        upper=upper,
        p_value=mcnemar_p_value(wins, losses),
        p_better=p_better(wins, losses, items, delta=delta, margin=margin),
        test="McNemar, exact",
    )


def _largest_discordance(discordant: int, items: int, delta: float) -> float:
    """ψ_U, which ψ exceeds with a probability of at most γ = `NUISANCE_SHARE` δ."""
    return binomial_upper_end(discordant, items, -math.log(NUISANCE_SHARE * delta))


def p_better(wins: int, losses: int, items: int, *, delta: float, margin: float) -> float:
    """One-sided, against Δ ≤ margin: McNemar's for a margin of 0, else sup f + γ.

    f falls as −Δ grows, so that its supremum is at the smallest −Δ that there can be, which is −ψ_U where
    no margin of so much is possible: two models that hardly differ are not better by a wide margin.
    """
    if margin == 0:
        return math.exp(log_cdf(losses, wins + losses, 0.5)) if wins + losses else 1.0
    discordance = _largest_discordance(wins + losses, items, delta)
    least = max(-margin, -discordance)
    return min(1.0, sum_tail(losses - wins, items, least, discordance) + NUISANCE_SHARE * delta)


def mcnemar_p_value(wins: int, losses: int) -> float:
    """min(1, 2 P(Bin(d, ½) ≤ min(wins, losses))), d = wins + losses (McNemar 1947, exact form)."""
    discordant = wins + losses
    if not discordant:
        return 1.0
    return min(1.0, 2 * math.exp(log_cdf(min(wins, losses), discordant, 0.5)))


def sum_tail(t: int, items: int, improvement: float, discordance: float) -> float:
    """sup{P(T ≤ t | Δ, ψ) : |Δ| ≤ ψ ≤ ψ_U}, or an upper bound on it: the module's f at its largest.

    Parameters
    ----------
    t
        Wins minus losses that were seen.
    improvement, discordance
        Δ and ψ_U.
    """
    if abs(improvement) > discordance:
        return 0.0
    if t > (items - 1) * improvement - 2:
        return 1.0
    if discordance > (1 + improvement**2) / 2:
        return _bounded_tail((1 + t / items) / 2, items, (1 + improvement) / 2)
    return _two_binomials_tail(t + items, items, improvement, discordance)


def _bounded_tail(mean: float, items: int, risk: float) -> float:
    """P(mean of [0, 1] variables ≤ `mean`) where its expectation is `risk`, at most so much."""
    if mean >= risk:
        return 1.0
    count = min(items, math.ceil(items * mean - 1e-9))
    log_bentkus = 1 + log_cdf(count, items, risk)
    return min(1.0, math.exp(min(log_bentkus, -items * bernoulli_divergence(mean, risk))))


def _two_binomials_tail(s: int, items: int, improvement: float, discordance: float) -> float:
    """P(Bin(n, u) + Bin(n, v) ≤ s) with u + v = 1 + Δ and uv = (ψ + Δ)/2."""
    root = math.sqrt(max(0.0, 1 + improvement**2 - 2 * discordance))
    u, v = (1 + improvement + root) / 2, (1 + improvement - root) / 2
    start, masses = _binomial_masses(items, min(u, 1.0))
    first, other = _binomial_masses(items, max(v, 0.0))
    cumulative = np.concatenate([[0.0], np.cumsum(other)])
    # P(Bin(n, v) ≤ s − j) for each j of the window of the first
    last = s - (start + np.arange(len(masses))) - first + 1
    below = cumulative[np.clip(last, 0, len(other))]
    return min(1.0, float(masses @ below) + _LEFT_OUT)


def _binomial_masses(items: int, rate: float) -> tuple[int, NDArray[np.float64]]:
    """P(Bin(n, r) = j) for j from the first number returned on, in a window that holds nearly all."""
    if rate in (0.0, 1.0):
        return (items if rate else 0), np.ones(1)
    mean = items * rate
    reach = _WINDOW * math.sqrt(mean * (1 - rate)) + 20
    low, high = max(0, math.floor(mean - reach)), min(items, math.ceil(mean + reach))
    j = np.arange(low + 1, high + 1)
    # ratios of neighbours, from the mode outwards so that nothing overflows
    steps = np.log((items - j + 1) / j) + math.log(rate / (1 - rate))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    masses = np.exp(logs - logs.max())
    normalised: NDArray[np.float64] = masses / masses.sum()
    return low, normalised


def _largest(holds: Callable[[float], bool], reach: float) -> float:
    """sup{Δ in [−reach, reach] : holds}, rounded up, where it stays false once it is false."""
    low, high = -reach, reach
    if holds(high):
        return high
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def improvement_of_differences(
    differences: NDArray[np.float64],
    width: float,
    *,
    delta: float,
    margin: float = 0.0,
    seed: int = 0,
) -> Improvement:
    """Δ from bounded losses, by betting on the differences.

    Parameters
    ----------
    differences
        Shape (n,): loss(baseline) − loss(candidate) of each item, in [−width, width].
    width
        The width of the losses' range.
    seed
        Shuffles the items.

    Source: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting (2023).
    """
    up, level = (differences / width + 1) / 2, math.log(2 / delta)
    down = 1 - up
    upper = betting_upper_end(up, level, seed)
    lower = 1 - betting_upper_end(down, level, seed)
    # Δ ≤ 0 is that `down` has a mean of ½ or more, and so on
    worse, better = (betting_strength(side, 0.5, level, seed) for side in (up, down))
    limit = (1 - margin / width) / 2
    beyond = betting_strength(down, limit, -math.log(delta), seed) if 0 < limit < 1 else 0.0
    return Improvement(
        value=float(differences.mean()),
        lower=width * (2 * lower - 1),
        upper=width * (2 * upper - 1),
        p_value=min(1.0, 2 * math.exp(-max(worse, better))),
        p_better=math.exp(-beyond),
        test="betting on the differences",
    )


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values: each at most α for none but true differences, but for a chance of α.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def items_to_find(mean: float, variance: float, delta: float, power: float = 0.8) -> int | None:
    """About how many items find a difference of this mean and variance: ((z_α √(V + Δ²) + z_β √V)/Δ)².

    The normal approximation for a two-sided test at level δ: an estimate for planning, not a bound.
    None where the mean is 0. Source: Miettinen, The matched pairs design (1968); Connor (1987).
    """
    from statistics import NormalDist

    if mean == 0:
        return None
    z_level, z_power = NormalDist().inv_cdf(1 - delta / 2), NormalDist().inv_cdf(power)
    spread = z_level * math.sqrt(variance + mean**2) + z_power * math.sqrt(variance)
    return math.ceil((spread / mean) ** 2)
