"""No bound misses more often than it promises; the study is in tests/benchmarks/coverage_study.py."""

import numpy as np
import pytest

from gencheck.bounds.betting import betting_rejects, betting_upper_end
from gencheck.bounds.validation import Evidence, validation_bounds
from tests.benchmarks.coverage_study import (
    Setting,
    allowed,
    missed_by_losses,
    missed_by_mean,
    settings,
    study,
)


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
    answers: dict[str, list[np.ndarray]] = {}
    for risk in (0.25, 0.3, 0.4):
        losses = generator.beta(0.5, 2, (100, 100))
        means = losses.mean(1)
        quick = {
            **missed_by_mean(100, means, False, 2.0, risk),
            **missed_by_losses(losses, 2.0, risk),
        }
        for row, (mean, its_losses) in enumerate(zip(means, losses, strict=True)):
            bounds = validation_bounds(Evidence(100, float(mean), False, its_losses), 2.0)
            assert {b.name for b in bounds if b.risk < risk} == {n for n in quick if quick[n][row]}
        for name, missed in quick.items():
            answers.setdefault(name, []).append(missed)
    # each bound was compared where it misses and where it does not
    assert all(0 < np.mean(missed) < 1 for missed in answers.values())


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("m", [20, 200])
def test_every_bound_grows_with_the_mean(m: int, binary: bool) -> None:
    means = np.linspace(0, 1, m + 1 if binary else 199)
    ends = [[b.risk for b in validation_bounds(Evidence(m, x, binary), 3.0)] for x in means]
    assert np.all(np.diff(ends, axis=0) >= 0)


def test_rejecting_the_truth_is_missing_it() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        losses = generator.beta(0.2, 2, 30)
        risk = float(generator.random())
        assert betting_rejects(losses, risk, 2.0) == (betting_upper_end(losses, 2.0) <= risk)
