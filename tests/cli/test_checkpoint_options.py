"""Checkpoints at the command line: the key, and what damaged ones say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(20, 4)).astype(np.float32), y=np.arange(20) % 2)
    return tmp_path / "d.npz"


def chain(width: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)).state_dict()


def run(*arguments: object) -> tuple[int, str]:
    plain = ["--holdout", "0.5", "--device", "cpu"]
    result = runner.invoke(app, [*map(str, arguments), *plain])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize("command", ["concentrate", "compare"])
def test_the_key_chooses_and_is_recorded(command: str, data: Path, tmp_path: Path) -> None:
    torch.save({"net": chain(3), "ema": chain(5), "epoch": 1}, tmp_path / "m.pt")
    extra = ["--posterior-steps", "1", "--posterior-draws", "2"] if command == "compare" else []
    code, said = run(command, tmp_path / "m.pt", data, *extra)
    assert code == 2
    assert "--key net" in said.replace("\n", " ")
    code, said = run(command, tmp_path / "m.pt", data, "--key", "ema", "--json", *extra)
    assert code == 0
    document = json.loads(said)
    assert document["inputs"]["key"] == "ema"
    assert document["model"]["parameters"] == 4 * 5 + 5 + 5 * 2 + 2


def test_what_is_read_fits_the_memory_allowed(data: Path, tmp_path: Path) -> None:
    state = chain(3) | {"0.weight": torch.zeros(1, 1).expand(10_000, 4)}
    torch.save(state, tmp_path / "m.pt")
    code, said = run("concentrate", tmp_path / "m.pt", data, "--memory", "100kB")
    assert code == 2
    assert "what --memory allows" in said.replace("\n", " ")
