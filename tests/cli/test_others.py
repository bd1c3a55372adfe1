"""`demo`, `schema`, `explain`, help and version."""

import contextlib
import json
import re
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

import gencheck
from gencheck.cli import demo_files
from gencheck.cli.app import app, callback_of, command_names
from gencheck.load.dataset import _LOADERS
from gencheck.report.schema import schema_names, schema_text
from tests.conftest import Program

runner = CliRunner()


@pytest.mark.slow
def test_demo(program: Program) -> None:
    run = program("demo")
    assert run.returncode == 0, run.stderr
    assert "What was learned" in run.stdout
    assert "397 others chose the best of the 4, decay-" in run.stdout
    for part in ("val-bound", "data-indep", "concentrate"):
        assert f"$ gencheck {part}" in run.stdout
    assert run.stdout.count("Verdict:") == 3
    folder = program.folder / "gencheck-demo"
    runs = ["decay-0", "decay-0.1", "decay-1", "decay-3"]
    assert sorted(p.name for p in folder.iterdir()) == [*runs, "digits.npz", "predictions.csv"]
    for run_folder in runs:
        names = sorted(p.name for p in (folder / run_folder).iterdir())
        assert names == ["gates.pt2", "run.json", "split.npz", "weights.pt2"]
    # the commands that it shows are the commands that one can run
    commands = re.findall(r"\$ gencheck (.+)", run.stdout)
    assert len(commands) == 3
    with contextlib.chdir(program.folder):
        again = runner.invoke(app, [*commands[2].split(), "--json"])
    assert again.exit_code == 0
    doc = json.loads(again.stdout)
    assert doc["gap"]["sample_error"] < 0.1
    assert doc["gap"]["reference_error"] < 0.15


@pytest.mark.slow
def test_demo_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # what is written is looked at here, not how well the networks do
    monkeypatch.setattr(demo_files, "_EPOCHS", 5)
    run = runner.invoke(app, ["demo", "--json", "--output", "demo.json"])
    assert run.exit_code == 0, run.stderr
    assert (tmp_path / "demo.json").read_text() == run.stdout
    doc = json.loads(run.stdout)
    jsonschema.validate(doc, json.loads(schema_text("demo")))
    for report, name in zip(
        doc["reports"], ("val-bound", "data-indep", "concentrate"), strict=True
    ):
        assert report["command"][0] == name
        jsonschema.validate(report["document"], json.loads(schema_text(name)))
    assert runner.invoke(app, ["demo", "--output", "missing/demo.json"]).exit_code == 2


def test_every_command_with_a_document_has_a_schema() -> None:
    made = [name for name in command_names() if "as_json" in callback_of(name).__annotations__]
    assert schema_names() == sorted([*made, "concentrate-plan"])


@pytest.mark.parametrize("name", schema_names())
def test_schemas(name: str) -> None:
    result = runner.invoke(app, ["schema", name])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == f"gencheck.{name}/1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": f"gencheck.{name}/1"}, schema)


def test_unknown_schema() -> None:
    result = runner.invoke(app, ["schema", "nonsense"])
    assert result.exit_code == 2
    assert f"one of {', '.join(schema_names())}" in result.stderr
    assert schema_text("val-bound").endswith("\n")


def test_explain() -> None:
    result = runner.invoke(app, ["explain", "supported"])
    assert result.exit_code == 0
    assert "aten.linear.default" in result.stdout
    assert "BatchNorm" in result.stdout


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.stdout == f"gencheck {gencheck.__version__}\n"


def test_every_command_has_a_help_with_an_example() -> None:
    for command in command_names():
        text = callback_of(command).__doc__ or ""
        assert "Example: gencheck " in text, command


def test_every_document_is_named_where_schemas_are_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")
    for name in schema_names():
        assert f"`{name}`" in page


def test_help_names_every_kind_of_data() -> None:
    text = " ".join(runner.invoke(app, ["concentrate", "--help"]).stdout.split())
    for kind in (*_LOADERS, "folder of images", "IDX"):
        assert kind in text
