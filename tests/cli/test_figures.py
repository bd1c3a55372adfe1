"""Figures in a report: an interval's ends are rounded away from it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gencheck.report.terminal.figures import rounded


@given(st.floats(-1e6, 1e6), st.integers(1, 8))
def test_ends_are_rounded_outwards(value: float, digits: int) -> None:
    low, high = (float(rounded(value, digits, up)) for up in (False, True))
    assert low <= value <= high
    # and to the next number of so many digits
    step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 0.0
    assert high - low <= 10 * step * (1 + 1e-9)
    assert len(rounded(value, digits, up=True).lstrip("-").replace(".", "").split("e")[0]) >= 1


def test_examples() -> None:
    assert rounded(0.0703839, 4, up=True) == "0.07039"
    assert rounded(0.0703839, 4, up=False) == "0.07038"
    assert rounded(0.25, 4, up=True) == rounded(0.25, 4, up=False) == "0.25"
    assert rounded(0.99999, 4, up=True) == "1"
    assert rounded(math.inf, 4, up=True) == "inf"
