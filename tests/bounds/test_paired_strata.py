"""The improvement as a mean over strata: laws, coverage, and what it is worth."""

import math

import numpy as np
import pytest

from gencheck.bounds.paired_strata import Gains, improvement_of_strata
from tests.benchmarks.coverage_of_scores import PAIRED_STRATA, missed_by_paired_strata
from tests.benchmarks.coverage_study import allowed

SHARES = np.ones(3) / 3


def gains(seed: int = 0, items: int = 400) -> Gains:
    generator = np.random.default_rng(seed)
    laws = ([0.10, 0.02, 0.88], [0.05, 0.01, 0.94], [0.02, 0.02, 0.96])
    return Gains([generator.choice([1.0, -1.0, 0.0], items, p=law) for law in laws], SHARES)


def test_the_p_value_is_the_level_at_which_the_interval_excludes() -> None:
    for margin in (0.0, 0.01, -0.05):
        found = gains().p_value(margin)
        assert 0 < found < 0.5
        for factor, excluded in ((1.01, True), (0.99, False)):
            assert (gains().least(-math.log(found * factor)) > margin) == excluded
            assert gains().rejects(margin, found * factor) == excluded
    assert gains().p_value(0.9) == 1
    assert not gains().rejects(0.9, 0.5)


def test_exchanging_the_models_mirrors_everything() -> None:
    one = improvement_of_strata(gains(), 2.0, delta=0.05)
    other = improvement_of_strata(gains().mirrored(), 2.0, delta=0.05)
    assert one.lower == pytest.approx(-other.upper)
    assert one.p_value == other.p_value
    assert one.lower < one.value < one.upper
    assert one.value == pytest.approx(2 * gains().value)
    more = improvement_of_strata(gains().scaled(4), 2.0, delta=0.05)
    assert one.lower < more.lower < more.value == one.value
    assert more.p_better < one.p_better < gains().p_value(0.02)


def test_strata_without_differences() -> None:
    none = improvement_of_strata(Gains([np.zeros(9), np.zeros(1)], np.ones(2) / 2), 1.0, delta=0.05)
    assert none.lower == pytest.approx(-none.upper)
    assert (none.value, none.p_value, none.p_better) == (0, 1, 1)


@pytest.mark.parametrize(("counts", "plus", "minus"), PAIRED_STRATA)
def test_coverage(
    counts: tuple[int, ...], plus: tuple[float, ...], minus: tuple[float, ...]
) -> None:
    assert missed_by_paired_strata(counts, plus, minus, 0.2) <= allowed(0.2)


def test_strata_of_other_shares_than_the_sample_miss_where_they_are_left_out() -> None:
    """Of 100 items of one kind and 10 of another, worse, that is meant to count the same."""
    generator, missed, by_strata = np.random.default_rng(0), 0, 0
    for _ in range(200):
        parts = [
            generator.choice([1.0, -1.0, 0.0], size, p=law)
            for size, law in ((300, [0.2, 0.0, 0.8]), (30, [0.0, 0.3, 0.7]))
        ]
        pooled = Gains([np.concatenate(parts)], np.ones(1))
        # the mean over the two is −0.05, so "better" is wrong
        missed += pooled.rejects(0.0, 0.05)
        by_strata += Gains(parts, np.ones(2) / 2).rejects(0.0, 0.05)
    assert missed > 190
    assert by_strata == 0
