"""`gencheck rank` as a command: order, document, gate, refusals."""

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rank")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(module.state_dict(), folder / "m.pt")
    random = np.random.default_rng(0)
    for name, shift in (("near", 0.0), ("far", 2.0), ("target", 0.0)):
        x = random.normal(size=(80, 6)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x + shift, y=x[:, :3].argmax(1))
    return folder


def ranked(folder: Path, *more: str, code: int = 0) -> str:
    files = [str(folder / name) for name in ("m.pt", "far.npz", "near.npz")]
    arguments = ["rank", *files, "--reference", str(folder / "target.npz"), *more]
    result = runner.invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.stdout if code in (0, 1) else result.stderr


def test_the_nearest_set_comes_first(folder: Path) -> None:
    doc = json.loads(ranked(folder, "--json", "--permutations", "50"))
    jsonschema.validate(doc, json.loads(schema_text("rank")))
    assert [Path(each["name"]).stem for each in doc["ranking"]] == ["near", "far"]
    assert doc["ranking"][1]["permutation"]["v_frobenius"]["p_value"] < 0.05
    assert 0 < doc["ranking"][0]["mmd_labels"] < doc["ranking"][1]["mmd_labels"]
    text = ranked(folder, "--permutations", "50")
    assert "is nearest to the reference under this model" in " ".join(text.split())


def test_the_table_is_whole_at_80_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    large = "a-vendor-of-large-numbers.npz"
    with np.load("near.npz") as archive:
        np.savez(large, x=1e7 * archive["x"], y=archive["y"])
    files = ["m.pt", "near.npz", "far.npz", large, "--reference", "target.npz"]
    doc = json.loads(runner.invoke(app, ["rank", *files, "--json"]).stdout)
    text = runner.invoke(app, ["rank", *files]).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for each in doc["ranking"]:
        for key in ("v_frobenius", "mmd_labels", "beta1"):
            assert f"{each[key]:.4g}" in text.split(), key


def test_sets_that_four_digits_do_not_tell_apart_are_one_answer(folder: Path) -> None:
    copy = folder / "copy.npz"
    copy.write_bytes((folder / "near.npz").read_bytes())
    text = " ".join(ranked(folder, "--permutations", "0", str(copy)).split())
    near, other = (str(folder / f"{name}.npz") for name in ("near", "copy"))
    assert f"as near, to four digits: {other}." in text or f"to four digits: {near}." in text
    for first in (near, other):
        # which of the two stands first is rounding
        ranked(folder, "--permutations", "0", str(copy), "--require-first", first)
    assert "four digits" not in ranked(folder, "--permutations", "0")


def test_the_gate(folder: Path) -> None:
    near, far = (str(folder / name) for name in ("near.npz", "far.npz"))
    fast = ("--permutations", "0", "--json", "--require-first")
    assert json.loads(ranked(folder, *fast, near))["gate"]["passed"]
    doc = json.loads(ranked(folder, *fast, far, code=1))
    assert doc["gate"]["checks"] == [
        {"name": "require-first", "limit": 1.0, "value": 2.0, "passed": False}
    ]
    assert "one of the candidates" in ranked(folder, *fast, "other.npz", code=2)
    printed = ranked(folder, "--permutations", "0", "--require-first", far, code=1)
    assert "Gate FAILED: require-first 1, value 2" in printed.splitlines()
    # a long path is folded
    assert Path(far).name in "".join(printed.partition("required first:")[2].split())


def test_the_same_file_twice_is_refused(folder: Path) -> None:
    message = ranked(folder, "--permutations", "0", str(folder / "near.npz"), code=2)
    assert "the same file twice" in message
