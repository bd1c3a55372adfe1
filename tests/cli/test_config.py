"""Defaults by command from gencheck.toml and pyproject.toml."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text

runner = CliRunner()
DEFAULTS = "[{prefix}val-bound]\nm-val = 1000\nn-models = 20\nmax-risk = 0.05\njson = true\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def document(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    return doc


@pytest.mark.parametrize(
    ("file", "prefix"), [("gencheck.toml", ""), ("pyproject.toml", "tool.gencheck.")]
)
def test_defaults_are_taken_and_overridden(file: str, prefix: str) -> None:
    Path(file).write_text(DEFAULTS.format(prefix=prefix))
    doc = document("val-bound", "--val-error", "0.01")
    assert doc["inputs"]["m_val"] == 1000
    assert doc["inputs"]["n_models"] == 20
    assert doc["gate"]["passed"]
    other = document("val-bound", "--val-error", "0.03", "--n-models", "1e9", code=1)
    assert other["inputs"]["n_models"] == 10**9
    shown = document("config", "--json")
    jsonschema.validate(shown, json.loads(schema_text("config")))
    assert shown["path"] == file
    assert shown["defaults"]["val-bound"]["max-risk"] == 0.05
    text = runner.invoke(app, ["config"]).stdout
    assert f"Defaults of {file}" in text
    assert "--n-models 20" in text


def test_lists_and_flags() -> None:
    Path("gencheck.toml").write_text(
        '[val-bound]\nloss-range = [0, 5]\nn-models = "1e9"\n[compare-scores]\nrequire-better = true\n'
    )
    doc = document("val-bound", "--m-val", "100", "--val-error", "1", "--json")
    assert doc["inputs"]["loss_range"] == [0, 5]
    assert doc["inputs"]["n_models"] == 10**9
    Path("a.csv").write_text("loss\n0\n1\n")
    assert document("compare-scores", "a.csv", "a.csv", "--json", code=1)["gate"]


def test_one_value_of_an_option_that_may_be_several() -> None:
    for value in ('"a.html"', '["a.html", "b.md"]'):
        Path("gencheck.toml").write_text(f"[val-bound]\nreport = {value}\n")
        done = runner.invoke(
            app, ["val-bound", "--m-val", "9", "--n-models", "1", "--val-error", "0"]
        )
        assert done.exit_code == 0, done.output
        assert Path("a.html").is_file()
    assert Path("b.md").is_file()


def test_without_a_file_nothing_changes() -> None:
    assert "No defaults" in runner.invoke(app, ["config"]).stdout
    Path("pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert "No defaults" in runner.invoke(app, ["config"]).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[val-bound]\nloss-range = 1\n",
            "[val-bound], loss-range: found 1; required: a list of 2",
        ),
        ("[val-bound]\nn-model = 3\n", "[val-bound], n-model: found an unknown option"),
        ("[val-bond]\nn-models = 3\n", "[val-bond]: found no command"),
        ("n-models = 3\n", "[n-models]: found a value outside of a table"),
        ("[val-bound]\ndebug = true\n", "debug: found an unknown option"),
        ("[val-bound.n-models]\na = 1\n", "n-models: found a table"),
        ("[val-bound\n", "gencheck.toml: found no TOML"),
        ("[val-bound]\ndelta = 'small'\n", "'--delta'"),
        ("[val-bound]\nloss = 'big'\n", "big"),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    Path("gencheck.toml").write_text(text)
    result = runner.invoke(app, ["val-bound", "--m-val", "9", "--val-error", "0"])
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_two_files() -> None:
    for file, prefix in (("gencheck.toml", ""), ("pyproject.toml", "tool.gencheck.")):
        Path(file).write_text(DEFAULTS.format(prefix=prefix))
    result = runner.invoke(app, ["config"])
    assert result.exit_code == 2
    assert "defaults of gencheck in both" in result.stderr
