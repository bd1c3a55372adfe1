"""One output for two classes, and an output by its name, at the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from gencheck.cli.app import app


class Binary(nn.Module):
    def __init__(self, end: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.end, self.first, self.last = end, nn.Linear(4, 5), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Any:
        h = self.last(torch.relu(self.first(x)))
        if self.end == "dict":
            return {"score": h, "probability": h.sigmoid()}
        return h.squeeze(-1).sigmoid() if self.end == "probability" else h


class Pair(nn.Module):
    """The same as two outputs, written out."""

    def __init__(self, single: Binary) -> None:
        super().__init__()
        self.first, self.last = single.first, nn.Linear(5, 2)
        self.last.weight.data = torch.cat([torch.zeros(1, 5), single.last.weight.data])
        self.last.bias.data = torch.cat([torch.zeros(1), single.last.bias.data])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.first(x)))
        return out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(30, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=items, y=(items[:, 0] > 0).astype(int))
    return tmp_path / "d.npz"


def audited(
    module: nn.Module, data: Path, *extra: str, command: str = "concentrate"
) -> dict[str, Any]:
    path = data.with_name("m.pt2")
    torch.export.save(torch.export.export(module, (torch.randn(3, 4),)), path)
    arguments = [command, str(path), str(data), "--holdout", "0.5", "--json", "--device", "cpu"]
    fast = ["--permutations", "0"] if command == "concentrate" else []
    result = CliRunner().invoke(app, [*arguments, *fast, *extra])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.parametrize("end", ["logit", "probability", "dict"])
def test_one_output_is_read_as_two_classes(end: str, data: Path) -> None:
    single = Binary(end)
    named = ["--output-name", "score"] if end == "dict" else []
    one, two = audited(single, data, *named), audited(Pair(single), data)
    for place in ("beta1", "beta2", "beta3", "gap", "bound", "v_l2", "path_norms"):
        assert json.dumps(one[place]) == json.dumps(two[place]), place
    assert one["model"]["parameters"] == 4 * 5 + 5 + 5 + 1
    said = one["inputs"]["assumptions"]
    assert said[-1] == "one output h, read as two classes with outputs (0, h): labels 0 and 1"
    if end == "probability":
        assert "squeeze at the model itself, sigmoid at the model itself" in said[0]
    if end == "dict":
        assert one["inputs"]["output"] == "score"


def test_gates_of_a_second_checkpoint(data: Path) -> None:
    torch.manual_seed(1)
    others = Binary("probability")
    nn.init.normal_(others.first.weight)
    gates = data.with_name("g.pt2")
    documents = []
    for module in (others, Pair(others)):
        torch.export.save(torch.export.export(module, (torch.randn(3, 4),)), gates)
        single = Binary("probability")
        own = single if isinstance(module, Binary) else Pair(single)
        documents.append(audited(own, data, "--gates", str(gates)))
    for place in ("beta1", "v_l2", "gap", "bound"):
        assert json.dumps(documents[0][place]) == json.dumps(documents[1][place]), place


def test_regression_keeps_its_one_output(data: Path) -> None:
    document = audited(Binary("logit"), data, "--task", "regression")
    assert document["inputs"]["assumptions"] == []
    assert document["model"]["outputs"] == 1


def test_other_labels_are_refused(data: Path) -> None:
    arrays = dict(np.load(data))
    np.savez(data, x=arrays["x"], y=arrays["y"] * 2)
    path = data.with_name("m.pt2")
    torch.export.save(torch.export.export(Binary("logit"), (torch.randn(3, 4),)), path)
    result = CliRunner().invoke(app, ["concentrate", str(path), str(data), "--holdout", "0.5"])
    assert result.exit_code == 2
    assert "label 2" in result.output


@pytest.mark.slow
def test_compare_reads_it_alike(data: Path) -> None:
    steps = ["--posterior-steps", "2", "--posterior-draws", "3"]
    document = audited(Binary("logit"), data, *steps, command="compare")
    assert "two classes" in document["inputs"]["assumptions"][-1]
