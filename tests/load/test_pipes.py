"""Standard input and pipes in the place of files: the same figures, and refusals by name."""

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app

runner = CliRunner()
LOSSES = [0, 1, 0, 0, 1, 0, 0, 0, 0, 0]


def written(name: str) -> bytes:
    """The same ten losses as a file of each kind."""
    buffer = io.BytesIO()
    if name == "csv":
        return ("loss\n" + "\n".join(map(str, LOSSES)) + "\n").encode()
    if name == "jsonl":
        return "".join(json.dumps({"loss": each}) + "\n" for each in LOSSES).encode()
    if name == "npy":
        np.save(buffer, np.array(LOSSES))
    if name == "parquet":
        pq.write_table(pa.table({"loss": LOSSES}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "npy", "parquet"])
def test_losses_come_through_standard_input(kind: str, tmp_path: Path) -> None:
    content = written(kind)
    file = tmp_path / f"l.{kind}"
    file.write_bytes(content)
    words = ["val-bound", "--n-models", "3", "--json", "--losses"]
    piped = runner.invoke(app, [*words, "-"], input=content)
    plain = runner.invoke(app, [*words, str(file)])
    assert piped.exit_code == plain.exit_code == 0, piped.stderr
    ours, theirs = json.loads(piped.stdout), json.loads(plain.stdout)
    assert ours["bounds"] == theirs["bounds"]
    assert ours["inputs"]["file"] == {"path": "-", "sha256": sha256(content).hexdigest()}


def test_a_named_pipe_and_a_descriptor(tmp_path: Path) -> None:
    pipe = tmp_path / "p"
    os.mkfifo(pipe)
    content = b"label,prediction\n0,0\n1,0\n1,1\n"
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    done = runner.invoke(app, ["val-bound", "--n-models", "1", "--predictions", str(pipe)])
    writer.join()
    assert done.exit_code == 0, done.stderr
    assert "3, empirical risk 0.333333 (1 errors)" in done.stdout
    file = tmp_path / "scores"
    file.write_bytes(content)
    # redirected, standard input is a file, but one without a suffix
    words = ["val-bound", "--n-models", "1", "--predictions", "/dev/stdin"]
    with file.open("rb") as standard:
        own = subprocess.run(
            [sys.executable, "-m", "gencheck", *words],
            stdin=standard,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert own.returncode == 0, own.stderr
    assert "3, empirical risk 0.333333 (1 errors)" in own.stdout


def test_errors_go_by_the_name_that_was_given() -> None:
    done = runner.invoke(
        app,
        ["val-bound", "--n-models", "1", "--predictions", "-"],
        input="label,prediction\n0,0,0\n",
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("gencheck: -, line 2: found 3 cells")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"),
        (gzip.compress(b"a", mtime=0), "bytes that begin with 1f8b"),
        (b"\x89PNG\r\n\x1a\n\0\0", "bytes that begin with 8950"),
    ],
)
def test_what_is_not_read_from_a_pipe_is_refused(content: bytes, found: str) -> None:
    done = runner.invoke(app, ["val-bound", "--n-models", "1", "--losses", "-"], input=content)
    assert done.exit_code == 2
    assert f"gencheck: -: found {found}" in done.stderr


def test_two_inputs_cannot_share_a_pipe() -> None:
    done = runner.invoke(app, ["compare-scores", "-", "-"], input=written("csv"))
    assert done.exit_code == 2
    assert "what was read from it before" in done.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["concentrate", "-", "d.npz"], "CHECKPOINT -"),
        (["val-bound", "--study", "-"], "--study -"),
        (["certify", "-", "d.npz"], "RUN -"),
    ],
)
def test_models_stores_and_runs_are_files(words: list[str], name: str) -> None:
    done = runner.invoke(app, words, input=b"x")
    assert done.exit_code == 2
    assert f"gencheck: {name}: found a pipe" in done.stderr


@pytest.mark.parametrize("kind", ["npz", "safetensors", "csv", "jsonl"])
def test_data_come_through_a_pipe(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    draw = np.random.default_rng(0)
    x, y = draw.random((12, 3)), np.arange(12) % 2
    contents: dict[str, Any] = {"csv": "a,b,c,label\n", "jsonl": ""}
    for row, label in zip(x.tolist(), y.tolist(), strict=True):
        contents["csv"] += ",".join(map(repr, row)) + f",{label}\n"
        contents["jsonl"] += json.dumps({"x": row, "label": label}) + "\n"
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    contents |= {"npz": buffer.getvalue(), "safetensors": save({"x": x, "y": y})}
    words = ["concentrate", str(tmp_path / "m.pt"), "-", "--holdout", "0.5", "--json"]
    words += ["--permutations", "0", "--beta2-budget", "0", "--dtype", "float64"]
    np.savez(tmp_path / "d.npz", x=x, y=y)
    done = runner.invoke(app, words, input=contents[kind])
    assert done.exit_code == 0, done.stderr
    words[2] = str(tmp_path / "d.npz")
    plain = runner.invoke(app, words)
    ours, theirs = json.loads(done.stdout), json.loads(plain.stdout)
    assert ours["beta1"] == theirs["beta1"]
    assert ours["inputs"]["data"]["path"] == "-"
