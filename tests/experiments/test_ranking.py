"""`ranking`: its sets, its figures and its correlations against independent ones, and a small run."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from gencheck.errors import InputError
from gencheck.experiments import ranking
from gencheck.experiments.defective_sets import KINDS, Pool
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.experiments.measured_sets import Scale
from gencheck.experiments.rank_correlation import correlations, spearman
from gencheck.progress import SILENT
from tests.experiments.runs import reproduced, without_times

TINY = Scale(150, 40, 30, 2, (12,), 4, 1)


def pool(count: int = 100) -> Pool:
    """3000 pictures that are all different, with their class in the first pixel."""
    generator = torch.Generator().manual_seed(0)
    items = torch.rand((3000, 1, 6, 6), generator=generator)
    labels = torch.arange(3000) % 5
    items[:, 0, 0, 0] = labels / 5
    return Pool(items, labels, 5, count)


def made(kind: str, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    return KINDS[kind](pool(), strength, torch.Generator().manual_seed(1))


def right(items: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (5 * items[:, 0, 0, 0]).round().long() == labels


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_set_has_its_defect_and_the_pool_stays_clean(kind: str) -> None:
    own = pool()
    before = own.items.clone(), own.labels.clone()
    items, labels = KINDS[kind](own, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(own.items, before[0])
    assert torch.equal(own.labels, before[1])
    assert len(items) == len(labels) == (10 if kind == "size" else 100)
    differing = len(items.flatten(1).unique(dim=0))
    assert differing == {"size": 10, "duplicates": 10}.get(kind, 100)


def test_labels_are_wrong_in_their_share() -> None:
    for strength in (0.1, 0.5, 1.0):
        wrong = int((~right(*made("label_noise", strength))).sum())
        assert wrong == round(60 * strength)


def test_imbalance_grows_with_strength() -> None:
    largest = [
        int(made("imbalance", strength)[1].bincount().max()) for strength in (0.05, 0.5, 1.0)
    ]
    assert largest == sorted(largest)
    assert bool(right(*made("imbalance", 1.0)).all())
    # with odds 1, e^-1.25, e^-2.5, …: 71 % in the first class
    odds = np.exp(-1.25 * np.arange(5))
    assert largest[-1] / 100 == pytest.approx(odds[0] / odds.sum(), abs=0.13)


def test_a_turn_is_a_turn() -> None:
    # four quarters are none: the largest turn is 60°, so take strength 1.5 for one quarter
    items, _ = made("shift", 1.5)
    plain, _ = made("label_noise", 0.0)
    turned = [torch.rot90(plain, k, (2, 3)) for k in (1, 3)]
    assert min(float((items - each).abs().max()) for each in turned) < 1e-4


def test_foreign_items_have_the_values_of_others_in_another_order() -> None:
    items, _ = made("foreign", 0.5)
    plain, _ = made("label_noise", 0.0)
    changed = (items != plain).flatten(1).any(1)
    assert int(changed.sum()) == 30
    assert torch.equal(items.flatten(1).sort(1).values, plain.flatten(1).sort(1).values)


def test_spearman_is_scipys_with_ties() -> None:
    random = np.random.default_rng(0)
    figures, outcome = random.integers(5, size=(3, 40)).astype(float), random.normal(size=40)
    for own, value in zip(figures, spearman(figures, outcome), strict=True):
        assert value == pytest.approx(stats.spearmanr(own, outcome).statistic, rel=1e-12)
    assert np.isnan(spearman(np.ones((1, 9)), np.arange(9.0)))


@pytest.mark.parametrize("seeds", [1, 5])
def test_intervals_hold_as_often_as_they_say(seeds: int) -> None:
    """Of two normal variables with correlation r, Spearman's is 6/π asin(r/2)."""
    random = np.random.default_rng(0)
    truth, missed, told_apart = 6 / math.pi * math.asin(0.35), 0, 0
    for _ in range(200):
        outcomes = [random.normal(size=60) for _ in range(seeds)]
        figures = [
            np.stack([0.7 * y + math.sqrt(0.51) * random.normal(size=60) for _ in range(2)])
            for y in outcomes
        ]
        first, second = correlations(figures, outcomes, 0, rounds=200, seed=1)
        missed += not first.low <= truth <= first.high
        told_apart += not second.difference[0] <= 0 <= second.difference[1]
        assert first.difference == (0, 0)
    # 5 % of 200 is 10
    assert missed <= 22
    assert told_apart <= 22


def test_a_better_figure_is_called_better() -> None:
    random = np.random.default_rng(0)
    outcome = random.normal(size=60)
    figures = np.stack([random.normal(size=60), outcome**3, -outcome])
    found = correlations([figures], [outcome], 0, rounds=500, seed=0)
    assert [ranking._judgement(each) for each in found] == ["itself", "better", "worse"]


@pytest.mark.slow
def test_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "SMALL", TINY)
    doc = reproduced("ranking", "--seeds", "2")
    names = [row["figure"] for row in doc["rows"]]
    assert names[0] == "v_frobenius"
    assert len(set(names)) == len(names) == 13
    assert doc["settings"]["sets"] == 2 * 2 * len(KINDS)
    for row in doc["rows"]:
        for outcome in ("gap", "error"):
            assert row[f"{outcome}_low"] <= row[f"{outcome}_high"]
            assert -1 <= row[outcome] <= 1
    # the same number of items in every set of a kind but one
    size = doc["rows"][names.index("inverse_size")]
    assert [size[f"error_{kind}"] is None for kind in KINDS] == [k != "size" for k in KINDS]
    again = reproduced("ranking", "--seeds", "2")
    assert without_times(doc) == without_times(again)


@pytest.mark.slow
def test_pictures_in_colour(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    file = tmp_path / "colour.npz"
    np.savez(
        file,
        x=random.integers(256, size=(420, 8, 8, 3), dtype=np.uint8),
        y=random.integers(2, size=420),
    )
    result = ranking.experiment(TINY, ExperimentOptions(file), SILENT)
    assert result.settings["item_shape"] == [3, 8, 8]


def test_what_is_no_picture_or_too_little_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for shape in ((400, 9), (60, 4, 4)):
        file = tmp_path / "own.npz"
        np.savez(file, x=random.random(shape), y=random.integers(2, size=shape[0]))
        with pytest.raises(InputError, match="pictures, at least 160"):
            ranking.run(ExperimentOptions(file), SILENT)
