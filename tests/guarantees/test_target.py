"""`certify --target`: another network through a two-phase run, as users call it."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import gencheck
from gencheck.bounds.binomial import binomial_upper_end
from gencheck.cli.app import app
from gencheck.guarantees.certificate import NAMES
from gencheck.guarantees.two_phase_run import read_two_phase_run
from gencheck.report.schema import schema_text
from tests.guarantees.test_path_space import finished_run


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A solved run, its data, and a target trained on all of them: their nearest class mean."""
    folder = tmp_path_factory.mktemp("target")
    run, data = finished_run(folder, "ridge")
    with np.load(data) as arrays:
        items, labels = arrays["x_train"], arrays["y_train"]
    means = np.stack([items[labels == k].mean(0) for k in range(3)])
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(means))
        module.bias.copy_(torch.from_numpy(-(means**2).sum(1) / 2))
    program = torch.export.export(module, (torch.zeros(5, 4),))
    torch.export.save(program, folder / "target.pt2")
    return run, data, folder / "target.pt2"


def certified(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["certify", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("certify")))
    return doc


def target_labels(target: Path, items: np.ndarray) -> np.ndarray:
    weights = torch.export.load(target).state_dict
    rows = torch.from_numpy(items).float()
    return (rows @ weights["weight"].T + weights["bias"]).argmax(1).numpy()


@pytest.mark.parametrize("verdict", NAMES)
def test_the_target_is_certified_by_its_surrogate(
    case: tuple[Path, Path, Path], verdict: str, tmp_path: Path
) -> None:
    """The two parts of δ, the disagreement with what the surrogate itself says, and the sum."""
    run, data, target = case
    file = tmp_path / "p.csv"
    arguments = ("--verdict", verdict, "--drawn", "7", "--save-predictions", file)
    doc = certified(run, data, *arguments, "--target", target, "--unlabelled", data)
    rows = {row["name"]: row for row in doc["certificates"]}
    assert list(rows) == [*NAMES, "target"]
    alone = certified(run, data, "--verdict", verdict, "--delta", "0.025")
    (surrogate,) = (row for row in alone["certificates"] if row["name"] == verdict)
    assert rows[verdict]["risk"] == pytest.approx(surrogate["risk"], rel=1e-12)
    with np.load(data) as arrays:
        items, labels = arrays["x_test"], arrays["y_test"]
    said = np.array(
        [int(row["prediction"]) for row in csv.DictReader(file.read_text().splitlines())]
    )
    theirs = target_labels(target, items)
    terms = rows["target"]["terms"]
    assert terms["disagreements"] == (said != theirs).sum()
    assert terms["unlabelled_items"] == len(items) == 32
    upper = binomial_upper_end(terms["disagreements"], 32, math.log(2 / 0.05))
    assert terms["disagreement"] == pytest.approx(upper, rel=1e-12)
    assert rows["target"]["risk"] == pytest.approx(surrogate["risk"] + upper, rel=1e-12)
    assert rows["target"]["test_error"] == pytest.approx((theirs != labels).mean())
    assert rows["target"]["error"] is None
    assert doc["verdict"] == {
        "name": "target",
        "risk": rows["target"]["risk"],
        "confidence": 0.95,
    }


def test_items_that_trained_the_run_count_as_disagreements(
    case: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """What two models say of them tells nothing of how often they disagree."""
    run, data, target = case
    with np.load(data) as arrays:
        unseen, seen = arrays["x_test"], arrays["x_train"]
    np.savez(tmp_path / "u.npz", x=np.concatenate([unseen, seen[:10]]))
    plain = certified(run, data, "--target", target, "--unlabelled", data)
    found = certified(run, data, "--target", target, "--unlabelled", tmp_path / "u.npz")
    before, terms = (doc["certificates"][-1]["terms"] for doc in (plain, found))
    repeated = terms["repeated_items"]
    assert 0 < repeated <= 10
    others = 10 - repeated
    assert repeated <= terms["disagreements"] - before["disagreements"] <= repeated + others
    assert terms["unlabelled_items"] == len(unseen) + 10


def test_predictions_are_those_of_the_classifier_itself(
    case: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run, data, _ = case
    test = read_two_phase_run(run, data).items.test
    assert test is not None
    held, written = tmp_path / "c.npz", tmp_path / "p.csv"
    common = ("--verdict", "pac-bayes-drawn", "--drawn", "3", "--save", held)
    doc = certified(run, data, *common, "--save-predictions", written)
    assert doc["inputs"]["drawn"] == 3
    assert doc["inputs"]["save_predictions"] == str(written)
    rows = list(csv.DictReader(written.read_text().splitlines()))
    classifier = gencheck.DrawnClassifier.load(run, held)
    predicted = classifier.predict(test.items, seed=3).tolist()
    assert [int(row["prediction"]) for row in rows] == predicted
    assert [int(row["label"]) for row in rows] == test.labels.tolist()
    # val-bound reads what was written
    asked = ["val-bound", "--n-models", "1", "--predictions", str(written), "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["inputs"]["m_val"] == 32


def test_weights_that_moved_on_a_part(case: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """`hold-out-moved`: its errors are those of the classifier on the items left out of the fit."""
    run, data, target = case
    held = tmp_path / "c.npz"
    common = (run, data, "--landmarks", "20", "--prior-share", "0.5")
    asked = (
        "--verdict",
        "hold-out-moved",
        "--save",
        held,
        "--target",
        target,
        "--unlabelled",
        data,
    )
    doc = certified(*common, *asked)
    rows = {row["name"]: row for row in doc["certificates"]}
    assert list(rows) == [*NAMES, "hold-out-moved", "target"]
    row = rows["hold-out-moved"]
    freeze = read_two_phase_run(run, data).items.freeze
    order = np.random.default_rng(0).permutation(len(freeze))[32:]
    classifier = gencheck.DrawnClassifier.load(run, held)
    wrong = (classifier.predict(freeze.items[order]) != freeze.labels[order]).sum()
    assert row["terms"]["errors"] == wrong
    assert row["risk"] == pytest.approx(binomial_upper_end(int(wrong), 32, math.log(40)))
    assert rows["target"]["terms"]["surrogate_risk"] == row["risk"]
    # without noise, a draw is the mean
    drawn = classifier.predict(freeze.items, seed=1)
    assert (drawn == classifier.predict(freeze.items)).all()


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_predictions_stand_for_any_model(
    case: tuple[Path, Path, Path], suffix: str, tmp_path: Path
) -> None:
    run, data, target = case
    with np.load(data) as arrays:
        items = arrays["x_test"]
    np.savez(tmp_path / "u.npz", x=items)
    labels, file = target_labels(target, items), tmp_path / f"t{suffix}"
    if suffix == ".npy":
        np.save(file, labels)
    else:
        file.write_text("item,prediction\n" + "".join(f"{i},{y}\n" for i, y in enumerate(labels)))
    by_model = certified(run, data, "--target", target, "--unlabelled", tmp_path / "u.npz")
    by_table = certified(run, data, "--target", file, "--unlabelled", tmp_path / "u.npz")
    assert by_model["verdict"] == by_table["verdict"]
    assert by_table["certificates"][-1]["test_error"] is None
    report = CliRunner().invoke(
        app, ["certify", str(run), str(data), "--target", str(file), "--unlabelled", str(data)]
    )
    for part in (
        "half for the disagreement",
        "the target, through pac-bayes-mean",
        "Verdict: ",
    ):
        assert part in report.stdout.replace("\n", " ")


def test_items_of_a_table_without_labels(case: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run, data, target = case
    with np.load(data) as arrays:
        items = arrays["x_test"]
    lines = [",".join("abcd"), *(",".join(map(repr, row)) for row in items.tolist())]
    (tmp_path / "u.csv").write_text("\n".join(lines))
    by_table = certified(run, data, "--target", target, "--unlabelled", tmp_path / "u.csv")
    by_array = certified(run, data, "--target", target, "--unlabelled", data)
    assert by_table["verdict"] == by_array["verdict"]


def refused(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["certify", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


def test_refusals(case: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run, data, target = case
    with np.load(data) as arrays:
        np.savez(tmp_path / "own.npz", x=arrays["x_train"])
        np.savez(tmp_path / "other.npz", z=arrays["x_test"])
        count = len(arrays["x_test"])
    asked = (run, data, "--target")
    assert "128 of 128 items that trained the run" in refused(
        *asked, target, "--unlabelled", tmp_path / "own.npz"
    )
    assert "an array x_test or x of items" in refused(
        *asked, target, "--unlabelled", tmp_path / "other.npz"
    )
    for labels, message in (
        ([0] * (count - 1), "a column prediction with 32 rows"),
        ([3] * count, "a whole number from 0 to 2"),
    ):
        np.save(tmp_path / "t.npy", np.array(labels))
        assert message in refused(*asked, tmp_path / "t.npy", "--unlabelled", data)
    wide = torch.export.export(nn.Linear(4, 5), (torch.zeros(5, 4),))
    torch.export.save(wide, tmp_path / "wide.pt2")
    assert "found 5 outputs" in refused(*asked, tmp_path / "wide.pt2", "--unlabelled", data)
    assert "found no --unlabelled" in refused(*asked, target)
    assert "--unlabelled: found no --target" in refused(run, data, "--unlabelled", data)
    assert "--key: found no --target" in refused(run, data, "--key", "ema")
    assert "found 0.2 of 64 freeze items, 13, and 64 landmarks" in refused(
        run, data, "--prior-share", "0.2"
    )
    assert "--prior-share: found 1" in refused(run, data, "--prior-share", "1")
    assert "found no --prior-share" in refused(run, data, "--verdict", "hold-out-moved")
    within = run / "p.csv"
    assert "a file in the run's folder" in refused(run, data, "--save-predictions", within)
    assert "suffix '.txt'" in refused(run, data, "--save-predictions", tmp_path / "p.txt")


def test_no_test_items_no_predictions(tmp_path: Path) -> None:
    run, data = finished_run(tmp_path, "ridge", 60)
    with np.load(data) as arrays:
        np.savez(data, x_train=arrays["x_train"], y_train=arrays["y_train"])
    # the run's record names the data by their digest
    record = json.loads((run / "run.json").read_text())
    from gencheck.load.digest import sha256_of

    record["inputs"]["data"]["sha256"] = sha256_of(data)
    (run / "run.json").write_text(json.dumps(record))
    message = refused(run, data, "--save-predictions", tmp_path / "p.csv")
    assert "a run without items to test on" in message


def test_items_that_repeat_are_named_among_what_is_assumed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    distinct, labels = random.normal(size=(20, 4)).astype("f4"), random.integers(2, size=20)
    for name, rows in (("once", np.arange(20)), ("copies", np.repeat(np.arange(20), 4))):
        data, run = tmp_path / f"{name}.npz", tmp_path / name
        np.savez(data, x_train=distinct[rows], y_train=labels[rows])
        asked = ("train", "--data", data, "--arch", "mlp:4", "--two-phase", "--epochs", "1")
        done = CliRunner().invoke(app, [*map(str, asked), "--alpha", "0.5", "--out", str(run)])
        assert done.exit_code == 0, done.output
        for row in certified(run, data)["certificates"]:
            said = any("not copies that were made" in line for line in row["assumes"])
            assert said == (name == "copies")
