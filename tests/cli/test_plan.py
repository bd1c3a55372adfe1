"""`gencheck concentrate --plan` as users call it."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text

runner = CliRunner()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder: Path = tmp_path_factory.mktemp("plan")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(module.state_dict(), folder / "m.pt")
    random = np.random.default_rng(0)
    np.savez(
        folder / "d.npz",
        x_train=random.uniform(size=(40, 12)).astype(np.float32),
        y_train=random.integers(0, 3, 40),
        x_test=random.uniform(size=(30, 12)).astype(np.float32),
        y_test=random.integers(0, 3, 30),
    )
    return ["concentrate", str(folder / "m.pt"), str(folder / "d.npz"), "--permutations", "3"]


def test_document(words: list[str]) -> None:
    done = runner.invoke(app, [*words, "--plan", "--json"])
    assert done.exit_code == 0, done.stderr
    doc = json.loads(done.stdout)
    jsonschema.validate(doc, json.loads(schema_text("concentrate-plan")))
    whole = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert all(whole["inputs"][name] == value for name, value in doc["inputs"].items())
    assert set(doc["seconds"]) == {*whole["timing"]["seconds"], "total"}
    assert doc["work"]["flops"] == whole["timing"]["gram"]["flops"]
    assert doc["bytes"]["gram"] == whole["timing"]["gram"]["bytes"]
    seconds = dict(doc["seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))


@pytest.mark.parametrize("width", [80, 120])
def test_report_and_long_form(
    words: list[str], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = runner.invoke(app, [*words, "--plan", "--explain"])
    assert done.exit_code == 0, done.stderr
    assert "for 2,485 pairs" in done.stdout
    assert "permutation" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= width


def test_refusals(words: list[str]) -> None:
    done = runner.invoke(app, [*words[:-1], "0", "--plan", "--landmarks", "5"])
    assert done.exit_code == 2
    assert "--plan with --landmarks" in done.stderr
    assert done.stdout == ""
