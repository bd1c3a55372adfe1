"""No bound misses more often than it promises; the study is in tests/benchmarks/coverage_study.py."""

import numpy as np
import pytest

from gencheck.bounds.betting import betting_rejects, betting_upper_end
from tests.benchmarks.coverage_study import Setting, allowed, settings, study


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


def test_rejecting_the_truth_is_missing_it() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        losses = generator.beta(0.2, 2, 30)
        risk = float(generator.random())
        assert betting_rejects(losses, risk, 2.0) == (betting_upper_end(losses, 2.0) <= risk)
