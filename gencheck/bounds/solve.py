"""The certified validation bound solved for the number of items, of models, or the confidence.

A bound is at most a target t exactly where the evidence would have had a probability of at most
e^−L under the risk t. So each question is about one number, the *strength* of the evidence against
t: the largest L at which the bound is still at most t.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from gencheck.bounds.binomial import bernoulli_divergence, log_cdf
from gencheck.bounds.evidence import WIDEST_FUZZ, Evidence, count_of
from gencheck.bounds.validation import certified_bound

# More validation items than anybody has, and the last whole number up to which floats have no gaps;
# a search ends here.
MOST_ITEMS = 2**53


@dataclass(frozen=True)
class Solution:
    """The answer: a value, or its logarithm where no float holds it, or the reason for neither.

    Attributes
    ----------
    value
        Smallest m, largest |F| or smallest δ; None where there is none or no float holds it.
    log10
        The base-10 logarithm of a value that no float holds.
    reason
        Why `value` is None.
    """

    variable: str
    value: float | None
    log10: float | None = None
    reason: str | None = None


def strength(evidence: Evidence, target: float) -> float:
    """The largest L = ln(|F|/δ) at which the certified bound is at most `target`; 0 for none.

    Parameters
    ----------
    target
        A risk on the scale [0, 1], above the empirical mean to have any strength.
    """
    if target >= 1:
        return math.inf
    if target <= evidence.mean:
        return 0.0
    if evidence.binary:
        return _tail_strength(evidence.count, evidence.m, target)
    if evidence.losses is None:
        return _mean_strength(evidence.mean, evidence.m, target)
    return _betting_strength(evidence, target)


def _tail_strength(count: float, m: int, target: float) -> float:
    """−ln P(Bin(m, t) ≤ k)."""
    return -log_cdf(count, m, target)


def _mean_strength(mean: float, m: int, target: float) -> float:
    """The better of the kl bound's strength and Bentkus', which is a binomial tail's less one nat."""
    divergence = m * bernoulli_divergence(mean, target)
    return max(divergence, _tail_strength(count_of(m, mean), m, target) - 1, 0.0)


def _betting_strength(evidence: Evidence, target: float) -> float:
    """By bisection over L; the stakes depend on L, so the end is checked, not proved, to be single."""
    from gencheck.bounds.betting import betting_rejects, betting_strength

    if evidence.losses is None:
        raise ValueError("betting needs the losses")
    if evidence.stakes_level is not None:
        return betting_strength(evidence.losses, target, evidence.stakes_level, evidence.seed)
    low, high = 0.0, 1.0
    while betting_rejects(evidence.losses, target, high, evidence.seed):
        low, high = high, 2 * high
    while high - low > max(1e-12 * high, 1e-15):
        middle = (low + high) / 2
        if betting_rejects(evidence.losses, target, middle, evidence.seed):
            low = middle
        else:
            high = middle
    return low


def largest_class(evidence: Evidence, target: float, delta: float) -> Solution:
    """The largest whole |F| whose certified bound is at most `target`."""
    limit = strength(evidence, target)
    logarithm = limit + math.log(delta)
    if math.isinf(limit):
        return Solution("n-models", None, None, "every number of models: the target is vacuous")
    if logarithm < 0:
        return Solution("n-models", None, None, "not even one model can be certified at the target")
    if logarithm > math.log(1e308):
        return Solution(
            "n-models",
            None,
            logarithm / math.log(10),
            "past the range of a float; see log10",
        )

    def reached(models: float) -> bool:
        return _is_reached(evidence, target, math.log(models) - math.log(delta))

    count = math.floor(math.exp(logarithm))
    if count >= 2**50:
        # so many that neighbouring whole numbers have the same logarithm
        return Solution("n-models", _first_reached(float(count), -1, reached))
    # exp rounds; take the last whole number that really fits
    while math.log(count + 1) - math.log(delta) <= limit and reached(count + 1):
        count += 1
    while count > 1 and not reached(count):
        count -= 1
    return Solution("n-models", count)


def smallest_delta(evidence: Evidence, target: float, log_models: float) -> Solution:
    """The smallest δ at which the certified bound is at most `target`.

    From an error that was observed it is a p-value: the probability, were the risk of any of the |F|
    models above `target`, of evidence as strong against it. For losses one by one that needs
    `Evidence.stakes_level`, fixed beforehand.
    """
    limit = strength(evidence, target)
    logarithm = log_models - limit
    if math.isinf(limit):
        return Solution("delta", None, None, "every delta: the target is vacuous")
    if logarithm >= 0:
        return Solution("delta", None, None, "no delta below 1 certifies the target")
    if logarithm < math.log(1e-307):
        return Solution(
            "delta",
            None,
            logarithm / math.log(10),
            "past the range of a float; see log10",
        )

    def reached(delta: float) -> bool:
        return delta < 1 and _is_reached(evidence, target, log_models - math.log(delta))

    return Solution("delta", _first_reached(math.exp(logarithm), 1, reached))


def _is_reached(evidence: Evidence, target: float, log_inverse_level: float) -> bool:
    """True where the certified bound, as it is reported, is at most `target`."""
    scaled = replace(evidence, low=0.0, high=1.0, c=None, gamma2=None)
    return certified_bound(scaled, log_inverse_level).risk <= target


def _first_reached(value: float, direction: int, reached: Callable[[float], bool]) -> float:
    """`value`, or where rounding left it short, the next few floats beyond that are not.

    The answer lies where the bound equals the target, so the last bit decides which side it is on.
    """
    moved, step = value, math.ulp(1.0)
    while not reached(moved) and step < 1e-6:
        moved, step = value * (1 + direction * step), 2 * step
    return moved


def fewest_items(mean: float, binary: bool, target: float, log_inverse_level: float) -> Solution:
    """The smallest m whose certified bound is at most `target`, the error rate staying the same.

    Parameters
    ----------
    mean
        The error rate: with m items there are ⌈m · mean⌉ errors, or bounded losses of that mean.
    """
    if target >= 1:
        return Solution("m-val", 1)
    if target <= mean:
        return Solution(
            "m-val", None, None, f"no number of items: the target is not above the error {mean:g}"
        )
    if binary:
        found = _fewest_for_tail(mean, target, log_inverse_level)
    else:
        by_mean = _fewest_for_mean(mean, target, log_inverse_level)
        by_tail = _fewest_for_tail(mean, target, log_inverse_level + 1)
        found = min((m for m in (by_mean, by_tail) if m is not None), default=None)
    if found is None:
        return Solution("m-val", None, None, f"more than {MOST_ITEMS:.3g} items")
    return Solution("m-val", found)


def _fewest_for_mean(mean: float, target: float, needed: float) -> int | None:
    """The smallest m with m · kl(R̂‖t) ≥ `needed`."""
    divergence = bernoulli_divergence(mean, target)
    if needed >= MOST_ITEMS * divergence:
        return None
    found = max(1, math.ceil(needed / divergence))
    while found > 1 and (found - 1) * divergence >= needed:
        found -= 1
    return found


def _fewest_for_tail(rate: float, target: float, needed: float) -> int | None:
    """The smallest m with −ln P(Bin(m, t) ≤ ⌈m · rate⌉) ≥ `needed`.

    The count jumps with m, so this is not monotone. With a real count, a little below m · rate as
    `count_of` may round, it is, and never later than the answer: the search starts there and goes up
    count by count, within one of which more items only help.
    """

    def least(m: int) -> float:
        product = m * rate
        return max(0.0, product - max(WIDEST_FUZZ, 2 * math.ulp(product)))

    relaxed = _first(lambda m: _tail_strength(least(m), m, target) >= needed, 1)
    if relaxed is None or rate == 0:
        return relaxed
    count = count_of(relaxed, rate)
    while True:
        last = _last_with_count(count, rate)
        if last >= relaxed and _tail_strength(count, last, target) >= needed:
            first = max(relaxed, _last_with_count(count - 1, rate) + 1)
            return _first(partial(_strong_enough, count, target, needed), first)
        count += 1


def _strong_enough(count: int, target: float, needed: float, m: int) -> bool:
    return _tail_strength(count, m, target) >= needed


def _last_with_count(count: int, rate: float) -> int:
    """The largest m with ⌈m · rate⌉ = `count` or less."""
    # a count half an error further is past any rounding
    low = math.floor(min(max(count - 1, 0) / rate, 2.0 * MOST_ITEMS))
    high = math.ceil(min(max(count + 0.5, 0) / rate, 4.0 * MOST_ITEMS)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count_of(middle, rate) > count else (middle, high)
    return low


def _first(holds: Callable[[int], bool], start: int) -> int | None:
    """The smallest m ≥ `start` at which a condition that stays true once true is true."""
    step, low = 1, start - 1
    while not holds(start + step - 1):
        low = start + step - 1
        step *= 2
        if step > MOST_ITEMS:
            return None
    high = start + step - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
