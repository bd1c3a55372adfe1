"""No bound misses more often than it promises; the study is in tests/benchmarks/coverage_study.py."""

import numpy as np
import pytest

from gencheck.bounds.betting import betting_rejects, betting_upper_end
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.solve import smallest_delta
from gencheck.bounds.validation import certified_bound, validation_bounds
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


def test_a_range_read_off_the_items_does_not_hold() -> None:
    """One loss in two hundred is 1000: of a hundred items, 60 % of the time there is none of them."""
    generator, replicates, m, delta, largest = np.random.default_rng(0), 2000, 100, 0.05, 1000.0
    rare = generator.random((replicates, m)) < 0.005
    losses = np.where(rare, largest, generator.beta(1, 9, (replicates, m)))
    risk = 0.995 * 0.1 + 0.005 * largest

    def end(mean: float, high: float) -> float:
        return certified_bound(Evidence(m, mean / high, False, high=high), -np.log(delta)).risk

    means, highs = losses.mean(1).tolist(), losses.max(1).tolist()
    read_off = [end(mean, high) < risk for mean, high in zip(means, highs, strict=True)]
    fixed = [end(mean, largest) < risk for mean in means]
    assert np.mean(read_off) > 0.55
    assert np.mean(fixed) <= allowed(delta)


def test_models_made_of_earlier_scores_are_no_class_that_was_fixed() -> None:
    """A hundred coins are tried; then the majority of those that did better than chance, another coin."""
    generator, replicates, m, trials, delta = np.random.default_rng(0), 300, 100, 100, 0.05
    wrong = generator.random((replicates, trials, m)) < 0.5
    good = wrong.mean(2) < 0.5
    # of true risk a half like each of them, since new items know nothing of these
    votes = np.where(good[:, :, None], wrong, 0).sum(1) / good.sum(1)[:, None]
    errors = (votes > 0.5).sum(1)

    def missed(log_models: float) -> float:
        ends = {
            k: certified_bound(Evidence(m, k / m, True), log_models - np.log(delta)).risk
            for k in set(errors.tolist())
        }
        return float(np.mean([ends[k] < 0.5 for k in errors.tolist()]))

    assert missed(np.log(trials + 1)) > 0.9
    assert missed((trials + 1) * np.log(m + 1)) <= allowed(delta)


@pytest.mark.parametrize("binary", [True, False])
def test_the_smallest_delta_of_what_was_observed_is_a_p_value(binary: bool) -> None:
    """P(p ≤ α) ≤ α for every α at once, at the risk that the target names."""
    generator, replicates, m, models = np.random.default_rng(1), 2000, 60, 3
    values = np.ones(replicates)
    for i in range(replicates):
        # every model's risk is the target; the one with the smallest error is looked at
        best = None
        for _ in range(models):
            losses = generator.beta(2, 2, m)
            losses = (losses < 0.5) * 1.0 if binary else losses
            if best is None or losses.mean() < best.mean():
                best = losses
        assert best is not None
        stakes = np.log(models / 0.05)
        seen = Evidence(m, float(best.mean()), binary, best, stakes_level=stakes)
        found = smallest_delta(seen, 0.5, np.log(models)).value
        values[i] = 1.0 if found is None else found
    for alpha in (0.01, 0.05, 0.1, 0.2, 0.5):
        assert (values <= alpha).mean() <= allowed(alpha), alpha
    assert (values <= 0.5).mean() > 0.02
