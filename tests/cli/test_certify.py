"""`gencheck concentrate --certify` as users call it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text
from tests.conftest import printed

runner = CliRunner()
ASKED = ("--certify", "--input-range", "0", "1", "--gates-independent")


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with a checkpoint, and labels and values for it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    random = np.random.default_rng(0)
    sets = {"x_train": random.random((80, 6)), "x_test": random.random((40, 6))}
    labels = {"y_train": random.integers(0, 2, 80), "y_test": random.integers(0, 2, 40)}
    values = {"y_train": random.random((80, 2)), "y_test": random.random((40, 2))}
    np.savez(tmp_path / "labels.npz", **sets, **labels)
    np.savez(tmp_path / "values.npz", **sets, **values)
    return tmp_path


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["concentrate", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("concentrate")))
    return doc


def test_document(case: Path) -> None:
    doc = document(case / "m.pt", case / "labels.npz", *ASKED, "--confidence", "0.9")
    certified = doc["certified"]
    assert certified["confidence"] == 0.9
    assert certified["delta"] == pytest.approx(0.1)
    assert certified["square_bound"] == 6 * 4 + 4 + 1
    assert certified["zero_one"] == 2 * certified["bound"]
    assert certified["vacuous"]
    # certified for the distribution, so above what is estimated against the reference
    assert certified["beta1"] > doc["beta1"]["upper"]
    assert certified["beta2"] > doc["beta2"]["upper"]
    parts = certified["beta1"] * doc["path_norms"]["l2_squared"]
    parts += 2 * certified["beta2"] * doc["path_norms"]["l1"] + certified["beta3"]
    assert certified["bound"] == pytest.approx(doc["gap"]["sample_risk"] + parts)
    assert any("[0, 1]" in assumption for assumption in certified["assumptions"])
    assert doc["inputs"]["gates_independent"]
    assert doc["inputs"]["certificate"]["input_range"] == [0.0, 1.0]
    assert doc["certainty"] == "estimated"
    assert "certificate" in doc["timing"]["seconds"]


def test_without_it_nothing_is_certified(case: Path) -> None:
    doc = document(case / "m.pt", case / "labels.npz", "--gates-independent")
    assert "certified" not in doc
    assert doc["inputs"]["certificate"] is None


def test_both_precisions_and_all_tiles_agree(case: Path) -> None:
    common = (case / "m.pt", case / "labels.npz", *ASKED)
    narrow = document(*common)["certified"]
    wide = document(*common, "--dtype", "float64", "--tile", "7")["certified"]
    for key in ("beta1", "beta2", "bound"):
        assert narrow[key] == pytest.approx(wide[key], rel=1e-5)


def test_more_confidence_is_a_larger_bound(case: Path) -> None:
    common = (case / "m.pt", case / "labels.npz", *ASKED)
    bounds = [
        document(*common, "--confidence", level)["certified"]["bound"]
        for level in ("0.5", "0.95", "0.999")
    ]
    assert bounds == sorted(bounds)
    assert document(*common)["certified"]["bound"] == bounds[1]


def test_regression(case: Path) -> None:
    arguments = (case / "m.pt", case / "values.npz", *ASKED)
    message = refused(*arguments)
    assert "found values to regress and no --target-range" in message
    certified = document(*arguments, "--target-range", "0", "1")["certified"]
    assert certified["zero_one"] is None
    assert "regression" in certified["zero_one_reason"]
    assert certified["beta3"] == pytest.approx(2 * np.sqrt(np.log(3 / 0.05) / 160))


def refused(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["concentrate", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--certify", "--input-range", "0", "1"), "Train in two phases"),
        (("--certify", "--gates-independent"), "found no --input-range"),
        ((*ASKED, "--confidence", "2"), "--confidence: found 2"),
        (("--confidence", "0.9"), "--confidence: found no --certify"),
        (
            ("--certify", "--input-range", "-0.5", "0.5", "--gates-independent"),
            "--input-range -0.5 0.5: found input 0 of the pooled items",
        ),
        ((*ASKED, "--target-range", "0", "1"), "--target-range: found class labels"),
    ],
)
def test_refusals(case: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(case / "m.pt", case / "labels.npz", *arguments)


def test_options_are_refused_before_the_work(case: Path) -> None:
    assert "Train in two phases" in refused("absent.pt", "absent.npz", "--certify")


def test_slopes_outside_the_unit_interval(tmp_path: Path, case: Path) -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.LeakyReLU(-0.5), nn.Linear(4, 2))
    torch.export.save(torch.export.export(module, (torch.randn(5, 6),)), tmp_path / "s.pt2")
    message = refused(tmp_path / "s.pt2", case / "labels.npz", *ASKED)
    assert "leaky_relu" in message
    assert "gates in [0, 1]" in message


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_report_says_what_is_certified(case: Path, columns: str) -> None:
    run = printed(columns, "concentrate", case / "m.pt", case / "labels.npz", *ASKED)
    assert run.exit_code == 0, run.output
    assert max(len(line) for line in run.stdout.splitlines()) <= int(columns)
    parts = ("Estimated:", "Certified: with probability 0.95", "squared-loss risk ≤")
    order = [run.stdout.index(part) for part in (*parts, "0-1 error ≤", "assumes", "Verdict")]
    assert order == sorted(order)
    plain = printed(columns, "concentrate", case / "m.pt", case / "labels.npz")
    assert "Certified" not in plain.stdout


def test_a_tail_is_not_certified(case: Path) -> None:
    """The layers before may have learnt the sample by heart, gates or none."""
    arguments = ("concentrate", case / "m.pt", case / "labels.npz", *ASKED, "--from", "2")
    result = runner.invoke(app, [str(word) for word in arguments])
    assert result.exit_code == 2
    assert "--certify with --from: found both" in " ".join(result.stderr.split())
