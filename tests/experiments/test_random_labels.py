"""`random-labels`: its own measures against brute force, and a small run."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.experiments import random_labels
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.experiments.images import labelled_images
from gencheck.experiments.random_labels import Scale, ramp_loss, root_mean_feature_norm
from gencheck.progress import SILENT
from gencheck.training.architectures import mlp
from tests.brute import enumerate_paths
from tests.experiments.runs import reproduced

TINY = Scale(40, 30, (64,), 300)


def test_feature_norm_is_that_of_all_paths() -> None:
    torch.manual_seed(0)
    model = mlp((5,), (4, 3), 2).double()
    items = torch.randn((7, 5), dtype=torch.float64)
    z, _ = enumerate_paths(model_of_module(model, [(5,)]).network, items.numpy())
    truth = math.sqrt((z**2).sum(1).mean())
    assert root_mean_feature_norm(model, items) == pytest.approx(truth, rel=1e-12)


def test_ramp_loss_by_hand() -> None:
    outputs = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.5, 0.4], [1.0, 3.0, 0.0]])
    labels = torch.tensor([0, 1, 0])
    # margins 1, 0.1 and −2: losses at ρ = 2 are ½, 0.95 and 1
    assert ramp_loss(nn.Identity(), outputs, labels, 2.0) == pytest.approx((0.5 + 0.95 + 1) / 3)
    assert ramp_loss(nn.Identity(), outputs, labels, 0.05) == pytest.approx(1 / 3)


@pytest.mark.slow
def test_findings_agree_with_each_other() -> None:
    images = labelled_images(ExperimentOptions())
    for shuffled in (False, True):
        found = random_labels.finding(images, TINY, 1, shuffled, SILENT)
        gap = found.audit.gap
        assert gap.sample_error == 0
        assert gap.reference_error is not None
        assert gap.gap <= float(found.audit.tightest.value) <= float(found.audit.bound.value)
        assert (gap.reference_error > 0.7) == shuffled
        errors = round(30 * gap.reference_error)
        # Clopper and Pearson's end by its beta quantile
        end = stats.beta.ppf(0.95, errors + 1, 30 - errors) if errors < 30 else 1.0
        assert found.validation == pytest.approx(end, rel=1e-9)
        c_w = max(float(v) for v in found.audit.path_norms.l2_squared_per_output) ** 0.5
        rademacher = 2 * 100 * found.c_sigma * c_w / math.sqrt(40)
        confidence = math.sqrt(math.log(20) / 80)
        assert found.independent.risk == pytest.approx(
            found.margin_loss + rademacher + confidence, rel=1e-12
        )


@pytest.mark.slow
def test_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_labels, "SMALL", TINY)
    doc = reproduced("random-labels", "--seeds", "2")
    assert {row["seed"] for row in doc["rows"]} == {0, 1}
    rows = {(row["seed"], row["figure"]): row for row in doc["rows"]}
    for seed in (0, 1):
        assert rows[seed, "training error"]["random_labels"] == 0
        assert rows[seed, "reference error"]["random_labels"] > 0.7
        assert rows[seed, "data-dependent bound"]["says"] == "vacuous for both"
        norms = rows[seed, "path norm Σ‖w_k‖₂²"]
        assert norms["random_labels"] > norms["true_labels"]
    assert doc["settings"]["data"].startswith("handwritten digits")
    first = [row for row in doc["rows"] if row["seed"] == 0]
    assert first == reproduced("random-labels")["rows"]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=rng.random((80, 9)), y=rng.integers(2, size=80))
    own = reproduced("random-labels", "--data", tmp_path / "own.npz")
    assert own["settings"]["classes"] == 2
    assert own["settings"]["reference"] == 13
