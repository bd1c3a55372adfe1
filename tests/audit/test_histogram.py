"""Counts of values in bins of equal width."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gencheck.audit.histogram import histogram


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=300))
def test_every_value_is_counted_once(values: list[int]) -> None:
    found = histogram([float(value) for value in values])
    assert found is not None
    assert (found.low, found.high) == (min(values), max(values))
    assert sum(found.counts) == len(values)
    assert len(found.counts) <= 40
    # the outer bins hold the ends
    assert found.counts[0]
    assert found.counts[-1]


def test_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=200)
    found = histogram(values.tolist())
    assert found is not None
    assert len(found.counts) == 29
    np.testing.assert_array_equal(found.counts, np.histogram(values, 29)[0])


def test_one_value_and_extreme_ones() -> None:
    same = histogram([2.0] * 5)
    assert same is not None
    assert same.counts == (5,)
    wide = histogram([-1.7e308, 0.0, 1.7e308])
    assert wide is not None
    assert sum(wide.counts) == 3
    assert histogram([]) is None
    assert histogram([1.0, math.inf]) is None
