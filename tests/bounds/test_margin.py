"""The data-independent bound: worked figures and monotonicity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.margin import independent_bound

positive = st.floats(0.01, 100)


@pytest.mark.parametrize(("c", "expected"), [(0.5, 0.240760), (0.1, 0.0144862)])
def test_worked_examples(c: float, expected: float) -> None:
    bound = independent_bound(45_000, 1.0, 10, c, c, 0.1)
    assert bound.risk == pytest.approx(expected, rel=5e-6)
    assert bound.risk == bound.slack
    assert not bound.vacuous


@given(st.integers(1, 10**9), positive, st.integers(2, 1000), positive, positive)
def test_monotone(m: int, rho: float, d_y: int, c_sigma: float, c_w: float) -> None:
    at = independent_bound(m, rho, d_y, c_sigma, c_w, 0.05).risk
    assert independent_bound(4 * m, rho, d_y, c_sigma, c_w, 0.05).risk == pytest.approx(at / 2)
    assert independent_bound(m, 2 * rho, d_y, c_sigma, c_w, 0.05).risk < at
    assert independent_bound(m, rho, d_y + 1, c_sigma, c_w, 0.05).risk > at
    assert independent_bound(m, rho, d_y, c_sigma, c_w, 0.01).risk > at
    assert independent_bound(m, rho, d_y, c_sigma, c_w, 0.05, 0.1).risk == pytest.approx(at + 0.1)


def test_vacuous_is_flagged_and_not_clamped() -> None:
    bound = independent_bound(100, 1.0, 10, 5.0, 5.0, 0.05)
    assert bound.risk > 100
    assert bound.vacuous
