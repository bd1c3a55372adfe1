"""Evaluation logs: kept ones of the real tools, bad ones, and what `val-bound --scores` makes of them."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.load.evaluation import load_scores
from gencheck.load.item_scores import ScoreKeys
from gencheck.report.schema import schema_text
from tests.load.logs.write import ITEMS, write_harness, write_helm, write_inspect

KEPT = Path(__file__).parent / "logs"
runner = CliRunner()


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["val-bound", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("val-bound")))
    return doc


def refused(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["val-bound", *map(str, arguments), "--n-models", "1"])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def check_inspect(folder: Path) -> None:
    for suffix in ("eval", "json"):
        pytest.importorskip("pyarrow")
        (epochs,) = load_scores(folder / f"epochs.{suffix}", ScoreKeys(cluster_key="id"))
        assert (epochs.model, epochs.task, len(epochs)) == ("mockllm/model", "epochs", 2 * ITEMS)
        assert epochs.clusters is not None
        assert len(set(epochs.clusters.tolist())) == ITEMS
        # right unless 3 divides the sample's number and the epoch together
        wrong = sum((i + e) % 3 == 0 for i in range(ITEMS) for e in (1, 2))
        assert epochs.losses.sum() == wrong
        grades = ScoreKeys(score_key="graded", bounded=True)
        (graded,) = load_scores(folder / f"graded.{suffix}", grades)
        assert graded.ids is not None
        by_id = dict(zip(graded.ids.tolist(), graded.losses.tolist(), strict=True))
        assert [by_id[f"graded/q{i}"] for i in range(4)] == [0, 0.5, 1, 1]


def check_harness(folder: Path) -> None:
    one, two = load_scores(folder, ScoreKeys(score_key="acc"))
    assert (one.model, one.task, two.task) == ("dummy", "toy_one", "toy_two")
    assert len(one) == len(two) == ITEMS
    for scores in (one, two):
        lines = Path(scores.where).read_text().splitlines()
        assert scores.losses.tolist() == [1 - json.loads(line)["acc"] for line in lines]


@pytest.fixture
def helm(tmp_path: Path) -> Path:
    """The kept suites, under the names that HELM itself gives."""
    shutil.copytree(KEPT / "helm", tmp_path / "helm")
    for run in (tmp_path / "helm").glob("*/*"):
        run.rename(run.with_name(run.name.replace("@", ":")))
    return tmp_path / "helm"


def check_helm(folder: Path) -> None:
    key = ScoreKeys(score_key="exact_match")
    first, second = load_scores(folder / "toy", key)
    assert (first.model, second.model) == ("toy_first", "toy_second")
    assert first.task == second.task == "simple_mcqa"
    assert len(first) == len(second) == ITEMS
    records = json.loads(Path(first.where).read_text())
    means = [
        stat["mean"]
        for record in records
        for stat in record["stats"]
        if stat["name"]["name"] == "exact_match"
    ]
    assert first.losses.tolist() == [1 - mean for mean in means]
    assert 0 < first.losses.sum() < ITEMS
    (twice,) = load_scores(folder / "twice", ScoreKeys(score_key="exact_match", cluster_key="id"))
    assert twice.clusters is not None
    assert (len(twice), len(set(twice.clusters.tolist()))) == (2 * ITEMS, ITEMS)
    plain = ScoreKeys(score_key="exact_match,test")
    changed = ScoreKeys(score_key="exact_match,test+lowercase")
    for chosen in (plain, changed):
        (found,) = load_scores(folder / "perturbed", chosen)
        assert len(found) == ITEMS


def test_kept_logs() -> None:
    check_inspect(KEPT / "inspect")
    check_harness(KEPT / "harness")


@pytest.mark.slow
@pytest.mark.trackers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("library", "write", "check"),
    [
        ("inspect_ai", write_inspect, check_inspect),
        ("lm_eval", write_harness, check_harness),
        ("helm.benchmark", write_helm, check_helm),
    ],
)
def test_freshly_written_logs(library: str, write: Any, check: Any, tmp_path: Path) -> None:
    pytest.importorskip(library)
    check(write(tmp_path))


def test_a_folder_of_tasks() -> None:
    taken = ("--scores", KEPT / "harness", "--score-key", "acc", "--n-models", "1")
    doc = document(*taken)
    assert doc["certified"]["name"] == "stratified-kl"
    assert [row["name"] for row in doc["scores"]["groups"]] == ["toy_one", "toy_two"]
    means = [row["loss"] for row in doc["scores"]["groups"]]
    assert doc["evaluated_at"]["empirical_risk"] == pytest.approx(np.mean(means))
    assert any("items of different tasks are independent" in a for a in doc["bounds"][0]["assumes"])
    # a row alone is the binomial bound at δ/2
    alone = document(
        *(
            "--m-val",
            str(ITEMS),
            "--val-error",
            str(means[0]),
            "--n-models",
            "1",
            "--delta",
            "0.025",
        )
    )
    assert doc["scores"]["groups"][0]["risk"] == pytest.approx(alone["certified"]["risk"])
    report = " ".join(runner.invoke(app, ["val-bound", *map(str, taken)]).stdout.split())
    assert "the bounds of all tasks hold together (Bonferroni)" in report
    failed = document(*taken, "--max-group-risk", "0.3", code=1)
    assert [check["name"] for check in failed["gate"]["checks"]] == [
        "max-group-risk, toy_one",
        "max-group-risk, toy_two",
    ]
    passed = document(*taken, "--max-group-risk", "0.99")
    assert passed["gate"]["passed"]
    assert "p_adjusted" in passed["scores"]["groups"][0]
    document(*taken, "--max-risk", "0.01", code=1)
    assert "several tasks" in refused(*taken[:4], "--solve", "delta", "--target", "0.9")


def test_several_models_are_counted(tmp_path: Path) -> None:
    for name, flip in (("large", False), ("small", True)):
        shutil.copytree(KEPT / "harness" / "dummy", tmp_path / name)
        for file in (tmp_path / name).iterdir():
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            text = "\n".join(json.dumps(row | ({"acc": 0.0} if flip else {})) for row in rows)
            file.write_text(text)
    doc = document("--scores", tmp_path, "--score-key", "acc")
    assert doc["inputs"]["n_models"] == 2
    assert [model["name"] for model in doc["scores"]["models"]] == ["large", "small"]
    assert doc["scores"]["models"][1]["loss"] == 1
    assert document("--scores", tmp_path, "--score-key", "acc", "--n-models", "9")["inputs"][
        "n_models"
    ] == pytest.approx(9)
    next((tmp_path / "small").glob("*two*")).unlink()
    said = refused("--scores", tmp_path, "--score-key", "acc")
    assert "the tasks toy_one of 'small'" in said


def test_plain_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = [{"id": i, "model": "a", "grading": {"ok": i % 4 != 0}} for i in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    doc = document("--scores", path, "--score-key", "grading.ok", "--n-models", "1")
    assert doc["inputs"]["errors"] == 10
    assert doc["certified"]["name"] == "binomial"
    assert "the key of the score: --score-key" in refused("--scores", path)
    said = refused("--scores", path, "--score-key", "grading.right")
    assert "line 1: found no value under 'grading.right'" in said
    path.write_text(json.dumps(rows[0]) + "\n" + json.dumps(rows[0]) + "\n")
    said = refused("--scores", path, "--score-key", "grading.ok")
    assert "the id '0' 2 times" in said
    path.write_text(json.dumps(rows[0]) + '\n{"id": 1, "gra')
    assert "line 2: found no JSON" in refused("--scores", path, "--score-key", "grading.ok")
    path.write_text('{"s": NaN}\n')
    assert "under 's' 'nan'" in refused("--scores", path, "--score-key", "s")


def test_helm(helm: Path) -> None:
    check_helm(helm)
    doc = document("--scores", helm / "toy", "--score-key", "exact_match")
    renamed = helm / "toy" / "mmlu:subject=law,model=toy_second,method=joint"
    next((helm / "toy").glob("*second")).rename(renamed)
    (found,) = load_scores(renamed, ScoreKeys(score_key="exact_match"))
    assert (found.model, found.task) == ("toy_second", "mmlu:subject=law,method=joint")
    # two models of one task, not two tasks of one model
    assert doc["inputs"]["n_models"] == 2
    assert doc["scores"]["groups"] == []
    assert "the statistics exact_match, num_references" in refused("--scores", helm / "toy")
    key = ("--score-key", "exact_match")
    assert "the id 'simple_mcqa:num_train_trials=2/id60' 2 times" in refused(
        "--scores", helm / "twice", *key
    )
    said = refused("--scores", helm / "perturbed", *key)
    assert "perturbations test, test+lowercase" in said
    assert "--score-key exact_match,test" in said


def test_helm_of_older_releases(helm: Path) -> None:
    """They write a record for each metric of an instance."""
    (file,) = (helm / "toy").glob("*first/*")
    records = json.loads(file.read_text())
    apart = [record | {"stats": [stat]} for record in records for stat in record["stats"]]
    file.write_text(json.dumps(apart))
    check_helm(helm)
    # an instance whose answer failed has other statistics, not this one
    file.write_text(
        json.dumps([r for r in apart if r["instance_id"] != "id60" or "num_" in str(r)])
    )
    said = refused("--scores", file, "--score-key", "exact_match")
    assert "no 'exact_match' of 'simple_mcqa/id60'" in said
    for damage, message in (("[{", "no JSON"), ('[{"stats": [3]}]', "something else")):
        file.write_text(damage)
        assert message in refused("--scores", file, "--score-key", "exact_match")


class TestBadLogs:
    """Exit 2, the place and the way out."""

    def test_two_epochs_of_one_id(self) -> None:
        said = refused("--scores", KEPT / "inspect" / "epochs.json")
        assert "the id 'epochs/q0' 2 times" in said
        assert "--cluster-key" in said
        doc = document(
            *("--scores", KEPT / "inspect" / "epochs.json", "--cluster-key", "id"),
            *("--n-models", "1"),
        )
        assert doc["scores"]["units"] == ITEMS
        assert doc["scores"]["largest_cluster"] == 2
        assert doc["certified"]["name"] == "betting"

    def test_several_scorers_or_metrics(self) -> None:
        assert "the scorers match, graded" in refused("--scores", KEPT / "inspect" / "graded.json")
        assert "the metrics acc, acc_norm" in refused("--scores", KEPT / "harness")
        said = refused("--scores", KEPT / "inspect" / "graded.json", "--score-key", "graded")
        assert "--loss bounded" in said

    def test_a_run_that_failed(self, tmp_path: Path) -> None:
        log = json.loads((KEPT / "inspect" / "graded.json").read_text())
        path = tmp_path / "log.json"
        path.write_text(json.dumps(log | {"status": "error"}))
        assert "the status 'error'" in refused("--scores", path, "--score-key", "match")
        log["samples"][3]["scores"] = None
        path.write_text(json.dumps(log))
        said = refused("--scores", path, "--score-key", "match")
        assert "sample 'q3', epoch 1: found no score of 'match'" in said

    @pytest.mark.parametrize("at", [9000, -300])
    def test_a_damaged_archive(self, at: int, tmp_path: Path) -> None:
        raw = bytearray((KEPT / "inspect" / "epochs.eval").read_bytes())
        path = tmp_path / "log.eval"
        path.write_bytes(raw[:at])
        assert "a damaged archive" in refused("--scores", path, "--cluster-key", "id")
        raw[at : at + 40] = bytes(40)
        path.write_bytes(raw)
        assert str(path) in refused("--scores", path, "--cluster-key", "id")

    def test_a_log_that_is_still_written(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
            archive.writestr("_journal/start.json", "{}")
        assert "the status 'started'" in refused("--scores", tmp_path / "log.eval")

    def test_a_metric_of_the_corpus(self, tmp_path: Path) -> None:
        path = tmp_path / "samples_bleu.jsonl"
        row = {"doc_id": 0, "filter": "none", "metrics": ["bleu"], "bleu": ["a", "b"]}
        path.write_text(json.dumps(row) + "\n")
        said = refused("--scores", path)
        assert "no score of the item alone" in said
        assert "no mean over items" in said

    def test_several_filters(self, tmp_path: Path) -> None:
        path = tmp_path / "samples_gsm8k.jsonl"
        rows = [
            {
                "doc_id": i,
                "filter": f,
                "metrics": ["exact_match"],
                "exact_match": float(f == "flex"),
            }
            for i in range(5)
            for f in ("flex", "strict")
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
        assert "the filters flex, strict" in refused("--scores", path)
        doc = document("--scores", path, "--score-key", "exact_match,flex", "--n-models", "1")
        assert (doc["inputs"]["m_val"], doc["inputs"]["errors"]) == (5, 0)

    def test_two_runs_of_one_task(self, tmp_path: Path) -> None:
        shutil.copytree(KEPT / "harness" / "dummy", tmp_path / "dummy")
        (again,) = (tmp_path / "dummy").glob("*one*")
        shutil.copy(again, again.with_name(again.name.replace("2026", "2027")))
        said = refused("--scores", tmp_path, "--score-key", "acc")
        assert "the task 'toy_one' of the model 'dummy'" in said

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert "no evaluation log" in refused("--scores", tmp_path)
        assert "no such file" in refused("--scores", tmp_path / "absent.csv")
        (tmp_path / "x.txt").touch()
        assert "suffix '.txt'" in refused("--scores", tmp_path / "x.txt")
        said = refused("--scores", KEPT / "harness", "--m-val", "9")
        assert "another source of items" in said


def test_logs_are_compared_item_by_item(tmp_path: Path) -> None:
    shutil.copytree(KEPT / "harness" / "dummy", tmp_path / "new")
    taken = ["compare-scores", str(KEPT / "harness" / "dummy"), str(tmp_path / "new")]
    result = runner.invoke(app, [*taken, "--score-key", "acc", "--json"])
    assert result.exit_code == 0, result.output
    doc = json.loads(result.stdout)
    assert doc["comparisons"][0]["items"] == 2 * ITEMS
    assert doc["matched_by"] == "id"
    assert doc["comparisons"][0]["table"]["wins"] == 0
