"""Magnitudes past floats, and the data-dependent bound's arithmetic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.concentrated import data_dependent_bound, tightest_bound
from gencheck.bounds.magnitude import Magnitude, smallest, total

reals = st.floats(-1e100, 1e100, allow_subnormal=False)


@given(reals, reals)
def test_arithmetic_agrees_with_floats(a: float, b: float) -> None:
    left, right = Magnitude.of(a), Magnitude.of(b)
    assert float(left * right) == pytest.approx(a * b, rel=1e-15, abs=0)
    assert float(left + right) == pytest.approx(a + b, rel=1e-12, abs=1e-15 * (abs(a) + abs(b)))
    assert (left <= right) == (a <= b)
    assert float(smallest(left, right)) == min(a, b)


def test_past_the_range_of_floats() -> None:
    huge = Magnitude.from_log2(5000.5)
    assert math.isinf(float(huge))
    assert huge.log10() == pytest.approx(5000.5 * math.log10(2))
    assert float(huge * Magnitude.from_log2(-5000.0)) == pytest.approx(math.sqrt(2))
    assert huge.sqrt().log10() == pytest.approx(2500.25 * math.log10(2))
    assert (huge + Magnitude.of(1.0)) == huge
    assert Magnitude.from_log2(-math.inf) == Magnitude.of(0.0)
    assert Magnitude.of(0.0).log10() == -math.inf
    assert float(Magnitude.of(0.0) + Magnitude.of(3.0)) == 3.0


def test_the_bound_is_its_formula() -> None:
    l2, l1 = [Magnitude.of(4.0), Magnitude.of(1.0)], [Magnitude.of(5.0), Magnitude.of(2.0)]
    bound = data_dependent_bound(0.5, 0.1, -0.25, l2, l1)
    assert [float(term) for term in bound.terms] == pytest.approx([2.5, 1.4, -0.25])
    assert float(bound.value) == pytest.approx(3.65)
    v_sup, v_l2 = [Magnitude.of(0.1)] * 2, [Magnitude.of(0.2), Magnitude.of(0.3)]
    tightest = tightest_bound(0.5, -0.25, v_sup, v_l2, l2, l1)
    # output 0: min(0.1·5, 0.2·2), output 1: min(0.1·2, 0.3·1)
    assert float(tightest.terms[1]) == pytest.approx(2 * (0.4 + 0.2))
    assert total([]) == Magnitude(0.0, 0)


def test_when_it_says_nothing() -> None:
    bound = data_dependent_bound(0.2, 0.0, 0.0, [Magnitude.of(1.0)], [Magnitude.of(1.0)])
    assert not bound.is_vacuous(0.2, 9.0, "classification")
    assert bound.is_vacuous(0.3, 9.0, "classification")
    assert not bound.is_vacuous(0.3, 9.0, "regression")
    assert bound.is_vacuous(0.3, 0.2, "regression")
