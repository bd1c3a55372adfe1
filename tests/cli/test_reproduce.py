"""`reproduce`: the frame around the experiments."""

import builtins
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.experiments.registry import EXPERIMENTS, experiment_named
from tests.conftest import Program

runner = CliRunner()
PAGE = Path(__file__).parent.parent.parent / "docs" / "reproduce.md"


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_is_there_and_documented(name: str) -> None:
    assert callable(experiment_named(name))
    assert f"gencheck reproduce {name}" in PAGE.read_text(encoding="utf-8")


def test_unknown_name() -> None:
    run = runner.invoke(app, ["reproduce", "nonsense"])
    assert run.exit_code == 2
    assert "NAME: found 'nonsense'; required: one of validation-example" in run.stderr


def test_absent_data() -> None:
    run = runner.invoke(app, ["reproduce", "validation-example", "--data", "nowhere.npz"])
    assert run.exit_code == 2
    assert "--data: found no file nowhere.npz" in run.stderr


def test_output_is_the_document(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    run = runner.invoke(app, ["reproduce", "validation-example", "--output", str(file), "--json"])
    assert run.exit_code == 0
    assert file.read_text(encoding="utf-8") == run.stdout
    assert json.loads(run.stdout)["schema"] == "gencheck.reproduce/1"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    heads = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    file = tmp_path / f"figure{suffix}"
    run = runner.invoke(app, ["reproduce", "independent-example", "--plot", str(file)])
    assert run.exit_code == 0, run.stderr
    assert file.read_bytes().startswith(heads[suffix])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_refused_plots(tmp_path: Path) -> None:
    for file, message in (
        (tmp_path / "figure.gif", r"the suffix '\.gif'; required: one of \.png, \.svg, \.pdf"),
        (tmp_path / "absent" / "figure.png", "a folder that does not exist"),
    ):
        run = runner.invoke(app, ["reproduce", "validation-example", "--plot", str(file)])
        assert run.exit_code == 2
        assert re.search(message, run.stderr), run.stderr


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    run = runner.invoke(
        app, ["reproduce", "validation-example", "--plot", str(tmp_path / "figure.png")]
    )
    assert run.exit_code == 2
    assert 'python -m pip install "gencheck[plot]"' in run.stderr
    assert not list(tmp_path.iterdir())


def test_as_a_process(program: Program) -> None:
    run = program("reproduce", "validation-example")
    assert run.returncode == 0, run.stderr
    assert "0.0693965" in run.stdout
    assert run.stderr == ""
