"""`darc1`: the comparison in pairs, and the runs behind it at a tiny scale."""

import math
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from gencheck.errors import InputError
from gencheck.experiments import darc1
from gencheck.experiments.darc1 import LAMBDAS, Scale
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.experiments.images import convolutional_network, labelled_images
from gencheck.experiments.pairs import Pairs, Trained, darc1_result
from gencheck.progress import SILENT
from tests.experiments.runs import reproduced, without_times

TINY = Scale(300, 4, 32, 3, 0.25, convolutional=False)
SETTINGS = {"network": "dense", "items_per_seed": 100, "data": "made up"}


def pairs(base: list[float], with_term: list[float]) -> Pairs:
    groups = [tuple(Trained(0.0, error, 1.0) for error in errors) for errors in (base, with_term)]
    return Pairs(5, 0.01, *groups)


def test_ratio_and_paired_test_by_hand() -> None:
    base, with_term = [0.10, 0.12, 0.08, 0.11, 0.1], [0.09, 0.10, 0.08, 0.10, 0.11]
    result = darc1_result(pairs(base, with_term), SETTINGS)
    ratios = [d / b for b, d in zip(base, with_term, strict=True)]
    assert result.comparisons[0].ours == pytest.approx(sum(ratios) / 5)
    assert result.comparisons[0].source == 0.89
    assert [row["ratio"] for row in result.rows] == pytest.approx(ratios)
    assert [row["seed"] for row in result.rows] == [5, 6, 7, 8, 9]
    assert result.settings["ratio"]["std"] == pytest.approx(float(np.std(ratios, ddof=1)))
    differences = np.subtract(with_term, base)
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(5))
    p_value = 2 * stats.t.sf(abs(t), df=4)
    assert result.settings["paired_t_test_p_value"] == pytest.approx(p_value)
    # of the differences −1, −2, 0, −1, 1 per cent: 16 of 32 signs reach a sum of 3
    assert result.settings["sign_flip_p_value"] == 16 / 32
    assert "No difference is shown" in result.verdict
    assert "5 seeds can give no p below 0.062" in result.verdict
    assert result.settings["base_test_error"]["mean"] == pytest.approx(0.102)


@pytest.mark.parametrize(("shift", "word"), [(-0.02, "lowers"), (0.02, "raises")])
def test_verdicts(shift: float, word: str) -> None:
    base = [0.10, 0.12, 0.08, 0.11, 0.09, 0.10]
    with_term = [b + shift + 0.001 * i for i, b in enumerate(base)]
    assert f"DARC1 {word} the test error" in darc1_result(pairs(base, with_term), SETTINGS).verdict


def test_pairs_without_spread_or_errors() -> None:
    even = pairs([0.1, 0.2], [0.1, 0.2])
    assert even.t_test_p_value is even.sign_flip_p_value is None
    still = pairs([0.1] * 6, [0.1] * 6)
    assert still.t_test_p_value is still.sign_flip_p_value is None
    assert (
        "the errors of no pair differ. Nothing is shown." in darc1_result(still, SETTINGS).verdict
    )
    # a shift that is the same in all pairs: Student has no spread, the signs have an answer
    moved = pairs([0.5] * 6, [0.25] * 6)
    assert moved.t_test_p_value is None
    assert moved.sign_flip_p_value == 2 / 64
    assert pairs([0.0, 0.2], [0.1, 0.1]).ratios == [None, 0.5]
    with pytest.raises(InputError, match="without a single error"):
        darc1_result(pairs([0.0, 0.2], [0.1, 0.1]), SETTINGS)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_seeds_are_not_tested(count: int) -> None:
    """Two differences of nearly one value gave p = 1.7e-16."""
    result = darc1_result(
        pairs([0.1, 0.12, 0.1, 0.11][:count], [0.0801, 0.1, 0.08, 0.09][:count]), SETTINGS
    )
    assert result.settings["paired_t_test_p_value"] is None
    assert result.settings["sign_flip_p_value"] is None
    assert (
        result.settings["untested"] == f"{count} seeds are too few for a test: at least 5 (--seeds)"
    )
    assert f"{count} seeds are too few for a test" in result.verdict
    assert "Nothing is shown." in result.verdict
    assert "p =" not in result.verdict


def test_the_sign_flip_test_keeps_its_level() -> None:
    """P(p ≤ α) ≤ α for differences that are symmetric but far from normal, exactly as many or more."""
    rng = np.random.default_rng(0)
    for count, repetitions in ((6, 200), (18, 3)):
        found = []
        for _ in range(repetitions):
            d = rng.standard_cauchy(count) / 1000
            value = pairs([0.5] * count, list(0.5 + d)).sign_flip_p_value
            assert value is not None
            found.append(value)
        assert np.mean(np.array(found) <= 0.1) <= 0.1 + 3 * math.sqrt(0.09 / repetitions)
        assert min(found) >= 2.0 ** (1 - count)


@pytest.mark.slow
def test_tiny_run() -> None:
    result = darc1.experiment(TINY, ExperimentOptions(seed=4), SILENT)
    again = darc1.experiment(TINY, ExperimentOptions(seed=4), SILENT)
    assert result == again
    assert len(result.rows) == 3
    held_out = result.settings["held_out_error"]
    chosen = result.settings["lambda"]
    assert set(held_out) == {f"{lam:g}" for lam in (0.0, *LAMBDAS)}
    assert held_out[f"{chosen:g}"] == min(held_out[f"{lam:g}"] for lam in LAMBDAS)
    for row in result.rows:
        assert row["darc1_max_sum_h"] < row["base_max_sum_h"]  # type: ignore[operator]
        assert 0 <= row["base_test_error"] < 0.5  # type: ignore[operator]
    other = darc1.experiment(TINY, ExperimentOptions(seed=40), SILENT)
    assert other.rows != result.rows


@pytest.mark.slow
def test_pairs_differ_by_the_term_alone() -> None:
    images = labelled_images(ExperimentOptions())
    chosen = torch.arange(200)
    judges = (images.test_items, images.test_labels)
    plain, again, almost, strong = (
        darc1._trained(images, chosen, judges, lam, 3, TINY) for lam in (0.0, 0.0, 1e-9, 1.0)
    )
    assert plain == again
    assert almost.magnitude == pytest.approx(plain.magnitude, rel=1e-3)
    assert strong.magnitude < 0.5 * plain.magnitude


@pytest.mark.slow
def test_test_items_do_not_choose_lambda() -> None:
    images = labelled_images(ExperimentOptions())
    shuffled = replace(images, test_labels=images.test_labels.flip(0))
    found = [darc1._validated(im, 300, TINY, 0, SILENT) for im in (images, shuffled)]
    assert found[0] == found[1]


@pytest.mark.slow
def test_convolutional_networks_train() -> None:
    scale = Scale(128, 1, 32, 2, 0.25, convolutional=True)
    result = darc1.experiment(scale, ExperimentOptions(), SILENT)
    assert result.settings["network"] == "conv32-conv64-1024"
    assert all(math.isfinite(float(str(row["ratio"]))) for row in result.rows)
    with pytest.raises(InputError, match="required: images"):
        convolutional_network((64,), 10)


@pytest.mark.slow
def test_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darc1, "SMALL", TINY)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    items = (rng.random((400, 6, 6)) * 120 + 40 * labels[:, None, None]).astype(np.uint8)
    file = tmp_path / "items.npz"
    np.savez(file, x=items, y=labels)
    doc = reproduced("darc1", "--data", file, "--seeds", "2", "--seed", "7")
    assert [row["seed"] for row in doc["rows"]] == [7, 8]
    assert doc["settings"]["test_items"] == 67
    assert doc["settings"]["item_shape"] == [1, 6, 6]
    means = [row["base_max_sum_h"] for row in doc["rows"]]
    assert doc["comparisons"][-2]["ours"] == pytest.approx(statistics.fmean(means))
    assert without_times(doc) == without_times(
        reproduced("darc1", "--data", file, "--seeds", "2", "--seed", "7")
    )


def test_refused() -> None:
    with pytest.raises(InputError, match="--seeds: found 1; required: at least 2"):
        darc1.run(ExperimentOptions(seeds=1), SILENT)


def test_refused_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "values.npz", x=np.zeros((12, 3)), y=np.linspace(0, 1, 12))
    with pytest.raises(InputError, match="one whole-number label an item"):
        labelled_images(ExperimentOptions(data=tmp_path / "values.npz"))
