"""`gencheck compare-scores` as users call it."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from gencheck.bounds.paired import improvement_of_counts, mcnemar_p_value, p_better
from gencheck.cli.app import app
from gencheck.report.schema import schema_text

runner = CliRunner()


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["compare-scores", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("compare-scores")))
    return doc


def refused(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["compare-scores", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


def predictions(path: Path, wrong: set[int], items: int = 200, ids: bool = True) -> Path:
    """A file in which the items of `wrong` are wrong; in reverse order where ids tell them apart."""
    rows = [
        (f"q{i}," if ids else "") + f"c{i % 3},{'x' if i in wrong else f'c{i % 3}'}"
        for i in range(items)
    ]
    head = ("id," if ids else "") + "label,prediction"
    path.write_text("\n".join([head, *(rows[::-1] if ids and "new" in path.name else rows)]))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Files of which the second wins on 20 items and loses on 4, both wrong on 10."""
    return (
        predictions(tmp_path / "old.csv", set(range(30))),
        predictions(tmp_path / "new.csv", {*range(20, 30), *range(50, 54)}),
    )


def test_items_are_matched_by_id(pair: tuple[Path, Path]) -> None:
    doc = document(*pair)
    (found,) = doc["comparisons"]
    assert found["table"] == {
        "wins": 20,
        "losses": 4,
        "ties": 176,
        "both_wrong": 10,
        "both_right": 166,
    }
    expected = improvement_of_counts(20, 4, 200, delta=0.05)
    assert found["p_value"] == mcnemar_p_value(20, 4)
    assert found["improvement"]["lower"] == expected.lower
    assert found["improvement"]["value"] == pytest.approx(0.08)
    assert doc["matched_by"] == "id"
    assert len(found["differing"]) == 10
    assert {item["id"] for item in found["differing"]} <= {
        f"q{i}" for i in (*range(20), *range(50, 54))
    }
    report = " ".join(runner.invoke(app, ["compare-scores", *map(str, pair)]).stdout.split())
    assert "Verdict: new is better than old" in report
    assert "… and 14 more" in report
    assert "both right 166, both wrong 10" in report


def test_without_ids_rows_are_matched_and_it_is_said(tmp_path: Path) -> None:
    old = predictions(tmp_path / "old.csv", {1, 2}, ids=False)
    new = predictions(tmp_path / "new.csv", {3}, ids=False)
    doc = document(old, new)
    assert doc["matched_by"] == "row"
    assert any("same order" in text for text in doc["assumes"])
    short = predictions(tmp_path / "short.csv", {3}, items=9, ids=False)
    assert "9 items beside 200" in refused(old, short)
    text = new.read_text().replace("c0,c0", "c2,c2", 1)
    new.write_text(text)
    assert "the label 'c2', which is 'c0'" in refused(old, new)
    named = predictions(tmp_path / "named.csv", {3})
    assert "no column of ids, while the other" in refused(old, named)


def test_items_of_one_side_only(pair: tuple[Path, Path]) -> None:
    old, new = pair
    lines = new.read_text().splitlines()
    new.write_text("\n".join(line for line in lines if "q7," not in line and "q150," not in line))
    said = refused(old, new)
    assert "no item 'q7', nor 1 more" in said
    assert "--only-common" in said
    doc = document(old, new, "--only-common")
    assert doc["items_left_out"] == 2
    assert doc["comparisons"][0]["items"] == 198
    new.write_text(new.read_text().replace("q", "z"))
    assert "no id in common" in refused(old, new, "--only-common")
    new.write_text(new.read_text() + "\nz1,c1,c1")
    assert "the id 'z1' 2 times" in refused(old, new)


def test_gate(pair: tuple[Path, Path]) -> None:
    old, new = pair
    assert document(old, new, "--require-better")["gate"]["passed"]
    failed = document(new, old, "--require-better", code=1)
    assert failed["gate"]["checks"][0]["name"] == "better, old"
    # an improvement of 0.08 that was seen is not shown to be one of more than 0.05
    document(old, new, "--require-better", "--margin", "0.05", code=1)
    assert document(old, new, "--require-better", "--margin", "0.01")["gate"]["passed"]
    # not worse, by a margin
    document(old, old, "--require-better", code=1)
    assert document(old, old, "--require-better", "--margin", "-0.05")["gate"]["passed"]


def test_many_candidates_are_holms(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    third = predictions(tmp_path / "third.csv", set(range(29)))
    doc = document(old, new, third)
    alone = document(old, new)["comparisons"][0]
    first, second = doc["comparisons"]
    assert first["p_adjusted"] == pytest.approx(2 * alone["p_value"])
    assert second["p_adjusted"] == 1
    assert first["improvement"]["lower"] < alone["improvement"]["lower"]
    document(old, new, third, "--require-better", code=1)
    other = tmp_path / "other"
    other.mkdir()
    twin = predictions(other / "new.csv", {5})
    names = [c["candidate"] for c in document(old, new, twin)["comparisons"]]
    assert names == [str(new), str(twin)]


def test_bounded_losses_and_scores(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    old = generator.uniform(2, 4, 300)
    new = np.clip(old - generator.uniform(-0.2, 0.6, 300), 0, 5)
    for name, values in (("old", old), ("new", new)):
        np.save(tmp_path / f"{name}.npy", values)
        lines = "".join(f"{i},{5 - v!r}\n" for i, v in enumerate(values.tolist()))
        (tmp_path / f"{name}.csv").write_text(f"id,stars\n{lines}")
    common = ("--loss-range", "0", "5")
    doc = document(tmp_path / "old.npy", tmp_path / "new.npy", *common)
    (found,) = doc["comparisons"]
    assert found["test"] == "betting on the differences"
    assert 0 < found["improvement"]["lower"] < found["improvement"]["value"]
    assert any("a range fixed before" in text for text in doc["assumes"])
    scores = document(
        *(tmp_path / "old.csv", tmp_path / "new.csv", *common, "--score-key", "stars")
    )
    assert scores["comparisons"][0]["improvement"]["value"] == pytest.approx(
        found["improvement"]["value"]
    )
    assert "0 or 1" in refused(tmp_path / "old.npy", tmp_path / "new.npy")
    said = refused(tmp_path / "old.npy", tmp_path / "new.npy", "--loss-range", "0", "1")
    assert "known before the items were seen" in said
    said = refused(tmp_path / "old.csv", tmp_path / "new.csv", *common, "--score-key", "moons")
    assert "--score-key moons: found columns id, stars" in said


def test_clusters_are_the_units(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, rate in (("old", 0.5), ("new", 0.1)):
        wrong = np.repeat(generator.random(60) < rate, 4).astype(int)
        rows = "".join(f"p{i // 4},{w}\n" for i, w in enumerate(wrong))
        (tmp_path / f"{name}.csv").write_text(f"patient,loss\n{rows}")
    files = tmp_path / "old.csv", tmp_path / "new.csv"
    doc = document(*files, "--cluster-key", "patient")
    (found,) = doc["comparisons"]
    assert found["items"] == 60
    assert found["test"] == "betting on the differences"
    assert doc["assumes"][0].startswith("clusters are independent draws")
    # four rows of every patient, taken for independent, are surer than they may be
    rows = document(*files)["comparisons"][0]
    assert rows["items"] == 240
    assert rows["p_value"] < found["p_value"] / 100


def strata(folder: Path, names: str = "ab") -> tuple[Path, Path]:
    """Items of two strata, 300 and 60; the candidate wins in the first and loses in the second."""
    generator = np.random.default_rng(0)
    kind = [names[i >= 300] for i in range(360)]
    for name, rates in (("old", (0.3, 0.1)), ("new", (0.1, 0.2))):
        wrong = [int(generator.random() < rates[k == names[1]]) for k in kind]
        rows = "".join(
            f"{i},{k},{0.6 if k == names[0] else 3},d{i // 3},{w}\n"
            for i, (k, w) in enumerate(zip(kind, wrong, strict=True))
        )
        (folder / f"{name}.csv").write_text(f"id,kind,weight,document,loss\n{rows}")
    return folder / "old.csv", folder / "new.csv"


def test_strata(tmp_path: Path) -> None:
    files = strata(tmp_path)
    doc = document(*files, "--stratify-key", "kind")
    (found,) = doc["comparisons"]
    first, second = found["strata"]
    assert (first["name"], first["units"], second["units"]) == ("a", 300, 60)
    means = [row["improvement"]["value"] for row in (first, second)]
    assert found["improvement"]["value"] == pytest.approx(sum(means) / 2)
    assert found["loss"]["baseline"] - found["loss"]["candidate"] == pytest.approx(sum(means) / 2)
    # a row is McNemar's, at half of the level
    expected = improvement_of_counts(first["wins"], first["losses"], 300, delta=0.025)
    assert first["improvement"]["lower"] == expected.lower
    assert any("which count the same" in text for text in doc["assumes"])
    by_items = document(*files, "--stratify-key", "kind", "--mean-over", "items")["comparisons"][0]
    pooled = document(*files)["comparisons"][0]
    assert by_items["improvement"]["value"] == pytest.approx(pooled["improvement"]["value"])
    clusters = document(*files, "--stratify-key", "kind", "--cluster-key", "document")
    assert [row["units"] for row in clusters["comparisons"][0]["strata"]] == [100, 20]
    said = refused(*files, "--stratify-key", "id", "--cluster-key", "document")
    assert "cluster 'd0': found items of several strata" in said
    files[1].write_text(files[1].read_text().replace("9,a,", "9,b,", 1))
    assert "the stratum 'b', which is 'a'" in refused(*files, "--stratify-key", "kind")


def test_weights(tmp_path: Path) -> None:
    files = strata(tmp_path)
    options = ("--weight-key", "weight", "--max-weight", "3")
    (found,) = document(*files, *options)["comparisons"]
    assert found["test"] == "betting on the differences"
    by_strata = document(*files, "--stratify-key", "kind")["comparisons"][0]
    # the weights make the two strata count the same
    assert found["improvement"]["value"] == pytest.approx(by_strata["improvement"]["value"])
    assert "at most --max-weight 2" in refused(
        *files, "--weight-key", "weight", "--max-weight", "2"
    )
    assert "--weight-key and --max-weight: found one" in refused(*files, "--weight-key", "weight")
    files[1].write_text(files[1].read_text().replace(",0.6,", ",0.7,", 1))
    assert "the weight '0.7', which is '0.6'" in refused(*files, *options)


def test_what_would_pass(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = pair
    failed = document(old, new, "--require-better", "--margin", "0.05", code=1)
    items = failed["gate"]["would_pass"]["items"]
    # the same differences on so many items do pass, on 3 % fewer they do not
    for count, passed in ((items, True), (int(items * 0.97), False)):
        wins, losses = 20 * count / 200, 4 * count / 200
        p = p_better(int(wins), math.ceil(losses), count, delta=0.05, margin=0.05)
        assert (p <= 0.05) == passed
    told = runner.invoke(
        app, ["compare-scores", *map(str, pair), "--require-better", "--margin", "0.05"]
    )
    line = f"What would pass: about {items:,} items that differ as these do."
    assert line in told.stdout
    quiet = [*map(str, pair), "--require-better", "--margin", "0.05", "--json"]
    assert line in runner.invoke(app, ["compare-scores", *quiet]).stderr
    never = document(new, old, "--require-better", code=1)
    assert never["gate"]["would_pass"]["items"] is None
    assert (
        "the improvement seen, -0.08 of old, is not above 0"
        in (never["gate"]["would_pass"]["reason"])
    )
    assert "would_pass" not in document(old, new, "--require-better")["gate"]
    close = predictions(tmp_path / "new-close.csv", set(range(27)))
    open_answer = runner.invoke(app, ["compare-scores", str(old), str(close)]).stdout
    assert "About 400 items that differ as these do would decide it." in " ".join(
        open_answer.split()
    )


def test_what_would_pass_of_bets_and_strata(tmp_path: Path) -> None:
    files = strata(tmp_path)
    cases = ((("--stratify-key", "kind"), "0.01"), (("--cluster-key", "document"), "0.08"))
    for options, margin in cases:
        taken = (*files, *options, "--require-better", "--margin", margin)
        items = document(*taken, code=1)["gate"]["would_pass"]["items"]
        times = math.ceil(items / (360 if "kind" in options else 120))
        assert 1 < times < 60
        many = tmp_path / options[1]
        many.mkdir()
        for file in files:
            head, *rows = file.read_text().splitlines()
            more = [
                ",".join((f"{t}-{i}", k, w, f"{t}-{d}", loss))
                for t in range(times)
                for i, k, w, d, loss in (row.split(",") for row in rows)
            ]
            (many / file.name).write_text("\n".join([head, *more]))
        again = (
            many / "old.csv",
            many / "new.csv",
            *options,
            "--require-better",
            "--margin",
            margin,
        )
        assert document(*again)["gate"]["passed"]


def test_torch_and_scipy_are_never_loaded(pair: tuple[Path, Path]) -> None:
    code = (
        "import sys\n"
        "from gencheck.cli.app import app\n"
        f"for line in ('compare-scores {pair[0]} {pair[1]}',"
        f" 'val-bound --scores {pair[0]} --n-models 1'):\n"
        "    app(line.split(), standalone_mode=False)\n"
        "assert not {'torch', 'scipy', 'sqlite3', 'pyarrow', 'pydantic'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--delta", "0"), "--delta: found 0"),
        (("--margin", "1"), "--margin: found 1"),
        (("--margin", "nan"), "--margin: found nan"),
        (("--loss-range", "1", "0"), "--loss-range, upper end"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str, pair: tuple[Path, Path]) -> None:
    assert message in refused(*pair, *arguments)


def test_a_file_that_is_absent(pair: tuple[Path, Path]) -> None:
    assert "absent.csv: found no such file" in refused(pair[0], "absent.csv")
