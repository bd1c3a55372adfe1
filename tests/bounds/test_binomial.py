"""The binomial tail against exact rational arithmetic, near and far beyond floats."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gencheck.bounds.binomial import (
    bernoulli_divergence,
    binomial_upper_end,
    kl_upper_end,
    log_cdf,
)


def log_fraction(value: Fraction) -> float:
    """Ln of a rational number of any size."""
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    scaled = value / Fraction(2) ** shift
    return math.log(scaled) + shift * math.log(2)


def exact_cdf(k: int, m: int, r: Fraction) -> Fraction:
    return sum((math.comb(m, j) * r**j * (1 - r) ** (m - j) for j in range(k + 1)), Fraction(0))


@settings(max_examples=150)
@given(st.integers(1, 60), st.data())
def test_equals_exact_arithmetic(m: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, m - 1))
    r = data.draw(st.floats(1e-9, 1 - 1e-9))
    exact = log_fraction(exact_cdf(k, m, Fraction(r)))
    assert log_cdf(k, m, r) == pytest.approx(exact, rel=1e-11, abs=1e-13)


def test_no_underflow_where_floats_end() -> None:
    exact = log_fraction(exact_cdf(3, 1000, Fraction(0.99)))
    assert exact < -4000
    assert log_cdf(3, 1000, 0.99) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "m", "level"),
    [(1, 30, 3.0), (5, 100, 10.0), (100, 10_000, 20.0), (9, 10, 1.0), (500, 1000, 0.01)],
)
def test_upper_end_agrees_with_scipy_at_mild_levels(k: int, m: int, level: float) -> None:
    expected = special.betainccinv(k + 1, m - k, math.exp(-level))
    assert binomial_upper_end(k, m, level) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("log_models", [math.log(1e9), 300 * math.log(10), 100_000.0])
@pytest.mark.parametrize(("k", "m"), [(0, 10_000), (7, 10_000), (300, 10_000), (10**6, 10**8)])
def test_upper_end_for_any_number_of_models(k: int, m: int, log_models: float) -> None:
    level = log_models + math.log(1 / 0.05)
    end = binomial_upper_end(k, m, level)
    assert k / m < end <= 1
    if end < 1 - 1e-12:
        assert log_cdf(k, m, end) == pytest.approx(-level, rel=1e-9)
        assert log_cdf(k, m, math.nextafter(end, 2)) < -level
    assert end <= kl_upper_end(k / m, m, level)


@pytest.mark.parametrize("k", [0, 1, 10, 300])
@pytest.mark.parametrize("m", [10**8, 10**12, 10**14])
def test_few_errors_among_very_many_items_keep_all_digits(k: int, m: int) -> None:
    """There the binomial is the Poisson distribution but for a share of about mean²/m."""
    mean = k + 2 * math.sqrt(k) + 2
    expected = stats.poisson.logcdf(k, mean)
    assert log_cdf(k, m, mean / m) == pytest.approx(expected, rel=max(1e-13, 2 * mean**2 / m))


def test_all_errors_and_none() -> None:
    assert binomial_upper_end(5, 5, 3.0) == 1.0
    assert binomial_upper_end(0, 10, 3.0) == pytest.approx(1 - math.exp(-0.3), rel=1e-15)
    assert kl_upper_end(0.0, 10, 3.0) == pytest.approx(1 - math.exp(-0.3), rel=1e-15)
    assert kl_upper_end(1.0, 10, 3.0) == 1.0


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_divergence_obeys_pinsker(p: float, r: float) -> None:
    divergence = bernoulli_divergence(p, r)
    assert divergence >= 2 * (p - r) ** 2 * (1 - 1e-12)
    assert bernoulli_divergence(p, p) == 0


def test_divergence_keeps_its_digits_near_equality() -> None:
    p, step = 0.3, 1e-9
    assert bernoulli_divergence(p, p + step) == pytest.approx(step**2 / (2 * p * (1 - p)), rel=1e-6)
