"""Tiles on disk: reused to the last bit, survived by kills, checked before they are believed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gencheck.errors import InputError
from gencheck.network.program import Program
from gencheck.network.terms import kernel_program
from gencheck.spectral.cache import TileCache
from gencheck.spectral.factors import Factors, forward
from gencheck.spectral.gram import Gram, gram_matrix
from tests.cases import random_case
from tests.networks import build


def small(name: str = "conv_pool", scale: float = 1.0) -> tuple[Program, Factors]:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items]) * scale
    factors, _ = forward(case.subject.network, items, 8)
    return kernel_program(case.subject.network), factors


def run(folder: Path, tile: int = 6, **options: Any) -> tuple[Gram, TileCache, list[str]]:
    said: list[str] = []
    cache = TileCache(folder, said.append)
    program, factors = small(**options)
    return gram_matrix(program, factors, tile, cache=cache), cache, said


def same_bits(left: Gram, right: Gram) -> bool:
    pairs = zip(left.blocks, right.blocks, strict=True)
    return left.exponent == right.exponent and all(torch.equal(a, b) for a, b in pairs)


def test_a_second_run_takes_every_tile(tmp_path: Path) -> None:
    without = gram_matrix(*small(), 6)
    first, cache, _ = run(tmp_path)
    assert (cache.reused, cache.computed) == (0, len(without.tiles))
    second, cache, said = run(tmp_path)
    assert (cache.reused, cache.computed, cache.rejected) == (len(without.tiles), 0, 0)
    assert same_bits(first, without)
    assert same_bits(second, without)
    assert not said


@pytest.mark.parametrize(
    "change", [{"scale": 1.5}, {"tile": 7}, {"name": "overlapping_padded_max_pool"}]
)
def test_other_inputs_share_no_tile(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path)
    _, cache, said = run(tmp_path, **change)
    assert cache.reused == 0
    assert not said


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "foreign", "text"])
def test_a_tile_that_is_not_sound_is_reported_and_computed_again(tmp_path: Path, harm: str) -> None:
    first, _, _ = run(tmp_path)
    victim, other = sorted(tmp_path.glob("*.tile"))[:2]
    raw = bytearray(victim.read_bytes())
    if harm == "flip":
        raw[-3] ^= 16
    victim.write_bytes(
        {
            "flip": bytes(raw),
            "cut": bytes(raw[:-5]),
            "empty": b"",
            "foreign": other.read_bytes(),
            "text": b"no tile\n" * 40,
        }[harm]
    )
    second, cache, said = run(tmp_path)
    assert same_bits(first, second)
    assert cache.rejected == 1
    assert said == [f"{victim}: a damaged or foreign tile; it is computed again"]
    _, cache, said = run(tmp_path)
    assert (cache.rejected, said) == (0, [])


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    for name, age in (("old.partial", 7200), ("new.partial", 10)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    run(tmp_path)
    assert [p.name for p in tmp_path.glob("*.partial")] == ["new.partial"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--cache.*required: a folder that can be written"):
        TileCache(tmp_path / "file", print)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A run with some hundred tiles, in a folder of its own."""
    torch.manual_seed(0)
    module = build("depthwise_pointwise").float()
    torch.export.save(torch.export.export(module, (torch.randn(3, 2, 2, 2),)), tmp_path / "m.pt2")
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        x_train=generator.normal(size=(220, 2, 2, 2)).astype(np.float32),
        y_train=generator.integers(2, size=220),
        x_test=generator.normal(size=(230, 2, 2, 2)).astype(np.float32),
        y_test=generator.integers(2, size=230),
    )
    program = [sys.executable, "-m", "gencheck", "concentrate", "m.pt2", "d.npz", "--json"]
    return [*program, "--tile", "32", "--beta2-budget", "0"]


def finished(command: list[str], folder: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def figures(document: dict[str, Any]) -> str:
    kept = {key: value for key, value in document.items() if key not in {"timing", "inputs"}}
    return json.dumps(kept, sort_keys=True)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, command: list[str]) -> None:
    whole = finished(command, tmp_path)
    cache = tmp_path / "cache"
    for tiles in (1, 20, 60):
        running = subprocess.Popen(
            [*command, "--cache", str(cache)],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while running.poll() is None and len(list(cache.glob("*.tile"))) < tiles:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()
    before = len(list(cache.glob("*.tile")))
    resumed = finished(command, tmp_path, "--cache", str(cache))
    assert before >= 60
    assert resumed["timing"]["tiles"]["reused"] >= before
    assert resumed["timing"]["tiles"]["rejected"] == 0
    assert figures(resumed) == figures(whole)


@pytest.mark.slow
def test_two_runs_at_once_share_a_cache(tmp_path: Path, command: list[str]) -> None:
    cache = tmp_path / "cache"
    both = [
        subprocess.Popen(
            [*command, "--cache", str(cache)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    documents = [json.loads(running.communicate()[0]) for running in both]
    assert figures(documents[0]) == figures(documents[1])
    assert not list(cache.glob("*.partial"))
    after = finished(command, tmp_path, "--cache", str(cache))
    assert after["timing"]["tiles"]["computed"] == after["timing"]["tiles"]["rejected"] == 0
    assert figures(after) == figures(documents[0])


@pytest.mark.slow
def test_an_interrupted_run_leaves_a_sound_cache(tmp_path: Path, command: list[str]) -> None:
    cache = tmp_path / "cache"
    options = ["--cache", str(cache), "--output", "o.json"]
    running = subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while running.poll() is None and len(list(cache.glob("*.tile"))) < 5:
        time.sleep(0.002)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert not (tmp_path / "o.json").exists()
    assert not list(tmp_path.glob("*.tmp*"))
    assert not list(cache.glob("*.partial"))
    after = finished(command, tmp_path, *options)
    assert after["timing"]["tiles"]["reused"] >= 5
    assert after["timing"]["tiles"]["rejected"] == 0


def test_an_interrupt_while_loading_is_130(tmp_path: Path, command: list[str]) -> None:
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    # a fast machine may have finished
    assert running.returncode in {130, 0}, errors
    assert "Traceback" not in errors
