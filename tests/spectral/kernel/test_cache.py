"""Tiles on disk: reused to the last bit, checked before they are believed."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gencheck.errors import InputError
from gencheck.network.program import Program
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.gram import Gram
from tests.cases import random_case


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
    pairs = ((left.blocks[number], right.blocks[number]) for number in range(len(left.tiles)))
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
    with pytest.raises(
        InputError, match=r"--cache.*required: a folder that can be made and written"
    ):
        TileCache(tmp_path / "file", print)
