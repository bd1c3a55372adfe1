"""The finite-class validation guarantee: |F| models on m validation items, and the true risk.

All bounds hold simultaneously for all |F| models with probability at least 1 − δ over the
validation items, if the models were fixed before the items were seen. They depend on |F| and δ only
through L = ln(|F|/δ), so |F| may be e^100000.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gencheck.bounds.binomial import binomial_upper_end, kl_upper_end
from gencheck.bounds.bound import Bound
from gencheck.bounds.evidence import Evidence, count_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A range read off the items holds for them and for nothing that was not among them.
FIXED_RANGE = (
    "every loss that there can be lies in [{low:g}, {high:g}], a range fixed before the items "
    "were seen"
)


def validation_bounds(evidence: Evidence, log_inverse_level: float) -> tuple[Bound, ...]:
    """Every bound that the evidence allows, in a fixed order.

    Parameters
    ----------
    log_inverse_level
        L = ln(|F|/δ) = ln|F| + ln(1/δ), in nats.

    Raises
    ------
    ValueError
        There are no items, or L is negative or no number.
    """
    if evidence.m < 1 or not log_inverse_level >= 0:
        raise ValueError(
            f"validation_bounds: m = {evidence.m}, L = {log_inverse_level}: one item or more, and "
            "L = ln|F| + ln(1/δ) of 0 or more"
        )
    return tuple(
        rule.bound(evidence, log_inverse_level) for rule in _RULES if rule.allowed(evidence)
    )


def certified_name(evidence: Evidence) -> str:
    """The bound to certify, by the kind of evidence alone: never by which came out smallest.

    0-1 loss: `binomial`, which is at most `kl`, which is at most `hoeffding`. Bounded losses known
    by their mean: `hoeffding-bentkus`, at most `kl`. Bounded losses known one by one: `betting`.
    Choosing the smallest among bounds that do not dominate one another would cost confidence.
    """
    if evidence.binary:
        return "binomial"
    return "hoeffding-bentkus" if evidence.losses is None else "betting"


def certified_bound(evidence: Evidence, log_inverse_level: float) -> Bound:
    """The bound that `certified_name` names."""
    name = certified_name(evidence)
    (rule,) = (rule for rule in _RULES if rule.name == name)
    return rule.bound(evidence, log_inverse_level)


@dataclass(frozen=True)
class _Rule:
    """A bound: when it is allowed, and its upper end on the scale [0, 1]."""

    name: str
    end: Callable[[Evidence, float], float]
    allowed: Callable[[Evidence], bool]
    assumes: tuple[str, ...]
    source: str

    def bound(self, evidence: Evidence, log_inverse_level: float) -> Bound:
        end = float(self.end(evidence, log_inverse_level))
        risk = evidence.low + evidence.width * end
        return Bound(
            name=self.name,
            risk=risk,
            slack=evidence.width * (end - evidence.mean),
            vacuous=evidence.is_vacuous(end),
            assumes=(
                evidence.drawn,
                evidence.class_assumption,
                *evidence.assumes,
                *_range_assumption(evidence),
                *self.assumes,
                *_extra_assumption(self.name, evidence),
            ),
            source=self.source,
        )


def _range_assumption(evidence: Evidence) -> tuple[str, ...]:
    if evidence.binary:
        return ()
    return (FIXED_RANGE.format(low=evidence.low, high=evidence.high),)


def _extra_assumption(name: str, evidence: Evidence) -> tuple[str, ...]:
    if name != "bernstein":
        return ()
    given = [f"C = {evidence.c:g}"] if evidence.c is not None else []
    given += [f"γ² = {evidence.gamma2:g}"] if evidence.gamma2 is not None else []
    return (f"{' and '.join(given)}, assumed by the caller",) if given else ()


def _bernstein(evidence: Evidence, level: float) -> float:
    """R̂ + 2CL/(3m) + √(2γ²L/m)."""
    c = 1.0 if evidence.c is None else evidence.c / evidence.width
    gamma2 = 1.0 if evidence.gamma2 is None else evidence.gamma2 / evidence.width / evidence.width
    rate = level / evidence.m
    return evidence.mean + 2 * c * rate / 3 + math.sqrt(2 * gamma2 * rate)


def _hoeffding(evidence: Evidence, level: float) -> float:
    """R̂ + √(L/2m)."""
    return evidence.mean + math.sqrt(level / (2 * evidence.m))


def _kl(evidence: Evidence, level: float) -> float:
    """sup{r : kl(R̂‖r) ≤ L/m}."""
    return kl_upper_end(evidence.mean, evidence.m, level)


def _binomial(evidence: Evidence, level: float) -> float:
    """sup{r : P(Bin(m, r) ≤ mR̂) ≥ e^−L}."""
    return binomial_upper_end(evidence.count, evidence.m, level)


def _hoeffding_bentkus(evidence: Evidence, level: float) -> float:
    """The smaller of `kl` and sup{r : e · P(Bin(m, r) ≤ ⌈mR̂⌉) ≥ e^−L}.

    Both bound the probability of so small a mean at the same r by a function of that mean, so the
    smaller of the two functions does as well: the minimum costs nothing.
    """
    bentkus = binomial_upper_end(evidence.count, evidence.m, level + 1)
    return min(_kl(evidence, level), bentkus)


def empirical_bernstein_slack(
    variance: float, count: int, level: float, width: float = 1.0
) -> float:
    """√(2V̂L₂/m) + 7wL₂/(3(m−1)), L₂ = L + ln 2, L = ln(1/δ), above the mean of m ≥ 2 values.

    V̂ is the unbiased sample variance, w the length of the interval that they lie in (Maurer & Pontil
    2009, Theorem 4).
    """
    doubled = level + math.log(2)
    return math.sqrt(2 * variance * doubled / count) + 7 * width * doubled / (3 * (count - 1))


def _empirical_bernstein(evidence: Evidence, level: float) -> float:
    """The mean, and `empirical_bernstein_slack` above it."""
    variance = float(_losses(evidence).var(ddof=1))
    return evidence.mean + empirical_bernstein_slack(variance, evidence.m, level)


def _betting(evidence: Evidence, level: float) -> float:
    # bounds from numbers alone do not wait for numpy
    from gencheck.bounds.betting import betting_upper_end

    return betting_upper_end(
        _losses(evidence), level, evidence.seed, stakes_level=evidence.stakes_level
    )


def _losses(evidence: Evidence) -> "NDArray[np.float64]":
    if evidence.losses is None:
        raise ValueError("this bound needs the losses")
    return evidence.losses


def _any(evidence: Evidence) -> bool:
    return True


_RULES = (
    _Rule(
        "bernstein",
        _bernstein,
        _any,
        (),
        "Kawaguchi, Kaelbling & Bengio, arXiv 1710.05468, validation guarantee for a finite class",
    ),
    _Rule("hoeffding", _hoeffding, _any, (), "Hoeffding 1963, Theorem 2"),
    _Rule(
        "kl",
        _kl,
        _any,
        (),
        "Hoeffding 1963, Theorem 1, in its relative-entropy form",
    ),
    _Rule(
        "binomial",
        _binomial,
        lambda evidence: evidence.binary,
        (),
        "Clopper & Pearson 1934; Langford 2005, the test-set bound",
    ),
    _Rule(
        "empirical-bernstein",
        _empirical_bernstein,
        lambda evidence: evidence.losses is not None and evidence.m >= 2,
        (),
        "Maurer & Pontil 2009, Theorem 4",
    ),
    _Rule(
        "betting",
        _betting,
        lambda evidence: evidence.losses is not None,
        ("the seed of the shuffle was not chosen by its result",),
        "Waudby-Smith & Ramdas 2023, Theorem 3 (hedged capital, one side)",
    ),
    _Rule(
        "hoeffding-bentkus",
        _hoeffding_bentkus,
        lambda evidence: not evidence.binary,
        (),
        "Bentkus 2004; Hoeffding 1963, Theorem 1",
    ),
)


def with_items(evidence: Evidence, m: int) -> Evidence:
    """The evidence had there been m items with the same error rate (a count for 0-1 loss)."""
    mean = count_of(m, evidence.mean) / m if evidence.binary else evidence.mean
    return replace(evidence, m=m, mean=mean)
