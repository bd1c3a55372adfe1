"""What is counted of a study, and which of its scores are a mean at all."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.guarantees.evidence import ValidationRequest
from gencheck.guarantees.score_names import refuse_no_mean
from gencheck.guarantees.validation import validation_result


@pytest.mark.parametrize(
    "name",
    [
        *("valF1", "rocauc", "ROCAUC", "prAUC", "valLoss", "trainloss", "f1score", "val/macroF1"),
        *("val_mIoU", "IoU", "chrF"),
    ],
)
def test_names_of_scores_that_are_no_mean(name: str) -> None:
    with pytest.raises(InputError):
        refuse_no_mean(name, "here", ranged=False)


@pytest.mark.parametrize(
    "name",
    [
        "valAccuracy",
        "zero_one_loss",
        "zeroOneLoss",
        "error",
        "top1",
        "accuracy_caucasian",
        "acc_f10",
    ],
)
def test_names_of_means(name: str) -> None:
    refuse_no_mean(name, "here", ranged=False)


def hydra_jobs(folder: Path) -> Path:
    """Two jobs, each of which trained twice."""
    for job in ("0", "1"):
        (folder / job / ".hydra").mkdir(parents=True)
        for version, scores in enumerate(((0.8, 0.99, 0.9), (0.91,))):
            logs = folder / job / "logs" / f"version_{version}"
            logs.mkdir(parents=True)
            lines = [f"{epoch},{score}" for epoch, score in enumerate(scores)]
            (logs / "metrics.csv").write_text("epoch,acc\n" + "\n".join(lines) + "\n")
    return folder


def test_every_training_of_a_hydra_job_counts(tmp_path: Path) -> None:
    asked = ValidationRequest(
        study=hydra_jobs(tmp_path), metric="acc", direction="max", m_val="1000"
    )
    study = validation_result(asked).study
    assert study is not None
    assert (study["models"], study["counted"], study["best"]["score"]) == (8, "scores", 0.99)


def test_the_best_of_a_study_is_not_one_of_fewer(tmp_path: Path) -> None:
    asked = ["val-bound", "--study", str(hydra_jobs(tmp_path)), "--m-val", "1000"]
    asked += ["--metric", "acc", "--direction", "max", "--n-models"]
    refused = CliRunner().invoke(app, [*asked, "7"])
    assert refused.exit_code == 2
    assert "found 7, for the best of 8 scores of the study" in " ".join(refused.stderr.split())
    assert CliRunner().invoke(app, [*asked, "8"]).exit_code == 0
    # the error of another model, such as one that was chosen elsewhere
    assert CliRunner().invoke(app, [*asked, "1", "--val-error", "0.1"]).exit_code == 0


def test_a_gate_does_not_pass_by_what_was_solved_for_it(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("loss\n" + "0\n" * 95 + "1\n" * 5)
    asked = ["val-bound", "--losses", str(tmp_path / "l.csv"), "--solve", "n-models"]
    asked += ["--target", "0.15", "--max-risk", "0.15"]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "--max-risk and --solve n-models: found both" in " ".join(refused.stderr.split())
    planned = ["val-bound", "--m-val", "100", "--val-error", "0.05", *asked[3:]]
    assert CliRunner().invoke(app, planned).exit_code == 0


def test_a_group_that_passes_is_below_its_limit(tmp_path: Path) -> None:
    """Holm's test certifies a limit that Bonferroni's bound does not reach."""
    rows = [
        f"{int(i < errors)},{name}" for name, errors in (("a", 1), ("b", 2)) for i in range(100)
    ]
    (tmp_path / "l.csv").write_text("loss,site\n" + "\n".join(rows) + "\n")
    asked = ["val-bound", "--losses", str(tmp_path / "l.csv"), "--stratify-key", "site", "--json"]
    asked += ["--n-models", "1", "--max-group-risk", "0.065"]
    done = CliRunner().invoke(app, asked)
    doc = json.loads(done.stdout)
    assert done.exit_code == 0
    assert max(row["risk"] for row in doc["scores"]["groups"]) > 0.065
    assert all(check["value"] <= check["limit"] for check in doc["gate"]["checks"])
