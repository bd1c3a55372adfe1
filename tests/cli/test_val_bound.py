"""`gencheck val-bound` as users call it."""

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

from gencheck.cli.app import app
from gencheck.report.schema import schema_text
from tests.conftest import Program

runner = CliRunner()


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["val-bound", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("val-bound")))
    return doc


def risks(doc: dict[str, Any]) -> dict[str, float]:
    return {bound["name"]: bound["risk"] for bound in doc["bounds"]}


def refused(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["val-bound", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


def test_the_worked_example() -> None:
    doc = document(*("--m-val", "10000", "--n-models", "1e9", "--delta", "0.1", "--val-error", "0"))
    assert doc["schema"] == "gencheck.val-bound/1"
    assert doc["bounds"][0]["slack"] == pytest.approx(0.069396461, abs=5e-10)
    assert doc["certified"] == {"name": "binomial", "risk": risks(doc)["binomial"]}
    assert doc["inputs"]["n_models"] == 10**9


@pytest.mark.parametrize(
    ("models", "log_models"),
    [
        ("1e9", math.log(1e9)),
        ("1000000000", math.log(1e9)),
        ("10^300", 300 * math.log(10)),
        ("1e400", 400 * math.log(10)),
        ("e^100000", 100_000.0),
        ("1", 0.0),
    ],
)
def test_numbers_of_models(models: str, log_models: float) -> None:
    common = ("--m-val", "1e6", "--val-error", "0.01")
    doc = document(*common, "--n-models", models)
    assert doc["inputs"]["log_n_models"] == pytest.approx(log_models, rel=1e-12)
    same = document(*common, "--log-n-models", str(log_models))
    assert risks(doc) == pytest.approx(risks(same), rel=1e-12)


def test_adaptive_rounds_count_transcripts() -> None:
    common = ("--m-val", "10000", "--val-error", "0.1")
    doc = document(*common, "--adaptive-rounds", "20", "--scores-per-round", "100")
    assert doc["inputs"]["log_n_models"] == pytest.approx(20 * math.log(100))
    assert "20 rounds" in doc["bounds"][0]["assumes"][1]


def test_losses(tmp_path: Path) -> None:
    losses = np.random.default_rng(0).beta(1, 9, size=300)
    np.save(tmp_path / "l.npy", losses)
    doc = document("--losses", tmp_path / "l.npy", "--loss", "bounded", "--n-models", "10")
    assert doc["certified"]["name"] == "betting"
    assert doc["inputs"]["file"]["sha256"]
    assert set(risks(doc)) == {
        "bernstein",
        "hoeffding",
        "kl",
        "empirical-bernstein",
        "betting",
        "hoeffding-bentkus",
    }
    assert "--loss bounded" in refused("--losses", tmp_path / "l.npy", "--n-models", "10")
    other = document(
        *("--losses", tmp_path / "l.npy", "--loss", "bounded"), *("--n-models", "10", "--seed", "1")
    )
    assert risks(other)["betting"] != risks(doc)["betting"]


def test_loss_range(tmp_path: Path) -> None:
    losses = 10 * np.random.default_rng(0).beta(1, 9, size=300) - 5
    np.save(tmp_path / "l.npy", losses)
    common = ("--losses", tmp_path / "l.npy", "--n-models", "10")
    doc = document(*common, "--loss-range", "-5", "5")
    np.save(tmp_path / "unit.npy", (losses + 5) / 10)
    unit = document("--losses", tmp_path / "unit.npy", "--loss", "bounded", "--n-models", "10")
    for name, risk in risks(unit).items():
        assert risks(doc)[name] == pytest.approx(10 * risk - 5)
    assert "a loss from -1 to 1" in refused(*common, "--loss-range", "-1", "1")


def test_predictions(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("label,prediction\n" + "1,1\n" * 95 + "1,0\n" * 5)
    doc = document("--predictions", tmp_path / "p.csv", "--n-models", "3")
    assert doc["inputs"]["errors"] == 5
    assert doc["certified"]["name"] == "binomial"
    numbers = document("--m-val", "100", "--val-error", "0.05", "--n-models", "3")
    assert doc["certified"] == numbers["certified"]


def test_counts_are_rounded_up_and_recorded() -> None:
    doc = document("--m-val", "10", "--val-error", "0.11", "--n-models", "1")
    assert doc["inputs"]["errors"] == 2
    assert "rounded up to 2" in doc["inputs"]["rounded"]
    exact = document("--m-val", "100", "--val-error", "0.07", "--n-models", "1")
    assert exact["inputs"]["errors"] == 7
    assert "rounded" not in exact["inputs"]


@pytest.mark.parametrize(
    ("solve", "arguments"),
    [
        ("m-val", ("--n-models", "100")),
        ("n-models", ("--m-val", "1000")),
        ("delta", ("--m-val", "1000", "--n-models", "100")),
    ],
)
@pytest.mark.parametrize("loss", ["zero-one", "bounded"])
def test_solve(solve: str, arguments: tuple[str, ...], loss: str) -> None:
    doc = document(
        *("--val-error", "0.05", "--solve", solve, "--target", "0.1", "--loss", loss), *arguments
    )
    assert doc["solution"]["variable"] == solve
    assert doc["certified"]["risk"] <= 0.1 + 1e-9
    assert doc["certified"]["risk"] > 0.097


def test_an_impossible_target_has_a_reason() -> None:
    doc = document(
        *("--val-error", "0.2", "--n-models", "5", "--solve", "m-val", "--target", "0.1")
    )
    assert doc["solution"]["value"] is None
    assert "not above" in doc["solution"]["reason"]
    assert doc["certified"]["risk"] is None
    assert doc["certified"]["reason"] == doc["solution"]["reason"]
    assert doc["inputs"]["m_val"] is None
    vacuous = document(
        *("--val-error", "0.2", "--n-models", "5", "--solve", "m-val", "--target", "1")
    )
    assert vacuous["solution"]["value"] == 1


def test_a_class_past_any_float_is_evaluated_at_its_logarithm() -> None:
    doc = document(
        *("--m-val", "1e5", "--val-error", "0.01"), *("--solve", "n-models", "--target", "0.2")
    )
    assert doc["solution"]["value"] is None
    assert doc["evaluated_at"]["log_n_models"] == pytest.approx(
        doc["solution"]["log10"] * math.log(10)
    )
    assert doc["certified"]["risk"] == pytest.approx(0.2, rel=1e-9)


@pytest.mark.parametrize("solve", ["delta", "n-models", "m-val"])
def test_the_answer_passes_a_gate_at_its_own_target(solve: str) -> None:
    models = () if solve == "n-models" else ("--n-models", "3")
    items = () if solve == "m-val" else ("--m-val", "1000")
    doc = document(
        *("--val-error", "0.05", "--solve", solve, "--target", "0.1", "--max-risk", "0.1"),
        *(*models, *items),
    )
    assert doc["gate"]["passed"]


def test_the_report_rounds_bounds_up_and_states_what_it_assumes() -> None:
    common = ("--m-val", "10000", "--n-models", "1e9", "--val-error", "0.0201")
    result = runner.invoke(app, ["val-bound", *common, "--delta", "0.1"])
    assert "0.089497" in result.stdout
    assert "assumes: the |F| models were fixed before" in result.stdout
    few = runner.invoke(
        app, ["val-bound", "--m-val", "1e11", "--n-models", "2", "--val-error", "1e-9"]
    )
    assert "binomial   0.00000000" in few.stdout
    assert "(100 errors)" in few.stdout
    solved = ("--solve", "m-val", "--target", "0.1000001", "--val-error", "0.1", "--n-models", "9")
    text = " ".join(runner.invoke(app, ["val-bound", *solved]).stdout.split())
    assert "risk of at most 0.1000001: fewest validation items" in text
    assert "errors)" not in text
    tiny = runner.invoke(app, ["val-bound", *common, "--delta", "1e-20"])
    assert "probability 1 − 1e-20" in " ".join(tiny.stdout.split())


def test_gate() -> None:
    common = ("--m-val", "1000", "--n-models", "10", "--val-error", "0.05")
    passed = document(*common, "--max-risk", "0.1")
    assert passed["gate"]["passed"]
    failed = document(*common, "--max-risk", "0.06", code=1)
    assert not failed["gate"]["passed"]
    check = failed["gate"]["checks"][0]
    assert check == {
        "name": "max-risk",
        "limit": 0.06,
        "value": failed["certified"]["risk"],
        "passed": False,
    }


def test_nothing_is_clamped() -> None:
    doc = document("--m-val", "10", "--n-models", "1e9", "--val-error", "0.5")
    bernstein = doc["bounds"][0]
    assert bernstein["risk"] > 1
    assert bernstein["vacuous"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n-models", "5", "--val-error", "0"), "--m-val: found nothing"),
        (("--m-val", "100", "--val-error", "0"), "--n-models: found nothing"),
        (("--m-val", "0", "--n-models", "5", "--val-error", "0"), "--m-val: found '0'"),
        (("--m-val", "1.5", "--n-models", "5", "--val-error", "0"), "--m-val: found '1.5'"),
        (("--m-val", "nan", "--n-models", "5", "--val-error", "0"), "--m-val: found 'nan'"),
        (("--m-val", "many", "--n-models", "5", "--val-error", "0"), "--m-val: found 'many'"),
        (("--m-val", "9", "--n-models", "0.5"), "--n-models: found '0.5'"),
        (("--m-val", "9", "--n-models", "few"), "--n-models: found 'few'"),
        (("--m-val", "9", "--n-models", "nan"), "--n-models: found 'nan'"),
        (("--m-val", "9", "--n-models", "inf"), "--n-models: found 'inf'"),
        (("--m-val", "9", "--log-n-models", "-1"), "--log-n-models: found -1"),
        (("--m-val", "9", "--n-models", "5", "--log-n-models", "2"), "one of them"),
        (("--m-val", "9", "--adaptive-rounds", "5"), "both"),
        (
            ("--m-val", "9", "--adaptive-rounds", "5", "--scores-per-round", "1"),
            "--scores-per-round: found 1",
        ),
        (("--m-val", "9", "--n-models", "5", "--delta", "0"), "--delta: found 0"),
        (("--m-val", "9", "--n-models", "5", "--delta", "1"), "--delta: found 1"),
        (("--m-val", "9", "--n-models", "5", "--delta", "nan"), "--delta: found nan"),
        (("--m-val", "9", "--n-models", "5"), "--val-error: found nothing"),
        (("--m-val", "9", "--n-models", "5", "--max-risk", "0.9"), "--val-error: found nothing"),
        (("--n-models", "5", "--solve", "m-val", "--target", "0.1"), "say --val-error 0"),
        (("--m-val", "9", "--solve", "n-models", "--target", "0.1"), "say --val-error 0"),
        (
            ("--m-val", "9", "--n-models", "5", "--solve", "delta", "--target", "0.1"),
            "--val-error: found nothing",
        ),
        (("--m-val", "9", "--n-models", "5", "--val-error", "0", "--id-key", "id"), "no file"),
        (
            ("--m-val", "9", "--n-models", "5", "--val-error", "0", "--label-key", "y"),
            "--label-key: found no --predictions",
        ),
        (("--m-val", "9", "--n-models", "5", "--val-error", "1.1"), "--val-error: found 1.1"),
        (("--m-val", "9", "--n-models", "5", "--val-error", "-0.1"), "--val-error: found -0.1"),
        (("--m-val", "9", "--n-models", "5", "--val-error", "0", "--c", "0"), "--c: found 0"),
        (
            ("--m-val", "9", "--n-models", "5", "--val-error", "0", "--gamma2", "inf"),
            "--gamma2: found inf",
        ),
        (("--m-val", "1e16", "--n-models", "5", "--val-error", "0"), "--m-val: found '1e16'"),
        (("--m-val", "1e300", "--n-models", "5", "--val-error", "0"), "--m-val: found '1e300'"),
        (
            ("--m-val", "9", "--log-n-models", "1e308", "--c", "1e10", "--val-error", "0"),
            "a bound past 1e308",
        ),
        (
            ("--m-val", "9", "--n-models", "5", "--val-error", "0", "--max-risk", "nan"),
            "--max-risk: found nan",
        ),
        (
            ("--m-val", "9", "--n-models", "5", "--val-error", "0", "--max-risk", "inf"),
            "--max-risk: found inf",
        ),
        (
            ("--m-val", "9", "--adaptive-rounds", "1" + "0" * 400, "--scores-per-round", "9"),
            "--adaptive-rounds: found inf",
        ),
        (
            ("--m-val", "9", "--n-models", "5", "--loss-range", "-1e308", "1e308"),
            "its width: found inf",
        ),
        (
            ("--m-val", "9", "--n-models", "5", "--loss", "zero-one", "--loss-range", "0", "5"),
            "--loss zero-one and --loss-range: found both",
        ),
        (
            ("--m-val", "9", "--n-models", "5", "--val-error", "0", "--solve", "delta"),
            "no --target",
        ),
        (("--m-val", "9", "--n-models", "5", "--val-error", "0", "--target", "0.1"), "no --solve"),
        (
            ("--m-val", "9", "--n-models", "5", "--solve", "n-models", "--target", "0.1"),
            "--solve n-models seeks it",
        ),
        (
            (
                *("--m-val", "9", "--n-models", "5", "--val-error", "0"),
                *("--solve", "m-val", "--target", "0.1"),
            ),
            "--solve m-val seeks it",
        ),
        (("--m-val", "9", "--n-models", "5", "--loss-range", "1", "1"), "upper end: found 1"),
        (("--losses", "absent.npy", "--n-models", "5"), "absent.npy: found no such file"),
        (("--losses", "a.npy", "--predictions", "b.csv", "--n-models", "5"), "one of them"),
        (("--losses", "a.npy", "--m-val", "5", "--n-models", "5"), "beside a file"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_a_forgotten_score_passes_no_gate() -> None:
    said = refused("--m-val", "10000", "--n-models", "5", "--max-risk", "0.05")
    assert "An error is never assumed." in said
    passed = document(
        *("--m-val", "10000", "--n-models", "5", "--max-risk", "0.05", "--val-error", "0")
    )
    assert passed["gate"]["passed"]


def test_the_range_of_bounded_losses_is_assumed_in_words(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array([0.5, 2.0, 3.0]))
    common = ("--losses", tmp_path / "l.npy", "--n-models", "1")
    doc = document(*common, "--loss-range", "0", "5")
    stated = "every loss that there can be lies in [0, 5], a range fixed before the items were seen"
    assert all(stated in bound["assumes"] for bound in doc["bounds"])
    numbers = document(*("--m-val", "9", "--n-models", "1", "--val-error", "0"))
    assert not any("range" in text for bound in numbers["bounds"] for text in bound["assumes"])
    said = refused(*common, "--loss-range", "0", "2.5")
    # the largest loss that was seen is not offered as the range
    assert "what the loss can be, known before the items were seen" in said
    assert "State the loss's range" not in said


class TestDelta:
    """What `--solve delta` finds is a p-value where the error was observed."""

    def solve(self, *arguments: str | Path) -> tuple[dict[str, Any], str]:
        taken = (*arguments, "--n-models", "3", "--solve", "delta", "--target", "0.15")
        text = runner.invoke(app, ["val-bound", *map(str, taken)]).stdout
        return document(*taken), " ".join(text.split())

    def test_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "p.csv").write_text("label,prediction\n" + "1,1\n" * 95 + "1,0\n" * 5)
        doc, text = self.solve("--predictions", tmp_path / "p.csv")
        assert doc["solution"]["reading"] == "p-value"
        assert "This is a p-value" in text
        assert f"Verdict: p = {doc['solution']['value']:.6g} against a true risk above" in text
        assert "with probability" not in text
        taken = ("--predictions", tmp_path / "p.csv", "--n-models", "3", "--max-risk", "0.15")
        said = refused(*taken, "--solve", "delta", "--target", "0.15")
        assert "--max-risk and --solve delta" in said

    def test_from_a_plan(self) -> None:
        doc, text = self.solve("--m-val", "100", "--val-error", "0.05")
        assert doc["solution"]["reading"] == "planned"
        assert "If 0.05 is a plan." in text
        assert "with probability 0.995342" in text

    def test_without_an_answer_there_is_nothing_to_read(self) -> None:
        doc, text = self.solve("--m-val", "100", "--val-error", "0.5")
        assert "reading" not in doc["solution"]
        assert "p-value" not in text

    def test_past_the_range_of_floats(self, tmp_path: Path) -> None:
        np.save(tmp_path / "l.npy", np.zeros(10_000))
        doc, text = self.solve("--losses", tmp_path / "l.npy")
        assert doc["solution"]["value"] is None
        assert f"p = 10^{doc['solution']['log10']:.6g}" in text


class TestWhatWouldPass:
    """A gate that failed says how many items it would take."""

    common = ("--n-models", "10", "--max-risk", "0.06")

    def test_items(self) -> None:
        failed = document(*self.common, "--m-val", "1000", "--val-error", "0.05", code=1)
        needed = failed["gate"]["would_pass"]["m_val"]
        document(*self.common, "--m-val", str(needed), "--val-error", "0.05")
        document(*self.common, "--m-val", str(needed - 1), "--val-error", "0.05", code=1)

    def test_one_line_on_stderr_beside_json(self) -> None:
        taken = ("val-bound", *self.common, "--m-val", "1000", "--val-error", "0.05")
        result = runner.invoke(app, [*taken, "--json"])
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        doc = json.loads(result.stdout)
        assert "gate failed: max-risk 0.06, value 0.07" in result.stderr
        assert f"What would pass: {doc['gate']['would_pass']['m_val']:,} items" in result.stderr
        report = runner.invoke(app, list(taken))
        assert report.stderr == ""
        assert "What would pass:" in report.stdout

    def test_no_number_of_items(self, tmp_path: Path) -> None:
        np.save(tmp_path / "l.npy", np.full(100, 7.0))
        taken = ("--losses", tmp_path / "l.npy", "--loss-range", "5", "15", "--n-models", "1")
        failed = document(*taken, "--max-risk", "6.5", code=1)
        answer = failed["gate"]["would_pass"]
        assert answer["m_val"] is None
        assert "the limit is not above their mean loss, 7" in answer["reason"]
        more = document(*taken, "--max-risk", "7.1", code=1)["gate"]["would_pass"]
        assert more["counted_by"] == "hoeffding-bentkus"
        np.save(tmp_path / "l.npy", np.full(more["m_val"], 7.0))
        document(*taken, "--max-risk", "7.1")


def test_other_commands_say_it_in_one_line_too() -> None:
    taken = "data-indep --m-sigma 10 --rho 1 --d-y 2 --c-sigma 1 --c-w 1 --max-risk 0.1 --json"
    result = runner.invoke(app, taken.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("gencheck: gate failed: max-risk 0.1, value ")
    assert len(result.stderr.splitlines()) == 1


class TestAsAProcess:
    """Streams, exit codes, files, start-up."""

    common = ("val-bound", "--m-val", "1000", "--n-models", "10", "--val-error", "0.05")

    def test_json_is_alone_on_stdout(self, program: Program) -> None:
        run = program(*self.common, "--json", "--output", "doc.json")
        assert run.returncode == 0
        assert run.stderr == ""
        assert json.loads(run.stdout) == json.loads((program.folder / "doc.json").read_text())
        assert [p.name for p in program.folder.iterdir()] == ["doc.json"]

    def test_the_report_has_no_colour_when_piped(self, program: Program) -> None:
        run = program(*self.common, COLUMNS="80")
        assert "\x1b[" not in run.stdout
        assert "Verdict: true risk at most" in run.stdout
        assert max(len(line) for line in run.stdout.splitlines()) <= 80

    def test_exit_codes(self, program: Program) -> None:
        assert program(*self.common, "--max-risk", "0.01").returncode == 1
        assert program(*self.common, "--delta", "7").returncode == 2
        assert program("val-bound", "--no-such-option").returncode == 2
        assert program("no-such-command").returncode == 2

    def test_output_that_cannot_be_written(self, program: Program) -> None:
        run = program(*self.common, "--output", "absent/doc.json")
        assert run.returncode == 2
        assert "absent/doc.json" in run.stderr
        assert "Traceback" not in run.stderr

    def test_debug_shows_the_traceback(self, program: Program) -> None:
        run = program(*self.common, "--delta", "7", "--debug")
        assert run.returncode == 2
        assert "Traceback" in run.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--help"],
            ["--version"],
            ["val-bound", "--m-val", "10", "--n-models", "5", "--val-error", "0.1"],
            [
                "data-indep",
                "--m-sigma",
                "10",
                "--d-y",
                "2",
                "--c-sigma",
                "1",
                "--c-w",
                "1",
                "--json",
            ],
        ],
        ids=lambda a: a[0],
    )
    def test_heavy_libraries_are_not_imported(self, arguments: list[str]) -> None:
        code = (
            "import sys, atexit\n"
            "from gencheck.cli.app import main\n"
            "heavy = ('torch', 'scipy', 'pyarrow', 'safetensors')\n"
            "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr))\n"
            f"sys.argv = ['gencheck', *{arguments!r}]\n"
            "main()\n"
        )
        if arguments[0] == "val-bound":
            # from numbers alone nothing needs arrays or stores
            code = code.replace("'scipy'", "'scipy', 'numpy', 'sqlite3'")
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert run.stderr.strip() == "[]"


class TestItemsThatAreNotAlike:
    """Clusters, strata and weights from the columns of a table."""

    @staticmethod
    def table(folder: Path, clusters: int = 40, size: int = 5) -> Path:
        generator = np.random.default_rng(0)
        wrong = np.repeat(generator.random(clusters) < 0.2, size)
        rows = [
            f"{i},p{i // size},{'ab'[(i // size) % 2]},{2 if i // size % 2 else 0.5},{int(w)}"
            for i, w in enumerate(wrong)
        ]
        path = folder / "s.csv"
        path.write_text("\n".join(["id,patient,site,weight,loss", *rows]) + "\n")
        return path

    def test_clusters(self, tmp_path: Path) -> None:
        path = self.table(tmp_path)
        doc = document("--losses", path, "--n-models", "1", "--cluster-key", "patient")
        assert doc["scores"]["units"] == doc["inputs"]["m_val"] == 40
        assert doc["scores"]["largest_cluster"] == 5
        naive = document("--losses", path, "--n-models", "1")
        assert doc["scores"]["naive"]["risk"] == naive["certified"]["risk"]
        assert doc["certified"]["risk"] > naive["certified"]["risk"]
        assert doc["scores"]["naive"]["slack_ratio"] > 1.5
        first, *_ = doc["bounds"][0]["assumes"]
        assert first.startswith("clusters are independent draws")
        assert "the validation items are independent draws" not in " ".join(
            doc["bounds"][0]["assumes"]
        )
        result = runner.invoke(
            app, ["val-bound", "--losses", str(path), "--n-models", "1", "--cluster-key", "patient"]
        )
        text = " ".join(result.stdout.split())
        assert "40 of 200 items, the largest of 5; the cluster is the unit" in text
        assert "had the 200 items been independent" in text

    def test_clusters_of_one_are_items(self, tmp_path: Path) -> None:
        path = self.table(tmp_path, size=1)
        doc = document("--losses", path, "--n-models", "1", "--cluster-key", "id")
        bounded = document("--losses", path, "--n-models", "1", "--loss", "bounded")
        assert doc["certified"]["name"] == "betting"
        assert doc["scores"]["units"] == 40
        assert doc["evaluated_at"] == bounded["evaluated_at"]

    def test_strata(self, tmp_path: Path) -> None:
        path = self.table(tmp_path)
        taken = ("--losses", path, "--n-models", "1", "--stratify-key", "site")
        doc = document(*taken)
        assert [row["name"] for row in doc["scores"]["groups"]] == ["a", "b"]
        assert doc["scores"]["kind"] == "strata"
        assert doc["certified"]["name"] == "stratified-kl"
        both = document(*taken, "--cluster-key", "patient", "--max-group-risk", "0.9")
        assert [row["units"] for row in both["scores"]["groups"]] == [20, 20]
        # strata of equal size count the same either way
        items = document(*taken, "--mean-over", "items")
        assert items["certified"]["risk"] == pytest.approx(doc["certified"]["risk"])

    def test_weights(self, tmp_path: Path) -> None:
        path = self.table(tmp_path)
        taken = ("--losses", path, "--n-models", "1", "--weight-key", "weight")
        doc = document(*taken, "--max-weight", "2")
        assert any(
            "no weight that there can be is above 2" in a for a in doc["bounds"][0]["assumes"]
        )
        dearer = document(*taken, "--max-weight", "8")
        assert dearer["evaluated_at"]["empirical_risk"] == pytest.approx(
            doc["evaluated_at"]["empirical_risk"]
        )
        assert dearer["certified"]["risk"] > doc["certified"]["risk"]
        assert "found the weight 2" in refused(*taken, "--max-weight", "1.5")
        assert "--weight-key and --max-weight" in refused(*taken)
        text = path.read_text().replace(",2,", ",-2,")
        path.write_text(text)
        assert "a weight of 0 or more" in refused(*taken, "--max-weight", "2")

    def test_bad_keys(self, tmp_path: Path) -> None:
        path = self.table(tmp_path)
        common = ("--losses", path, "--n-models", "1")
        assert "--cluster-key doctor: found columns" in refused(*common, "--cluster-key", "doctor")
        assert "no file of scores" in refused(
            *("--m-val", "9", "--val-error", "0", "--n-models", "1", "--cluster-key", "x")
        )
        assert "no groups" in refused(*common, "--max-group-risk", "0.5")


class TestBesideTheScore:
    """Two-sided intervals and the split advisor."""

    def test_intervals(self) -> None:
        common = ("--m-val", "1000", "--val-error", "0.02", "--delta", "0.05")
        doc = document(*common, "--n-models", "20")
        fixed, every = doc["intervals"]["fixed"], doc["intervals"]["all"]
        assert every[0] < fixed[0] < 0.02 < fixed[1] < every[1]
        # two sides at δ cost as one side at δ/2
        one = document(*common[:4], "--delta", "0.025", "--n-models", "20")
        assert every[1] == pytest.approx(one["certified"]["risk"])
        none = document("--m-val", "10", "--val-error", "0", "--n-models", "1")["intervals"][
            "fixed"
        ]
        full = document("--m-val", "10", "--val-error", "1", "--n-models", "1")["intervals"][
            "fixed"
        ]
        assert none[0] == 0
        assert full[1] == 1
        assert none[1] == pytest.approx(1 - full[0])

    def test_the_split_advisor(self) -> None:
        doc = document("--m-val", "1000", "--val-error", "0.02", "--n-models", "20")
        assert doc["split"]["confirm_items"] == 500
        assert doc["split"]["confirm_risk"] == pytest.approx(0.034, abs=5e-4)
        assert doc["split"]["choose_on_all_risk"] == doc["certified"]["risk"]
        report = runner.invoke(
            app, ["val-bound", "--m-val", "1000", "--val-error", "0.02", "--n-models", "20"]
        )
        text = " ".join(report.stdout.split())
        assert "to choose on 500 and confirm on 500 gives 0.03369" in text
        assert "split" not in document("--m-val", "10", "--val-error", "0", "--n-models", "1")
