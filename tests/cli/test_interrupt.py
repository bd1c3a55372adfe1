"""SIGINT to a running audit: exit 130, no traceback, nothing half written, and tiles that count."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import nn

from tests import processes
from tests.cases import zoo_program

Running: TypeAlias = "subprocess.Popen[str] | processes.Command"

pytestmark = pytest.mark.slow

# Generous: an interrupt ends a run within the second, but a machine may be busy.
_PATIENCE = 300.0

_SLOW = """
import time
from pathlib import Path


def item(array):
    Path("started").touch()
    time.sleep(0.05)
    return array


def model():
    Path("started").touch()
    time.sleep(600)


def swallows():
    Path("started").touch()
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        # what libraries make of an interrupt inside their imports
        raise ImportError("cannot load module more than once per process") from None


def deaf():
    while True:
        try:
            Path("started").touch()
            time.sleep(600)
        except KeyboardInterrupt:
            Path("again").touch()
"""


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with a convolutional network, data for some two hundred tiles, and slow functions."""
    (tmp_path / "m.pt2").write_bytes(zoo_program("overlapping_padded_max_pool"))
    torch.save(nn.Linear(16, 2).state_dict(), tmp_path / "m.pt")
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name in ("train", "test"):
        arrays[f"x_{name}"] = generator.normal(size=(350, 1, 4, 4)).astype(np.float32)
        arrays[f"y_{name}"] = generator.integers(2, size=350)
    np.savez(tmp_path / "d.npz", **arrays)
    (tmp_path / "slow.py").write_text(_SLOW)
    return tmp_path


def words(model: str, *options: str) -> list[str]:
    plain = [model, "d.npz", "--tile", "32", "--beta2-budget", "0", "--json"]
    plain += ["--permutations", "9"]
    return ["concentrate", *plain, "--cache", "cache", "--output", "o.json", *options]


def program(folder: Path, model: str, *options: str) -> "subprocess.Popen[str]":
    """The program itself; it takes seconds to start."""
    return subprocess.Popen(
        [sys.executable, "-m", "gencheck", *words(model, *options)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell may have told its background jobs to ignore interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def loaded(folder: Path, model: str, *options: str) -> processes.Command:
    """The same of a process that has loaded everything."""
    return processes.started(words(model, *options), folder)


@contextmanager
def started(running: Running) -> Iterator[Running]:
    try:
        yield running
    finally:
        running.kill()
        if isinstance(running, subprocess.Popen):
            running.communicate()


def tiles(folder: Path) -> int:
    return len(list((folder / "cache").glob("*.tile")))


def nothing_half_written(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} - {"started", "again", "__pycache__"}
    assert names <= {"m.pt2", "m.pt", "d.npz", "slow.py", "cache"}
    if (folder / "cache").exists():
        assert {path.suffix for path in (folder / "cache").iterdir()} <= {".tile"}


def ended(running: Running, folder: Path) -> None:
    stdout, stderr = running.communicate(timeout=_PATIENCE)
    assert running.returncode == 130, stderr
    assert stdout == ""
    assert stderr == "gencheck: interrupted\n"
    nothing_half_written(folder)


def document(folder: Path) -> dict[str, Any]:
    running = loaded(folder, "m.pt2")
    stdout, stderr = running.communicate(_PATIENCE)
    assert running.returncode == 0, stderr
    assert (folder / "o.json").read_text() == stdout
    doc: dict[str, Any] = json.loads(stdout)
    return doc


def test_in_the_gram_stage_again_and_again(case: Path) -> None:
    least = 0
    for start, more in ((program, 1), (loaded, 3), (loaded, 40)):
        with started(start(case, "m.pt2")) as running:
            while running.poll() is None and tiles(case) < least + more:
                time.sleep(0.001)
            running.send_signal(signal.SIGINT)
            ended(running, case)
        least = tiles(case)
    doc = document(case)
    assert doc["timing"]["tiles"]["reused"] == least >= 44
    assert doc["timing"]["tiles"]["computed"] > 0
    assert doc["timing"]["tiles"]["rejected"] == 0


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("m.pt2", ("--transform", "slow:item")),
        ("m.pt", ("--model", "slow:model")),
        ("m.pt", ("--model", "slow:swallows")),
    ],
    ids=["data", "model", "made an error of"],
)
def test_while_loading(case: Path, model: str, options: tuple[str, ...]) -> None:
    with started(loaded(case, model, *options)) as running:
        while running.poll() is None and not (case / "started").exists():
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        if "slow:swallows" in options:
            _, stderr = running.communicate(timeout=_PATIENCE)
            assert running.returncode == 130
            assert "Traceback" not in stderr
        else:
            ended(running, case)
    nothing_half_written(case)
    assert tiles(case) == 0


def test_a_second_interrupt_ends_what_the_first_did_not(case: Path) -> None:
    with started(loaded(case, "m.pt", "--model", "slow:deaf")) as running:
        for name in ("started", "again"):
            while running.poll() is None and not (case / name).exists():
                time.sleep(0.001)
            running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=_PATIENCE)
    assert running.returncode == 130
    assert "Traceback" not in stderr


def test_a_burst_of_interrupts(case: Path) -> None:
    with started(program(case, "m.pt2")) as running:
        while running.poll() is None and tiles(case) < 5:
            time.sleep(0.001)
        for _ in range(5):
            running.send_signal(signal.SIGINT)
            time.sleep(0.002)
        stdout, stderr = running.communicate(timeout=_PATIENCE)
    assert running.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert not (case / "o.json").exists()
    doc = document(case)
    assert doc["timing"]["tiles"]["reused"] >= 5
    assert doc["timing"]["tiles"]["rejected"] == 0


def test_after_the_work_an_interrupt_changes_nothing(case: Path) -> None:
    document(case)
    whole = (case / "o.json").read_text()
    (case / "o.json").unlink()
    with started(program(case, "m.pt2")) as running:
        assert isinstance(running, subprocess.Popen)
        assert running.stdout is not None
        # to the end of the document: only the interpreter's own end is left
        while (line := running.stdout.readline()) and line != "}\n":
            pass
        running.send_signal(signal.SIGINT)
        running.wait(_PATIENCE)
    # the signal may still have met the last steps of the command
    assert running.returncode in {0, 130}
    after, before = json.loads((case / "o.json").read_text()), json.loads(whole)
    assert {**after, "timing": None} == {**before, "timing": None}
