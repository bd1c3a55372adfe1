"""No bound misses more often than it promises; the study is in tests/benchmarks/coverage_study.py."""

import numpy as np
import pytest

from gencheck.bounds.betting import betting_rejects, betting_upper_end
from gencheck.bounds.validation import Evidence, validation_bounds
from tests.benchmarks.coverage_study import Setting, allowed, missed, settings, study


@pytest.mark.slow
@pytest.mark.parametrize("setting", list(settings()), ids=str)
def test_miss_rates(setting: Setting) -> None:
    for name, rate in study(setting).misses.items():
        assert rate <= allowed(setting.delta), name


def test_the_study_can_fail() -> None:
    """A bound that promises too much is caught: 1 − δ claimed, but computed for 3δ."""
    setting = Setting("0-1", 0.3, 200, 0.2, 1)
    promised_less = study(Setting("0-1", 0.3, 200, 0.6, 1)).misses["binomial"]
    assert promised_less > allowed(setting.delta)
    # the exact tail is used up almost wholly, so the study is sharp
    assert study(setting).misses["binomial"] > 0.15


def test_the_study_counts_the_misses_of_the_library() -> None:
    """The study decides each bound without searching for its end; here the ends are searched."""
    generator = np.random.default_rng(1)
    for _ in range(100):
        losses = generator.beta(0.5, 2, 100)
        mean = float(losses.mean())
        risk = mean + 0.2 * float(generator.random())
        evidence = Evidence(100, mean, False, losses)
        ends = {b.name for b in validation_bounds(evidence, 2.0) if b.risk < risk}
        quick = missed(evidence, 2.0, risk) | missed(Evidence(100, mean, False), 2.0, risk)
        assert quick == ends


def test_rejecting_the_truth_is_missing_it() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        losses = generator.beta(0.2, 2, 30)
        risk = float(generator.random())
        assert betting_rejects(losses, risk, 2.0) == (betting_upper_end(losses, 2.0) <= risk)
