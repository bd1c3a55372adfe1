"""`--cache DIR` as users call it: killed at any moment, harmed, shared, full, or not there at all."""

import contextlib
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from tests.cases import zoo_program
from tests.processes import started

pytestmark = pytest.mark.slow

_ITEMS = 350
_SHAPE = (1, 4, 4)


def write_case(folder: Path, scale: float = 1.0, count: int = _ITEMS) -> Path:
    """A convolutional network as a program, and data: by default for 66 tiles."""
    folder.mkdir(exist_ok=True)
    (folder / "m.pt2").write_bytes(zoo_program("overlapping_padded_max_pool"))
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name in ("train", "test"):
        arrays[f"x_{name}"] = scale * generator.normal(size=(count, *_SHAPE)).astype(np.float32)
        arrays[f"y_{name}"] = generator.integers(2, size=count)
    np.savez(folder / "d.npz", **arrays)
    return folder


def options_of(*options: str) -> list[str]:
    few = ("--beta2-budget", "0", "--permutations", "9")
    return ["concentrate", "m.pt2", "d.npz", "--json", "--tile", "64", *few, *options]


def run(folder: Path, *options: str) -> Any:
    """A run in this process; the ones to be killed or limited have processes of their own."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, options_of(*options))


def document(folder: Path, *options: str) -> dict[str, Any]:
    done = run(folder, *options)
    assert done.exit_code == 0, done.stderr
    doc: dict[str, Any] = json.loads(done.stdout)
    return doc


def lasting(doc: dict[str, Any]) -> str:
    """The document, to the byte, but for how long things took."""
    return json.dumps({key: value for key, value in doc.items() if key != "timing"})


def figures(doc: dict[str, Any]) -> str:
    return lasting({key: value for key, value in doc.items() if key != "inputs"})


def tiles(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.tile"))


@pytest.mark.parametrize("executor", ["matrix", "bits"])
def test_killed_at_any_moment_a_run_goes_on_to_the_same_document(
    tmp_path: Path, executor: str
) -> None:
    dice = random.Random(f"kills {executor}")
    options = ("--cache", "cache", "--executor", executor)
    calm = document(write_case(tmp_path / "calm"), *options)
    folder = write_case(tmp_path / "killed")
    assert calm["timing"]["tiles"]["reused"] == 0
    whole = calm["timing"]["tiles"]["computed"]
    for share in (0.0, 0.01, 0.2, 0.5, 0.9):
        running = started(options_of(*options), folder)
        while running.poll() is None and len(tiles(folder / "cache")) < share * whole:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        running.kill()
    before = len(tiles(folder / "cache"))
    resumed = document(folder, *options)
    assert before >= 0.9 * whole
    assert resumed["timing"]["tiles"]["reused"] >= before
    assert resumed["timing"]["tiles"]["rejected"] == 0
    assert lasting(resumed) == lasting(calm)


def test_harm_is_reported_and_repaired(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case")
    calm = document(folder, "--cache", "cache")
    flipped, cut, empty, foreign, stranger, left = tiles(folder / "cache")[::10][:6]
    raw = bytearray(flipped.read_bytes())
    raw[len(raw) // 2] ^= 1
    flipped.write_bytes(raw)
    cut.write_bytes(cut.read_bytes()[:-1])
    empty.write_bytes(b"")
    foreign.write_bytes(left.read_bytes())
    # a sound tile of the same place in another run, under this run's name
    other = document(write_case(tmp_path / "other", scale=1.1), "--cache", "cache")
    place = "-" + stranger.name.partition("-")[2]
    (same,) = (path for path in tiles(tmp_path / "other" / "cache") if path.name.endswith(place))
    assert same.name != stranger.name
    same.replace(stranger)
    done = run(folder, "--cache", "cache")
    assert done.exit_code == 0, done.stderr
    doc = json.loads(done.stdout)
    for path in (flipped, cut, empty, foreign, stranger):
        assert f"{path.name}: a damaged or foreign tile; it is computed again" in done.stderr
    whole = calm["timing"]["tiles"]["computed"]
    assert doc["timing"]["tiles"] == {"reused": whole - 5, "computed": 5, "rejected": 5}
    assert lasting(doc) == lasting(calm)
    assert figures(other) != figures(calm)
    again = document(folder, "--cache", "cache")
    assert again["timing"]["tiles"] == {"reused": whole, "computed": 0, "rejected": 0}


def test_what_changes_the_matrix_reuses_nothing(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", count=130)
    document(folder, "--cache", "cache")

    def reused(*options: str) -> int:
        doc = document(folder, "--cache", "cache", *options)
        # the same figures as without any cache
        assert figures(doc) == figures(document(folder, *options))
        return int(doc["timing"]["tiles"]["reused"])

    assert reused() > 0
    assert reused("--dtype", "float64") == 0
    assert reused("--tile", "96") == 0
    assert reused("--limit", "110") == 0
    with np.load(folder / "d.npz") as archive:
        arrays = dict(archive)
    # one number of one item, to its last bit
    changed = arrays["x_test"].ravel()
    changed[-1] = np.nextafter(changed[-1], np.float32(np.inf))
    np.savez(folder / "d.npz", **arrays)
    assert reused() == 0


def test_runs_at_once_share_a_cache(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case")
    options = ("--cache", "cache")
    three = [started(options_of(*options), folder) for _ in range(3)]
    ended = [running.communicate() for running in three]
    assert [running.returncode for running in three] == [0, 0, 0], ended
    assert len({lasting(json.loads(stdout)) for stdout, _ in ended}) == 1
    assert {stderr for _, stderr in ended} == {""}
    assert not list((folder / "cache").glob("*.partial"))
    after = document(folder, *options)
    assert after["timing"]["tiles"]["computed"] == after["timing"]["tiles"]["rejected"] == 0
    assert lasting(after) == lasting(json.loads(ended[0][0]))


def test_what_killed_runs_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case")
    cache = folder / "cache"
    cache.mkdir()
    for name, age in (("old.tile.1.1.partial", 3700), ("new.tile.2.2.partial", 3000)):
        (cache / name).write_bytes(b"half a tile")
        os.utime(cache / name, (time.time() - age,) * 2)
    (cache / "notes.txt").write_text("the user's own")
    os.utime(cache / "notes.txt", (0, 0))
    document(folder, "--cache", "cache")
    left = sorted(path.name for path in cache.iterdir() if path.suffix != ".tile")
    assert left == ["new.tile.2.2.partial", "notes.txt"]


@pytest.mark.parametrize("place", ["d.npz", "d.npz/below", "/proc/nonexistent", "m.pt2"])
def test_a_place_that_cannot_be_written_is_exit_2(tmp_path: Path, place: str) -> None:
    folder = write_case(tmp_path / "case")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run(folder, "--cache", place, "--output", "o.json")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"--cache {place}: found " in done.stderr
    assert "required: a folder that can be made and written" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_tile_that_does_not_fit_is_exit_2_and_leaves_no_half(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case")
    # the last tiles of 64 items are small enough to be written
    options = ("--cache", "cache", "--executor", "matrix", "--tile", "64")
    running = started(options_of(*options), folder, largest_file=4096)
    stdout, stderr = running.communicate()
    assert running.returncode == 2, stderr
    assert stdout == ""
    assert "--cache cache/" in stderr
    assert "found File too large" in stderr
    assert "Traceback" not in stderr
    assert not list((folder / "cache").glob("*.partial"))
    # the tiles before it are sound
    done_before = len(tiles(folder / "cache"))
    assert done_before > 0
    doc = document(folder, *options)
    assert doc["timing"]["tiles"]["reused"] == done_before
    assert doc["timing"]["tiles"]["rejected"] == 0
