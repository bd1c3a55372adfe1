"""The validation bounds: worked figures, order, monotonicity, and a slow betting twin."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.betting import TRUNCATION, betting_rejects, betting_upper_end
from gencheck.bounds.evidence import Evidence, count_of
from gencheck.bounds.validation import certified_bound, certified_name, validation_bounds

# a level below ln 2 allows a miss more often than not; a bound may then lie below the mean
levels = st.floats(math.log(2), 2000)


def risks(evidence: Evidence, level: float) -> dict[str, float]:
    return {bound.name: bound.risk for bound in validation_bounds(evidence, level)}


def counted(m: int, share: float) -> Evidence:
    return Evidence(m, count_of(m, share) / m, True)


def test_the_worked_example() -> None:
    level = math.log(1e9) - math.log(0.1)
    bound = validation_bounds(Evidence(10_000, 0.0, True), level)[0]
    assert bound.name == "bernstein"
    assert bound.slack == pytest.approx(0.069396461, abs=5e-10)


def test_the_formulas() -> None:
    evidence = Evidence(100, 0.2, False, c=0.5, gamma2=0.25)
    ends = risks(evidence, 3.0)
    assert ends["bernstein"] == pytest.approx(0.2 + 2 * 0.5 * 3 / 300 + math.sqrt(0.5 * 3 / 100))
    assert ends["hoeffding"] == pytest.approx(0.2 + math.sqrt(3 / 200))
    losses = np.linspace(0, 1, 11)
    with_losses = risks(Evidence(11, 0.5, False, losses), 2.0)
    l2 = 2.0 + math.log(2)
    expected = 0.5 + math.sqrt(2 * losses.var(ddof=1) * l2 / 11) + 7 * l2 / 30
    assert with_losses["empirical-bernstein"] == pytest.approx(expected)


def test_names_by_kind_of_evidence() -> None:
    losses = np.array([0.0, 0.5, 1.0])
    assert set(risks(Evidence(3, 0.0, True), 1.0)) == {"bernstein", "hoeffding", "kl", "binomial"}
    assert set(risks(Evidence(3, 0.5, False), 1.0)) == {
        "bernstein",
        "hoeffding",
        "kl",
        "hoeffding-bentkus",
    }
    assert set(risks(Evidence(3, 0.5, False, losses), 1.0)) == {
        "bernstein",
        "hoeffding",
        "kl",
        "empirical-bernstein",
        "betting",
        "hoeffding-bentkus",
    }
    assert "empirical-bernstein" not in risks(Evidence(1, 0.0, False, losses[:1]), 1.0)
    assert certified_name(Evidence(3, 0.0, True, losses.round())) == "binomial"
    assert certified_name(Evidence(3, 0.5, False)) == "hoeffding-bentkus"
    assert certified_name(Evidence(3, 0.5, False, losses)) == "betting"


@given(st.integers(1, 10**6), st.floats(0, 1), levels)
def test_what_dominates_what(m: int, share: float, level: float) -> None:
    binary = risks(counted(m, share), level)
    assert binary["binomial"] <= binary["kl"] * (1 + 1e-12) <= binary["hoeffding"] * (1 + 2e-12)
    bounded = risks(Evidence(m, share, False), level)
    assert bounded["hoeffding-bentkus"] <= bounded["kl"] <= bounded["hoeffding"] * (1 + 1e-12)


@given(st.integers(1, 10**6), st.floats(0, 1), levels, st.floats(1.0001, 3), st.booleans())
def test_more_models_or_less_delta_loosen(
    m: int, share: float, level: float, factor: float, binary: bool
) -> None:
    evidence = counted(m, share) if binary else Evidence(m, share, False)
    less, more = risks(evidence, level), risks(evidence, level * factor)
    assert all(less[name] <= more[name] for name in less)


@given(st.integers(0, 300), st.integers(1, 1000), levels, st.integers(2, 50))
def test_more_items_tighten(errors: int, m: int, level: float, factor: int) -> None:
    errors = min(errors, m)
    few = risks(Evidence(m, errors / m, True), level)
    many = risks(Evidence(factor * m, errors / m, True), level)
    assert all(many[name] <= few[name] * (1 + 1e-12) for name in few)


@given(st.integers(1, 1000), st.floats(0, 1), levels)
def test_slack_is_never_negative(m: int, share: float, level: float) -> None:
    for evidence in (counted(m, share), Evidence(m, share, False)):
        assert all(bound.slack >= -1e-15 for bound in validation_bounds(evidence, level))


def test_another_range_is_the_unit_range_rescaled() -> None:
    unit = Evidence(200, 0.25, False)
    other = Evidence(200, 0.25, False, low=-2.0, high=6.0)
    for a, b in zip(validation_bounds(unit, 4.0), validation_bounds(other, 4.0), strict=True):
        assert b.risk == pytest.approx(-2 + 8 * a.risk)
        assert b.slack == pytest.approx(8 * a.slack)
        assert a.vacuous == b.vacuous


@pytest.mark.parametrize("log_models", [math.log(1e9), 300 * math.log(10), 100_000.0])
def test_vacuous_bounds_are_flagged_and_not_clamped(log_models: float) -> None:
    bounds = {b.name: b for b in validation_bounds(Evidence(1000, 0.1, True), log_models + 3)}
    assert bounds["bernstein"].vacuous == (bounds["bernstein"].risk >= 1)
    if log_models > 1000:
        assert bounds["bernstein"].risk > 10
        assert bounds["binomial"].risk <= 1


def test_counts_survive_rounding() -> None:
    assert count_of(100, 0.07) == 7
    assert count_of(100, 0.071) == 8
    assert count_of(10, 0.0) == 0
    assert count_of(3, 1.0) == 3
    assert all(count_of(m, k / m) == k for m in range(1, 60) for k in range(m + 1))
    assert all(count_of(10**k, 0.07) == 7 * 10 ** (k - 2) for k in range(2, 15))


@pytest.mark.parametrize("m", [10**8, 10**10, 10**12])
def test_counts_of_very_many_items_are_never_rounded_down(m: int) -> None:
    assert count_of(m, 0.5 + 0.4 / m) == m // 2 + 1
    assert count_of(m, 0.5 + 100.4 / m) == m // 2 + 101


class TestBetting:
    """The betting bound against its definition, term by term."""

    def slow_end(self, losses: np.ndarray, level: float, seed: int) -> float:
        """The first rejected point of a fine grid, by the definition."""
        order = np.random.default_rng(seed).permutation(losses)
        for r in np.linspace(0, 1, 2001)[:-1]:
            capital, total, spread, peak = 0.0, 0.0, 0.0, 0.0
            for count, x in enumerate(order, 1):
                variance = (0.25 + spread) / count
                stake = math.sqrt(2 * level / (len(order) * variance))
                stake = min(stake, TRUNCATION / (1 - r))
                capital += math.log1p(stake * (r - x))
                peak = max(peak, capital)
                total += x
                spread += (x - (0.5 + total) / (count + 1)) ** 2
            if peak >= level:
                return float(r)
        return 1.0

    @pytest.mark.parametrize("level", [1.0, 5.0, 30.0])
    @pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
    def test_equals_the_definition(self, level: float, alpha: float) -> None:
        losses = np.random.default_rng(3).beta(alpha, 3, size=60)
        end = betting_upper_end(losses, level, seed=5)
        grid = self.slow_end(losses, level, seed=5)
        assert grid - 1 / 2000 <= end <= grid + 1e-12

    @given(st.integers(0, 1000), st.floats(0.1, 50), st.integers(1, 80))
    def test_the_end_is_where_rejection_begins(self, seed: int, level: float, m: int) -> None:
        losses = np.random.default_rng(seed).beta(0.5, 2, size=m)
        end = betting_upper_end(losses, level)
        if end < 1:
            assert betting_rejects(losses, end, level)
            assert not betting_rejects(losses, end * (1 - 1e-9), level)

    def test_the_seed_decides_the_order(self) -> None:
        losses = np.random.default_rng(0).beta(1, 4, size=100)
        one, again, other = (betting_upper_end(losses, 3.0, seed) for seed in (0, 0, 1))
        assert one == again
        assert one != other

    def test_a_million_losses(self) -> None:
        losses = np.random.default_rng(0).beta(1, 9, size=10**6)
        end = betting_upper_end(losses, math.log(1e9 / 0.05))
        assert losses.mean() < end < losses.mean() + 0.002

    def test_certified_for_losses(self) -> None:
        losses = np.random.default_rng(0).beta(1, 9, size=500)
        evidence = Evidence(500, float(losses.mean()), False, losses)
        assert certified_bound(evidence, 3.0).risk == betting_upper_end(losses, 3.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": math.nan},
        {"mean": -0.2},
        {"mean": 1.5},
        {"m": -1},
        {"losses": np.zeros(4)},
        {"losses": np.full(100, 2.0)},
        {"losses": np.full(100, np.nan)},
        {"low": 1.0},
    ],
    ids=str,
)
def test_evidence_that_cannot_be(wrong: dict[str, Any]) -> None:
    """Each made up a bound, or hung."""
    with pytest.raises(ValueError, match="Evidence: "):
        Evidence(**{"m": 100, "mean": 0.1, "binary": False} | wrong)


@pytest.mark.parametrize("level", [math.nan, -1.0])
def test_levels_that_cannot_be(level: float) -> None:
    with pytest.raises(ValueError, match="L = "):
        validation_bounds(Evidence(m=100, mean=0.1, binary=True), level)
    with pytest.raises(ValueError, match="one item or more"):
        validation_bounds(Evidence(m=0, mean=0.1, binary=True), 3.0)
