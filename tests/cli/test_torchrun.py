"""One audit on several processes: every figure to its last bit, and one end for all."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.memory_plan import memory_plan
from gencheck.audit.options import AuditOptions
from gencheck.cli import sharing
from gencheck.cli.app import app, command_names
from gencheck.cli.launch import SHARED, Launch, launch, require_shareable
from gencheck.errors import InputError
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.spectral.kernel.tiles import lanes_of, upper_tiles
from gencheck.spectral.ranks import ALONE, LANES, dealt
from gencheck.training import path_ridge, whole_kernel
from tests.cases import random_case, zoo_program
from tests.cli.torchrun_commands import few_items_are_many, on_rank, on_slow_rank
from tests.processes import forked, started

_ITEMS = 40

# Seconds after a fault in which all ranks have ended, however busy the machine.
_GENEROUS = 300.0


def write_case(folder: Path) -> None:
    """A network with a pool, and data of some dozens of tiles."""
    shape = tuple(random_case("conv_pool").sample.items.shape[1:])
    (folder / "m.pt2").write_bytes(zoo_program("conv_pool"))
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name in ("train", "test"):
        arrays[f"x_{name}"] = generator.normal(size=(_ITEMS, *shape)).astype(np.float32)
        arrays[f"y_{name}"] = generator.integers(2, size=_ITEMS)
    np.savez(folder / "d.npz", **arrays)


def write_many(folder: Path) -> None:
    """A narrow network, and sets of so many items that tiles of 1024 are several."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.export.save(torch.export.export(module, (torch.zeros(3, 6),)), folder / "narrow.pt2")
    generator = np.random.default_rng(0)

    def drawn(count: int, shift: float) -> tuple[Any, Any]:
        x = generator.normal(size=(count, 6)).astype(np.float32)
        return x + shift, x[:, :3].argmax(1)

    for name, shift in (("near", 0.0), ("far", 1.0), ("target", 0.0)):
        x, y = drawn(500, shift)
        np.savez(folder / f"{name}.npz", x=x, y=y)
    (x, y), (unseen, labels) = drawn(1400, 0.0), drawn(300, 0.0)
    np.savez(folder / "many.npz", x_train=x, y_train=y, x_test=unseen, y_test=labels)


def too_much_for_one(folder: Path) -> str:
    """A limit on memory below which one process has no room for its Gram matrix, and two have."""
    network = random_case("conv_pool").subject.network
    options = AuditOptions(tile=16, batch_size=16)
    kernel = PathKernel.of(network, options=replace(options.kernel, layout_bytes=2**26))
    plan = memory_plan(kernel, 2 * _ITEMS, options)
    return str(plan.total - plan.gates - plan.gram // 4)


def commands(folder: Path, memory: str) -> dict[str, list[str]]:
    common = [str(folder / "m.pt2"), str(folder / "d.npz"), "--json", "--tile", "16"]
    # time enough for β2 on the busiest machine: an interval that the clock ended would be another
    common = ["concentrate", *common, "--batch-size", "16", "--beta2-budget", "1000"]
    few = [*common, "--permutations", "0"]
    sets = [str(folder / name) for name in ("narrow.pt2", "near.npz", "far.npz")]
    reference = ["--reference", str(folder / "target.npz")]
    ridge = ["train", "--data", str(folder / "many.npz"), "--arch", "mlp:8", "--json"]
    ridge += ["--two-phase", "--solver", "ridge", "--alpha", "0.3", "--epochs", "1"]
    limited = ["--gram", "memory", "--memory", memory]
    return {
        "plain": [*common, "--permutations", "9", "--max-beta1", "1e-9"],
        "bits": [*few, "--executor", "bits"],
        "recompute": [*few, "--gram", "recompute", "--dtype", "float64", "--limit", "20"],
        "memory": [*few, *limited, "--cache", str(folder / "cache")],
        "plan": [*few, "--plan"],
        "rank": ["rank", *sets, *reference, "--permutations", "9", "--json"],
        "ridge": [*ridge, "--limit", "900", "--out", str(folder / "ridge-SIZE")],
        "iterated": [*ridge, "--ridge", "1e-4", "--out", str(folder / "iterated-SIZE")],
        "landmarks": [*few, "--landmarks", "5"],
        "other": ["val-bound", "--m-val", "100", "--n-models", "3", "--val-error", "0.1"],
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What each command gave on 1, 2 and 3 processes."""
    folder = tmp_path_factory.mktemp("ranks")
    write_case(folder)
    write_many(folder)
    asked = commands(folder, too_much_for_one(folder))
    results: dict[int, dict[str, Any]] = {1: {}}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        # what `few_items_are_many` sets, put back afterwards
        for module, name in ((path_ridge, "EXACT_LIMIT"), (whole_kernel, "PRECONDITIONING")):
            patched.setattr(module, name, getattr(module, name))
        few_items_are_many()
        for name, command in asked.items():
            done = CliRunner().invoke(app, [word.replace("SIZE", "1") for word in command])
            results[1][name] = {"code": done.exit_code, "stdout": done.stdout}
    torch.set_num_threads(threads)
    results[2] = on_ranks(folder, asked, 2, torchrun)
    results[3] = on_ranks(folder, asked, 3, as_torchrun)
    return results


def on_ranks(
    folder: Path, asked: dict[str, list[str]], size: int, start: Callable[[Path, int], None]
) -> dict[str, Any]:
    """What each command gave on so many processes."""
    listed = folder / f"{size}.json"
    listed.write_text(json.dumps(list(asked.values())), encoding="utf-8")
    start(listed, size)
    outcomes = json.loads(listed.with_suffix(".found").read_text(encoding="utf-8"))
    return dict(zip(asked, outcomes, strict=True))


def torchrun(listed: Path, size: int) -> None:
    """The listed commands on processes that torchrun starts; each takes seconds for it."""
    program = str(Path(__file__).with_name("torchrun_commands.py"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", str(size), program, str(listed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def as_torchrun(listed: Path, size: int) -> None:
    """The same on processes that have loaded everything, of which the first keeps the store."""
    running = [forked(on_rank, place, listed) for place in environments(size)]
    for process in running:
        process.join(_GENEROUS)
    assert [process.exitcode for process in running] == [0] * size


def environments(size: int) -> list[dict[str, str]]:
    """What torchrun puts into the environment of each of so many processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    return [where | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]


def figures(text: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(text).items() if name != "timing"}


@pytest.mark.distributed
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", ["plain", "bits", "recompute"])
def test_every_figure_has_the_bits_of_one_process(
    found: dict[int, dict[str, Any]], name: str, size: int
) -> None:
    alone, shared = found[1][name], found[size][name]
    assert shared["code"] == alone["code"] == (1 if name == "plain" else 0), shared["stderr"]
    assert figures(shared["stdout"]) == figures(alone["stdout"])
    assert json.loads(shared["stdout"])["timing"]["gram"]["ranks"] == size


@pytest.mark.distributed
@pytest.mark.parametrize("size", [2, 3])
def test_a_ranking_has_the_bits_of_one_process(found: dict[int, dict[str, Any]], size: int) -> None:
    alone, shared = found[1]["rank"], found[size]["rank"]
    assert shared["code"] == alone["code"] == 0, shared["stderr"]
    assert figures(shared["stdout"]) == figures(alone["stdout"])


@pytest.mark.distributed
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", ["ridge", "iterated"])
def test_a_ridge_solution_has_the_bits_of_one_process(
    found: dict[int, dict[str, Any]], name: str, size: int
) -> None:
    alone, shared = found[1][name], found[size][name]
    assert shared["code"] == alone["code"] == 0, shared["stderr"]
    docs = [figures(each["stdout"]) for each in (alone, shared)]
    for doc in docs:
        # programs hold when they were written; what they compute is in the figures
        doc["digests"] = {key: v for key, v in doc["digests"].items() if not key.endswith(".pt2")}
        assert doc["inputs"].pop("out") != ""
        assert "ridge.npz" in doc["digests"]
    assert docs[0] == docs[1]
    method = "eigenvectors" if name == "ridge" else "conjugate-gradients"
    assert docs[0]["ridge"]["solver"]["method"] == method


@pytest.mark.distributed
@pytest.mark.slow
def test_four_processes_too(found: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    write_case(tmp_path)
    asked = {"plain": commands(tmp_path, "1GiB")["plain"]}
    shared, alone = (
        {name: value for name, value in figures(text).items() if name != "inputs"}
        for text in (
            on_ranks(tmp_path, asked, 4, as_torchrun)["plain"]["stdout"],
            found[1]["plain"]["stdout"],
        )
    )
    assert shared == alone


@pytest.mark.distributed
def test_the_first_to_part_may_have_kept_the_store(tmp_path: Path) -> None:
    """Rank 0 keeps it here; torchrun would keep it itself."""
    write_case(tmp_path)
    listed = tmp_path / "listed.json"
    asked = [*commands(tmp_path, "1GiB")["plain"], "--plan"]
    listed.write_text(json.dumps([asked]), encoding="utf-8")
    first, second = environments(2)
    running = [forked(on_rank, first, listed), forked(on_slow_rank, second, listed)]
    for process in running:
        process.join(_GENEROUS)
    assert [process.exitcode for process in running] == [0, 0]


@pytest.mark.distributed
@pytest.mark.parametrize("size", [2, 3])
def test_a_plan_speaks_of_all_ranks(found: dict[int, dict[str, Any]], size: int) -> None:
    alone, shared = found[1]["plan"], found[size]["plan"]
    assert shared["code"] == alone["code"] == 0, shared["stderr"]
    one, several = json.loads(alone["stdout"]), json.loads(shared["stdout"])
    assert (one["work"]["ranks"], several["work"]["ranks"]) == (1, size)
    assert several["work"]["flops"] == one["work"]["flops"]
    assert one["bytes"]["sent"] == {"gates": 0, "product": 0}
    assert several["bytes"]["sent"]["gates"] > 0
    assert several["memory"]["gram"] == one["memory"]["gram"] // size


@pytest.mark.distributed
def test_tiles_of_two_processes_serve_three(found: dict[int, dict[str, Any]]) -> None:
    first, second = (json.loads(found[size]["memory"]["stdout"]) for size in (2, 3))
    every = len(upper_tiles(2 * _ITEMS, 16))
    assert first["timing"]["tiles"] == {"reused": 0, "computed": every, "rejected": 0}
    assert second["timing"]["tiles"] == {"reused": every, "computed": 0, "rejected": 0}
    assert first["beta1"] == second["beta1"]


@pytest.mark.distributed
def test_a_matrix_too_large_for_one_process_fits_two(found: dict[int, dict[str, Any]]) -> None:
    assert found[1]["memory"]["code"] == 2
    for size in (2, 3):
        done = found[size]["memory"]
        assert done["code"] == 0, done["stderr"]
        assert json.loads(done["stdout"])["timing"]["gram"]["storage"] == "memory"


@pytest.mark.distributed
def test_what_cannot_be_shared_is_refused(found: dict[int, dict[str, Any]]) -> None:
    landmarks, other = found[2]["landmarks"], found[2]["other"]
    assert landmarks["code"] == other["code"] == 2
    assert "torchrun with --landmarks: found both" in landmarks["stderr"]
    assert "torchrun: found 2 processes for gencheck val-bound" in other["stderr"]


def test_few_landmarks_are_not_shared() -> None:
    ranks = SimpleNamespace(size=2)
    plan = path_ridge.RidgeOptions(landmarks=20)
    with pytest.raises(InputError, match=r"20 landmarks for 980 items .* --landmarks 980"):
        plan.require_shareable(980, ranks)  # type: ignore[arg-type]
    plan.require_shareable(20, ranks)  # type: ignore[arg-type]
    plan.require_shareable(980, ALONE)


_TRANSFORM = """\
import os, pathlib, time

def same(item):
    if os.environ["RANK"] == "1":
        pathlib.Path("struck").write_text(str(time.time()))
        DO
    return item
"""


def ended(folder: Path, *options: str, own: list[str]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of two ranks, of which the second has options of its `own`."""
    common = ["concentrate", "m.pt2", "d.npz", "--json", "--tile", "16", "--permutations", "0"]
    running = [
        started([*common, *options, *more], folder, environment=place)
        for more, place in zip(([], own), environments(2), strict=True)
    ]
    outputs = [process.communicate(_GENEROUS) for process in running]
    return [(p.poll() or 0, *output) for p, output in zip(running, outputs, strict=True)]


@pytest.mark.distributed
@pytest.mark.parametrize("fault", ["error", "kill", "options"])
def test_a_fault_on_one_rank_ends_all(tmp_path: Path, fault: str) -> None:
    write_case(tmp_path)
    act = {"error": "raise ValueError('no such item')", "kill": "os.kill(os.getpid(), 9)"}
    (tmp_path / "own.py").write_text(_TRANSFORM.replace("DO", act.get(fault, "pass")))
    transform = ["--transform", "own:same"]
    own = ["--seed", "7", "--top", "3"] if fault == "options" else []
    (first, said, words), (second, nothing, others) = ended(tmp_path, *transform, own=own)
    # a run that hung would be here for ever; ten seconds are for a machine with nothing else to do
    assert time.time() - float((tmp_path / "struck").read_text()) < _GENEROUS
    assert not said
    assert not nothing
    assert first != 0
    if fault == "error":
        assert first == second == 2
        assert "rank 1: " in words
        assert "no such item" in words
        assert words.count("no such item") == 1
        assert "no such item" not in others
    elif fault == "kill":
        assert (first, second) == (4, -9)
        assert "torchrun: lost the connection to another rank" in words
    else:
        assert first == second == 2
        assert "that ranks 0 and 1 differ in seed, top" in words


def test_the_waits_for_the_other_ranks_add_up_to_less_than_ten_seconds() -> None:
    # until a failure is seen, until the rank's own error is told, and until all have heard it
    assert sharing._LOOK + 10 * sharing._LOOK + sharing._HEARD < 10


@pytest.mark.parametrize("command", [name for name in command_names() if name not in SHARED])
def test_every_other_command_is_refused(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than done by each process; before anything is read."""
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(InputError, match=f"found 2 processes for gencheck {command};"):
            require_shareable(command)


@pytest.mark.parametrize("words", ["demo", "config", "explain β1", "compare m.pt2 d.npz"])
def test_the_refusal_comes_before_the_command(
    words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "torchrun: found 2 processes for gencheck" in done.stderr
    assert not list(tmp_path.iterdir())


def test_lanes_hold_every_tile_once_and_about_as_many_pairs() -> None:
    for count, size in ((5, 16), (180, 16), (3000, 128), (10_000, 1024)):
        tiles = upper_tiles(count, size)
        lanes = lanes_of(tiles, LANES)
        assert [number for lane in lanes for number in lane] == list(range(len(tiles)))
        assert 1 <= len(lanes) <= LANES
        for ranks in (2, 3, 4):
            shares = [
                sum(tiles[n].shape[0] * tiles[n].shape[1] for lane in part for n in lanes[lane])
                for part in dealt(len(lanes), ranks)
            ]
            if count >= 3000:
                assert max(shares) <= 1.06 * sum(shares) / ranks


def test_how_a_process_knows_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert launch() == Launch(0, 1, 0, 1)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert launch() == Launch(1, 3, 1, 3)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch() == Launch(0, 1, 0, 1)
