"""A certificate through a surrogate: by hand, and how often it misses in simulation."""

import math

import numpy as np
import pytest

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.disagreement import disagreement_bound


def test_the_bound_by_hand() -> None:
    bound = disagreement_bound(0.03, 0, 100, 0.05)
    assert bound.disagreement == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-12)
    assert bound.risk == pytest.approx(0.03 + bound.disagreement)
    assert disagreement_bound(0.6, 90, 100, 0.05).risk > 1  # never clamped


def test_more_items_tighten_and_more_confidence_loosens() -> None:
    risks = [disagreement_bound(0.0, n // 10, n, 0.05).risk for n in (50, 500, 5000)]
    assert risks == sorted(risks, reverse=True)
    risks = [disagreement_bound(0.0, 5, 50, delta).risk for delta in (0.5, 0.05, 0.005)]
    assert risks == sorted(risks)


@pytest.mark.parametrize(("risk", "apart"), [(0.02, 0.05), (0.3, 0.01), (0.1, 0.2)])
def test_miss_rate(risk: float, apart: float) -> None:
    """At most δ of 50,000 replicates miss in the worst case, where f errs wherever g or f ≠ g does."""
    delta, m, n, rounds = 0.1, 120, 60, 50_000
    random = np.random.default_rng(0)
    errors, differ = random.binomial(m, risk, rounds), random.binomial(n, apart, rounds)
    surrogate = np.array([binomial_upper_end(k, m, math.log(2 / delta)) for k in range(m + 1)])
    bound = np.array([disagreement_bound(0.0, k, n, delta / 2).risk for k in range(n + 1)])
    assert (surrogate[errors] + bound[differ] < risk + apart).mean() <= delta
    # and the disagreement as it was counted, all of δ left to the surrogate, does miss where it rules
    whole = np.array([binomial_upper_end(k, m, -math.log(delta)) for k in range(m + 1)])
    counted = (whole[errors] + differ / n < risk + apart).mean()
    if apart > risk:
        assert counted > delta
