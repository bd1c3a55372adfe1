"""Studies from the stores of experiment trackers: kept ones, and, with the extra, freshly written."""

import json
import math
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text
from tests.load.stores.write import WRITERS

KEPT = Path(__file__).parent / "stores"
runner = CliRunner()

# For each store: options, trials, counted, models, best trial, its loss.
Expected = tuple[tuple[str, ...], int, str, int, str | None, float | None]
EPOCHS = ("--metric", "val_error", "--direction", "min")
MLFLOW = ("--metric", "val_accuracy", "--direction", "max")
EXPECTED: dict[str, list[Expected]] = {
    "optuna.db": [
        (("--name", "last"), 5, "trials", 5, "trial 1", 0.14),
        # the best epoch's score was returned, so every epoch counts, of the pruned trial also that which
        # it would have had, had its scores been others
        (("--name", "best"), 5, "scores", 15, "trial 1", 0.12),
        (("--name", "best", "--count", "trials"), 5, "trials", 5, "trial 1", 0.12),
    ],
    "trials.csv": [(("--metric", "value", "--direction", "min"), 5, "trials", 5, "row 1", 0.12)],
    "mlruns": [
        # the deleted run counts as well
        (MLFLOW, 4, "scores", 12, "run run-1", 0.12),
        ((*MLFLOW, "--count", "trials"), 4, "trials", 4, "run run-1", 0.14),
    ],
    "lightning": [(EPOCHS, 4, "scores", 12, "net/version_1", 0.12)],
    "hydra": [((*EPOCHS[:2], "--direction", "min"), 4, "trials", 4, "job 1", 0.14)],
    "wandb": [(("--val-error", "0.12"), 4, "trials", 4, None, None)],
    "ray": [(EPOCHS, 4, "scores", 12, "trial", 0.12)],
    "keras/digits": [((), 4, "trials", 4, "trial 1", 0.14)],
    "tpe.log": [((), 6, "trials", 6, "trial", None)],
}
EXPECTED["optuna.log"], EXPECTED["mlflow.db"] = EXPECTED["optuna.db"], EXPECTED["mlruns"]


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    taken = ["val-bound", *map(str, arguments), "--m-val", "100", "--json"]
    result = runner.invoke(app, taken)
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("val-bound")))
    return doc


def refused(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["val-bound", *map(str, arguments), "--m-val", "100"])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def kept(name: str, folder: Path) -> Path:
    """The kept store; a database is made of its SQL."""
    path = KEPT / name
    if path.suffix != ".db":
        return path
    with sqlite3.connect(folder / name) as connection:
        connection.executescript(path.with_suffix(".sql").read_text(encoding="utf-8"))
    connection.close()
    return folder / name


def check_adaptive(doc: dict[str, Any]) -> None:
    """The store names a sampler that looks at scores: the bound is over all that they can lead to."""
    study, error = doc["study"], doc["inputs"]["errors"] / 100
    assert study["sampler"] == {"name": "TPE", "adaptive": True}
    assert study["by_scores"]
    assert doc["inputs"]["log_n_models"] == pytest.approx(6 * math.log(101))
    assert (
        "in 6 rounds, each of which revealed at most one of 101" in doc["bounds"][0]["assumes"][1]
    )
    plain = {
        models: document("--val-error", str(error), *models.split())["certified"]["risk"]
        for models in ("--n-models 6", "--n-models 1", f"--n-models {101**6}")
    }
    ways = study["ways"]
    risks = [ways[way]["risk"] for way in ("fixed", "fresh", "adaptive")]
    assert risks == pytest.approx(list(plain.values()))
    assert doc["certified"]["risk"] == ways["adaptive"]["risk"] > 1.5 * ways["fixed"]["risk"]


def check(name: str, path: Path) -> None:
    for options, trials, counted, models, best, loss in EXPECTED[name]:
        doc = document("--study", path, *options)
        study = doc["study"]
        assert (study["trials"], study["counted"], study["models"]) == (trials, counted, models)
        if name == "tpe.log":
            check_adaptive(doc)
        else:
            assert doc["inputs"]["n_models"] == models
        if best is None:
            assert study["best"] is None
        else:
            assert study["best"]["trial"].startswith(best)
            loss = study["best"]["loss"] if loss is None else loss
            assert study["best"]["loss"] == pytest.approx(loss)
            assert doc["inputs"]["val_error"] == pytest.approx(loss)


@pytest.mark.parametrize("name", EXPECTED)
def test_kept_stores(name: str, tmp_path: Path) -> None:
    check(name, kept(name, tmp_path))


@pytest.mark.slow
@pytest.mark.trackers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPECTED)
def test_freshly_written_stores(name: str, tmp_path: Path) -> None:
    library, write = WRITERS[name]
    pytest.importorskip(library)
    check(name, write(tmp_path))


def test_no_tracker_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    for name in ("optuna.db", "ray"):
        options = EXPECTED[name][0][0]
        store = kept(name, tmp_path)
        code = (
            "import sys\n"
            "from gencheck.cli.app import app\n"
            f"app(['val-bound', '--study', {str(store)!r}, '--m-val', '100', *{options!r}, '--json'],"
            " standalone_mode=False)\n"
            "heavy = {'torch', 'optuna', 'mlflow', 'ray', 'lightning', 'hydra', 'wandb', 'keras_tuner'}\n"
            "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_report_says_what_was_counted_and_why(tmp_path: Path) -> None:
    store = kept("optuna.db", tmp_path)
    taken = ["val-bound", "--study", str(store), "--name", "best", "--m-val", "100"]
    text = " ".join(runner.invoke(app, taken).stdout.split())
    assert "study Optuna, sqlite: best" in text
    assert "trials 4 complete, 1 failed, 1 pruned; 1 without a score not counted" in text
    assert "counted 15 scores: a trial's score is not its last: every epoch's score counts" in text
    assert "those that a trial which ended earlier could have had" in text
    assert "sampler the store does not say whether it looked at earlier scores (Optuna's" in text
    assert re.search(r"if it did 0\.\d+, by all that 15 scores, each one of 101, can lead to", text)
    assert "best trial 1, value 0.12" in text
    assert "what each trial was did not depend on the scores of others" in text
    deleted = runner.invoke(
        app, ["val-bound", "--study", str(KEPT / "mlruns"), "--m-val", "100", *MLFLOW]
    )
    assert "1 deleted runs counted: they were tried" in " ".join(deleted.stdout.split())


def test_what_was_counted_can_be_corrected(tmp_path: Path) -> None:
    store = kept("optuna.db", tmp_path)
    doc = document("--study", store, "--name", "last", "--n-models", "50")
    assert doc["inputs"]["n_models"] == 50
    assert doc["study"]["corrected"]
    assert doc["study"]["models"] == 5
    rounds = document(
        *("--study", store, "--name", "last", "--adaptive-rounds", "5", "--scores-per-round", "101")
    )
    assert "5 rounds" in rounds["bounds"][0]["assumes"][1]
    assert document("--study", store, "--name", "last", "--val-error", "0.2")["inputs"][
        "val_error"
    ] == pytest.approx(0.2)
    solved = document(
        *("--study", store, "--name", "last", "--solve", "n-models", "--target", "0.3")
    )
    assert solved["solution"]["value"] > 5
    delta = document("--study", store, "--name", "last", "--solve", "delta", "--target", "0.3")
    assert delta["solution"]["reading"] == "p-value"


def test_a_sampler_that_looks_at_scores(tmp_path: Path) -> None:
    store = KEPT / "tpe.log"
    taken = ["val-bound", "--study", str(store), "--m-val", "100", "--max-risk", "0.35"]
    done = runner.invoke(app, taken)
    text = " ".join(done.stdout.split())
    assert done.exit_code == 1
    assert "TPE looked at earlier scores, so the models that were tried depend on the items" in text
    assert "had the trials been fixed: not valid here" in text
    # more of these items would teach the sampler more: what helps are new ones
    assert re.search(
        r"What would pass: [\d,]+ new items of the same mean loss, on which nothing", text
    )
    # the user knows better
    corrected = document("--study", store, "--n-models", "6")
    assert corrected["inputs"]["n_models"] == 6
    assert "ways" not in corrected["study"]
    for more in (("--loss", "bounded"), ("--solve", "m-val", "--target", "0.9")):
        done = runner.invoke(app, ["val-bound", "--study", str(store), "--m-val", "100", *more])
        assert done.exit_code == 2, done.output
    assert "TPE chose by earlier scores" in refused("--study", store, "--loss", "bounded")


@pytest.mark.parametrize(
    ("key", "name", "adaptive"),
    [
        ("cma:generation", "CMA-ES", True),
        ("grid_id", "grid", False),
        ("fixed_params", None, None),
    ],
)
def test_samplers_that_an_optuna_database_names(
    key: str, name: str | None, adaptive: bool | None, tmp_path: Path
) -> None:
    store = kept("optuna.db", tmp_path)
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE trial_system_attributes (trial_id INTEGER, key VARCHAR)")
        connection.execute("INSERT INTO trial_system_attributes VALUES (1, ?)", (key,))
    connection.close()
    study = document("--study", store, "--name", "last")["study"]
    assert study["sampler"] == (None if name is None else {"name": name, "adaptive": adaptive})
    # the other study is another's
    assert document("--study", store, "--name", "best")["study"]["sampler"] is None


def test_samplers_that_folders_name(tmp_path: Path) -> None:
    def sampler(name: str, file: str, text: str = "{}", *options: str) -> Any:
        store = tmp_path / file.replace("/", "-") / Path(name).name
        shutil.copytree(KEPT / name, store)
        (store / file).parent.mkdir(exist_ok=True, parents=True)
        (store / file).write_text(text)
        found = document("--study", store, *options)["study"]["sampler"]
        return found["name"], found["adaptive"]

    assert sampler("ray", "basic-variant-state-1.json", "{}", *EPOCHS)[1] is False
    assert sampler("ray", "searcher-state-1.pkl", "", *EPOCHS)[1] is True
    assert sampler("ray", "pbt_global.txt", "", *EPOCHS)[0] == "population based training"
    assert sampler("keras/digits", "oracle.json") == ("grid or random search", False)
    settings = "hydra:\n  launcher:\n    _target_: a.B\n  sweeper:\n    _target_: hydra.{}\n"
    error = ("--metric", "val_error", "--direction", "min")
    own = settings.format("BasicSweeper")
    assert sampler("hydra", "0/.hydra/hydra.yaml", own, *error) == ("BasicSweeper", False)
    shutil.rmtree(tmp_path / "0-.hydra-hydra.yaml")
    plugin = settings.format("OptunaSweeper")
    assert sampler("hydra", "0/.hydra/hydra.yaml", plugin, *error) == ("OptunaSweeper", True)


def test_bad_options(tmp_path: Path) -> None:
    store = kept("optuna.db", tmp_path)
    assert "2 studies: 'last', 'best'" in refused("--study", store)
    assert "--name third: found 2 studies" in refused("--study", store, "--name", "third")
    assert "--metric loss" in refused("--study", store, "--name", "last", "--metric", "loss")
    assert "2 metrics: val_accuracy, val_loss" in refused("--study", KEPT / "mlruns")
    assert "--direction max" in refused("--study", KEPT / "mlruns", "--metric", "val_accuracy")
    assert "no scores" in refused("--study", KEPT / "wandb")
    assert "no --study" in refused("--name", "last", "--n-models", "3", "--val-error", "0")
    losses = tmp_path / "l.csv"
    losses.write_text("loss\n0\n1\n")
    said = runner.invoke(app, ["val-bound", "--study", str(store), "--losses", str(losses)])
    assert "--study and --losses" in said.stderr
    taken = ["val-bound", "--study", str(store), "--name", "last"]
    assert "--m-val: found nothing" in runner.invoke(app, taken).stderr
    assert "no such file" in refused("--study", tmp_path / "absent.db")
    (tmp_path / "empty").mkdir()
    assert "a folder of none of them" in refused("--study", tmp_path / "empty")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("val_auc", "a rank statistic over pairs of items"),
        ("macro_f1", "a ratio of counts that are both random"),
        ("val/precision", "error among the items of one class"),
        ("mAP", "an average over ranks or thresholds"),
        ("test_bleu", "a score of a whole corpus"),
        ("r2", "a function of a mean"),
        ("val_loss", "a loss without an upper limit"),
    ],
)
def test_scores_that_are_no_means_are_refused(metric: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text(f"trial,{metric}\n1,0.5\n2,0.25\n")
    taken = ("--study", path, "--metric", metric, "--direction", "max")
    said = refused(*taken)
    assert message in said
    if metric == "val_loss":
        assert (
            document(*taken, "--loss-range", "0", "1")["certified"]["name"] == "hoeffding-bentkus"
        )


def test_journals_of_other_releases_number_their_records_otherwise(tmp_path: Path) -> None:
    """Codes one higher behind a record of the directions alone, as once before Optuna 3.1."""
    lines = []
    for line in (KEPT / "optuna.log").read_text().splitlines():
        record = json.loads(line)
        study = {
            "op_code": 4,
            "worker_id": "w",
            "study_id": len([x for x in lines if "study_name" in x]),
        }
        directions = record.pop("directions", None)
        record["op_code"] += record["op_code"] >= 4
        lines.append(json.dumps(record))
        if directions is not None:
            lines.append(json.dumps(study | {"directions": directions}))
    path = tmp_path / "old.log"
    path.write_text("\n".join(lines) + "\n")
    check("optuna.log", path)
    # a study that was deleted is not offered
    gone = json.dumps({"op_code": 1, "worker_id": "w", "study_id": 0})
    path.write_text("\n".join([*lines, gone]) + "\n")
    assert document("--study", path)["study"]["name"] == "best"


class TestDamage:
    """Every store that cannot be used ends in exit 2, the place and the way out."""

    def test_a_locked_database(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gencheck.load.studies.sqlite._PATIENCE", 0.1)
        store = kept("optuna.db", tmp_path)
        writer = sqlite3.connect(store, isolation_level=None)
        writer.execute("BEGIN EXCLUSIVE")
        said = refused("--study", store, "--name", "last")
        writer.close()
        assert "a locked database" in said
        assert "copy it and pass the copy" in said

    def test_a_damaged_database(self, tmp_path: Path) -> None:
        store = kept("mlflow.db", tmp_path)
        raw = store.read_bytes()
        store.write_bytes(raw[:5000] + bytes(4000) + raw[9000:])
        assert "damaged" in refused("--study", store, *MLFLOW)
        store.write_bytes(raw[:16] + bytes(84))
        assert str(store) in refused("--study", store, *MLFLOW)

    def test_a_database_of_something_else(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "o.db") as connection:
            connection.execute("CREATE TABLE cats (name)")
        connection.close()
        assert "a database of cats" in refused("--study", tmp_path / "o.db")

    def test_a_journal_cut_in_the_middle(self, tmp_path: Path) -> None:
        raw = (KEPT / "optuna.log").read_bytes()
        path = tmp_path / "j.log"
        path.write_bytes(raw[: len(raw) // 2])
        lines = raw[: len(raw) // 2].count(b"\n") + 1
        said = refused("--study", path, "--name", "last")
        assert f"line {lines}: found a line that is cut" in said
        assert "remove that line" in said
        # without its beginning the trials are those of nothing
        path.write_bytes(b"".join(raw.splitlines(keepends=True)[3:]))
        assert "does not follow from those before it" in refused("--study", path)
        path.write_bytes(raw + b'{"x": 1}\n')
        assert "a line that is no record" in refused("--study", path)

    def test_no_finished_trial(self, tmp_path: Path) -> None:
        path = tmp_path / "j.log"
        lines = (KEPT / "optuna.log").read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:2]))
        assert "no scores" in refused("--study", path)
        path.write_bytes(lines[0])
        assert "no trials in 'last'" in refused("--study", path)

    def test_nan_scores(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("name,error\na,nan\nb,nan\n")
        said = refused("--study", path, "--metric", "error", "--direction", "min")
        assert "no finished trial with a finite 'error'" in said
        path.write_text("name,error\na,nan\nb,0.25\n")
        doc = document("--study", path, "--metric", "error", "--direction", "min")
        # it was tried all the same
        assert doc["study"]["models"] == 2
        assert doc["study"]["best"]["trial"] == "row 1"

    def test_scores_outside_their_range(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("name,accuracy\na,93.5\n")
        said = refused("--study", path, "--metric", "accuracy", "--direction", "max")
        assert "a score in per cent" in said

    @pytest.mark.parametrize(
        ("name", "file", "options"),
        [
            ("mlruns", "val_accuracy", MLFLOW),
            ("ray", "result.json", EPOCHS),
            ("ray", "experiment_state*.json", EPOCHS),
            ("keras/digits", "trial.json", ()),
            ("hydra", "metrics.json", EPOCHS),
        ],
    )
    @pytest.mark.parametrize("harm", ["cut", "list", "bytes"])
    def test_damaged_folders(
        self, name: str, file: str, options: tuple[str, ...], harm: str, tmp_path: Path
    ) -> None:
        store = tmp_path / "store"
        shutil.copytree(KEPT / name, store)
        target = sorted(store.rglob(file))[0]
        raw = target.read_bytes()
        target.write_bytes({"cut": raw[:-9], "list": b"[1]", "bytes": b"\xff\x00"}[harm])
        assert target.name in refused("--study", store, *options)


def test_every_store_that_is_read_has_a_writer() -> None:
    assert set(WRITERS) == set(EXPECTED)
