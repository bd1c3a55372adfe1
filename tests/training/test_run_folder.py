"""A run's folder is finished or refused, whenever the run was killed or the disk was full."""

import errno
import json
import os
import random
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck import atomic
from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.load.run_folder import read_run_folder
from gencheck.network.frontend.trace import trace
from gencheck.report.train import write_record
from gencheck.training import folder as own_folder
from gencheck.training.loop import Training
from gencheck.training.request import TrainRequest
from gencheck.training.run import train
from tests.processes import Command, started
from tests.training.data import blobs

runner = CliRunner()


class Killed(BaseException):
    """Stands for SIGKILL: nothing that the package does on errors happens."""


def write_data(path: Path, scale: float = 1.0, shift: int = 0) -> Path:
    items, targets = blobs(40, shape=(5,))
    np.savez(path, x=items.numpy() * scale, y=(targets.argmax(1).numpy() + shift) % 3)
    return path


@pytest.fixture
def choice(tmp_path: Path) -> TrainRequest:
    return TrainRequest(
        data=write_data(tmp_path / "d.npz"),
        architecture="mlp:4",
        out=tmp_path / "run",
        holdout=0.2,
        alpha=0.5,
        training=Training(epochs=2, batch_size=8),
        freeze=Training(epochs=2, batch_size=8),
        safetensors=False,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that hold weights only, and one trace for all runs: neither is looked at here."""
    graphs: dict[object, Any] = {}

    def once(module: nn.Module, shape: tuple[int, ...], tokens: bool, **more: bool) -> object:
        key = (repr(module), shape)
        if key not in graphs:
            graphs[key] = trace(module, shape, tokens, **more)
        return graphs[key]

    def save(module: nn.Module, _: object, stem: Path, __: bool) -> list[str]:
        path = stem.with_suffix(".pt2")
        state = module.state_dict()
        atomic.write_whole(path, lambda buffer: torch.save(state, buffer), "--out")
        return [path.name]

    monkeypatch.setattr("gencheck.training.gated.trace", once)
    monkeypatch.setattr("gencheck.training.run.save_model", save)


def run(choice: TrainRequest) -> None:
    write_record(choice, train(choice), {}, None)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = read_run_folder(folder)
    states = [torch.load(path, weights_only=True) for path in (found.gates, found.weights)]
    return {f"{i} {name}": value for i, s in enumerate(states) for name, value in s.items()}


def _half(partial: Path, content: bytes) -> None:
    partial.write_bytes(content[: len(content) // 2])


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, after: bool) -> Callable[[], int]:
    """Die in the step-th change of the disk, half-way through it or right after; how many there were."""
    count = 0

    def counted(change: Callable[[], None], half: Callable[[], None]) -> None:
        nonlocal count
        count += 1
        if count == step and not after:
            half()
            raise Killed
        change()
        if count == step:
            raise Killed

    replace_file, remove = atomic._replace, atomic.remove

    def writing(path: Path, content: bytes) -> None:
        partial = path.with_name(f".{path.name}.1.1{atomic.PARTIAL}")
        counted(
            lambda: replace_file(path, content),
            lambda: _half(partial, content),
        )

    def removing(path: Path, option: str) -> None:
        if path.exists():
            counted(lambda: remove(path, option), lambda: None)

    monkeypatch.setattr(atomic, "_replace", writing)
    monkeypatch.setattr(own_folder, "remove", removing)
    return lambda: count


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("begun", ["empty", "finished", "another"])
def test_killed_at_every_change_of_the_disk(choice: TrainRequest, begun: str) -> None:
    new, old = (replace(choice, out=choice.out.with_name(name)) for name in ("new", "old"))
    old = replace(old, seed=1 if begun == "another" else choice.seed)
    run(new)
    run(old)
    sound = [weights(new.out), weights(old.out)]
    choice = replace(choice, overwrite=begun == "another")

    def begin() -> None:
        shutil.rmtree(choice.out, ignore_errors=True)
        if begun != "empty":
            shutil.copytree(old.out, choice.out)

    begin()
    with pytest.MonkeyPatch.context() as patch:
        changes = stop_at(patch, 0, after=False)
        run(choice)
    assert changes() >= 12
    for step in range(1, changes() + 1):
        # in turn: half-way through the change, and right after it
        begin()
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, step, after=step % 2 == 0)
            with pytest.raises(Killed):
                run(choice)
        if (choice.out / "run.json").exists():
            # all of the old run, or all of the new one
            assert any(same(weights(choice.out), whole) for whole in sound), step
        else:
            with pytest.raises(InputError, match=r"without a sound run\.json"):
                read_run_folder(choice.out)
        run(choice)
        assert same(weights(choice.out), sound[0]), step
        names = sorted(path.name for path in choice.out.iterdir())
        assert names == ["gates.pt2", "run.json", "split.npz", "weights.pt2"]


@pytest.mark.usefixtures("quick")
def test_a_disk_that_fills_at_any_write(choice: TrainRequest) -> None:
    whole = replace(choice, out=choice.out.with_name("whole"))
    run(whole)
    # the claim, two epochs of each phase, gates, weights, split, record
    for write in range(1, 10):
        shutil.rmtree(choice.out, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            full_from(patch, write)
            with pytest.raises(InputError, match="No space left on device"):
                run(choice)
        with pytest.raises(InputError, match=r"without a sound run\.json"):
            read_run_folder(choice.out)
        assert not list(choice.out.glob(f"*{atomic.PARTIAL}"))
        run(choice)
        assert same(weights(choice.out), weights(whole.out))


def full_from(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """The disk is full from the write-th file on."""
    count = 0
    sync = os.fsync

    def syncing(handle: int) -> None:
        nonlocal count
        if stat.S_ISREG(os.fstat(handle).st_mode):
            count += 1
            if count >= write:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr("gencheck.atomic.os.fsync", syncing)


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("items", {"data": 1.5}, "items"),
    ("labels", {"data": 1}, "labels"),
    ("architecture", {"architecture": "mlp:5"}, "arch (mlp:4, not mlp:5), architecture"),
    ("weights", {"seed": 2}, "seed (0, not 2)"),
    ("darc", {"darc1": 0.1}, "darc1 (0.0, not 0.1)"),
    ("split", {"alpha": 0.4}, "alpha (0.5, not 0.4)"),
    ("held out", {"holdout": 0.3}, "holdout (0.2, not 0.3)"),
    ("solver", {"solver": "ridge"}, "solver (sgd, not ridge)"),
    ("training", {"training": Training(2, 8, weight_decay=0.1)}, "training weight_decay (0.0"),
    ("freeze", {"freeze": Training(3, 8)}, "freeze epochs (2, not 3)"),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainRequest]:
    """A run that is finished and one that was killed after its first epoch."""
    made = {}
    for name in ("finished", "killed"):
        folder = tmp_path_factory.mktemp(name)
        made[name] = TrainRequest(
            data=write_data(folder / "d.npz"),
            architecture="mlp:4",
            out=folder / "run",
            holdout=0.2,
            alpha=0.5,
            training=Training(2, 8),
            freeze=Training(2, 8),
            safetensors=False,
        )
        with pytest.MonkeyPatch.context() as patch:
            if name == "finished":
                run(made[name])
            else:
                stop_at(patch, 2, after=True)
                with pytest.raises(Killed):
                    run(made[name])
    return made


@pytest.mark.parametrize("state", ["finished", "killed"])
@pytest.mark.parametrize(("what", "change", "said"), CHANGES, ids=[c[0] for c in CHANGES])
def test_another_run_is_refused_by_the_name_of_what_differs(
    begun: dict[str, TrainRequest],
    state: str,
    what: str,
    change: dict[str, Any],
    said: str,
    tmp_path: Path,
) -> None:
    choice = begun[state]
    before = {path.name: path.read_bytes() for path in choice.out.iterdir()}
    if what == "items":
        change = {"data": write_data(tmp_path / "o.npz", scale=change["data"])}
    elif what == "labels":
        change = {"data": write_data(tmp_path / "o.npz", shift=change["data"])}
    with pytest.raises(InputError) as caught:
        train(replace(choice, **change))
    assert said in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert {path.name: path.read_bytes() for path in choice.out.iterdir()} == before


def test_files_without_a_record_are_nobodys(begun: dict[str, TrainRequest], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights.pt2").write_bytes(b"of someone")
    with pytest.raises(InputError, match=r"weights\.pt2, and no record of the run"):
        train(replace(begun["finished"], out=tmp_path / "run"))
    (tmp_path / "run" / "run.json").write_text('{"schema": "gencheck.train/1", "inputs": {}}')
    with pytest.raises(InputError, match=r"run\.json, weights\.pt2, and no record of the run"):
        train(replace(begun["finished"], out=tmp_path / "run"))
    (tmp_path / "run" / "started.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="no record of the run"):
        train(replace(begun["finished"], out=tmp_path / "run"))
    assert (tmp_path / "run" / "weights.pt2").read_bytes() == b"of someone"


@pytest.mark.parametrize("damage", ["other", "cut", "absent"])
@pytest.mark.parametrize("name", ["gates.pt2", "weights.pt2", "split.npz", "run.json"])
def test_every_reader_refuses_files_that_are_not_the_runs(
    begun: dict[str, TrainRequest], tmp_path: Path, name: str, damage: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(begun["finished"].out, folder)
    file = folder / name
    if damage == "absent":
        file.unlink()
    elif damage == "cut" or name == "run.json":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    data = begun["finished"].data
    for command in (
        ["concentrate", folder, data],
        ["data-indep", "--checkpoint", folder, "--data", data],
        ["compare", folder, data],
    ):
        result = runner.invoke(app, [str(word) for word in command])
        assert result.exit_code == 2, result.output
        assert name in result.stderr
        assert "required" in result.stderr


@pytest.mark.parametrize(
    "digests",
    [None, {}, {"gates.pt2": "0"}, {"/dev/zero": "0"}, {"weights.pt2": 1, "split.npz": []}],
)
def test_a_record_without_digests_is_refused(
    begun: dict[str, TrainRequest], tmp_path: Path, digests: object
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(begun["finished"].out, folder)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"digests": digests}))
    with pytest.raises(InputError, match=r"run\.json: found digests of"):
        read_run_folder(folder)


@pytest.mark.usefixtures("quick")
def test_states_are_checked_before_they_are_read(choice: TrainRequest) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 3, after=True)
        with pytest.raises(Killed):
            run(choice)
    state = choice.out / "standard.state"
    raw = bytearray(state.read_bytes())
    raw[-100] ^= 1
    state.write_bytes(raw)
    with pytest.raises(InputError, match=r"its checksum does not match.*--overwrite"):
        train(choice)
    run(replace(choice, overwrite=True))
    assert weights(choice.out)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(v, two[name]) for name, v in one.items())


def _command(choice: TrainRequest) -> list[str]:
    words = ["train", "--data", choice.data, "--arch", choice.architecture, "--out", choice.out]
    words += [
        "--two-phase",
        "--alpha",
        "0.5",
        "--epochs",
        "6",
        "--batch-size",
        "8",
        "--holdout",
        "0.2",
    ]
    return [str(word) for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [500, 6_000, 16_000])
def test_files_that_may_not_grow(choice: TrainRequest, limit: int) -> None:
    """RLIMIT_FSIZE stops a write half-way, as a full disk does."""
    running = started(_command(choice), Path.cwd(), largest_file=limit)
    _, stderr = running.communicate()
    assert running.returncode == 2, stderr
    assert "File too large" in stderr
    assert "Traceback" not in stderr
    with pytest.raises(InputError, match=r"without a sound run\.json"):
        read_run_folder(choice.out)
    assert runner.invoke(app, _command(choice)).exit_code == 0
    assert read_run_folder(choice.out)


@pytest.mark.slow
def test_killed_at_a_hundred_random_moments(choice: TrainRequest) -> None:
    """SIGKILL of the command itself, whatever it is doing, and the same command again until it ends."""

    def run(choice: TrainRequest) -> Command:
        return started(_command(choice), Path.cwd())

    # the first has to wait for the server of processes, which would lengthen every wait below
    run(replace(choice, out=choice.out.with_name("first"))).communicate()
    whole = replace(choice, out=choice.out.with_name("whole"))
    began = time.monotonic()
    run(whole).communicate()
    length = time.monotonic() - began
    expected = read_run_folder(whole.out).record["digests"]
    dice, killed = random.Random(0), 0
    while killed < 100:
        process = run(choice)
        process.wait(dice.uniform(0, 1.2 * length))
        if process.poll() is None:
            killed += 1
        else:
            assert process.poll() == 0
        process.kill()
        if not (choice.out / "run.json").exists():
            if choice.out.exists():
                with pytest.raises(InputError, match=r"without a sound run\.json"):
                    read_run_folder(choice.out)
        else:
            record = read_run_folder(choice.out).record
            for name in ("gates.safetensors", "weights.safetensors"):
                assert record["digests"][name] == expected[name]
            shutil.rmtree(choice.out)
    run(choice).communicate()
    assert (
        read_run_folder(choice.out).record["digests"]["weights.safetensors"]
        == (expected["weights.safetensors"])
    )
