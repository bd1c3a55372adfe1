"""A Gram matrix in memory, on disk, or formed anew in every product: the same bits, and said which."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gencheck.audit.memory_plan import memory_plan
from gencheck.audit.options import AuditOptions
from gencheck.audit.result import ConcentrationResult
from gencheck.audit.run import audit
from gencheck.errors import InputError
from gencheck.progress import SilentProgress
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel
from tests.cases import random_case

# One that the kernel of matrix products takes in windows, and one that counts bits.
EXECUTORS = ["matrix", "bits"]


class Told(SilentProgress):
    """What the user is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def report(self, message: str) -> None:
        self.said.append(message)


def grams(folder: Path, executor: str) -> dict[str, Gram]:
    case = random_case("conv_pool")
    items = torch.cat([case.sample.items, case.reference.items]).float()
    kernel = PathKernel.of(case.subject.network, options=KernelOptions(executor, tile=5))
    made = {}
    for storage in ("memory", "disk", "recompute"):
        own = replace(kernel, options=replace(kernel.options, storage=storage))
        made[storage] = own.gram(items, TileCache(folder, print) if storage == "disk" else None)
    return made


@pytest.mark.parametrize("executor", EXECUTORS)
def test_wherever_it_is_kept_the_matrix_has_the_same_bits(tmp_path: Path, executor: str) -> None:
    made = grams(tmp_path, executor)
    right = torch.randn((22, 3), generator=torch.Generator().manual_seed(0)).double()
    held = made.pop("memory")
    assert isinstance(held.blocks, dict)
    for gram in made.values():
        assert torch.equal(gram.dense(), held.dense())
        assert torch.equal(gram.diagonal(), held.diagonal())
        for _ in range(2):
            assert torch.equal(gram.matmul(right), held.matmul(right))
        # one block, whichever is read: memory does not grow with the items
        first, last = gram.blocks[0], gram.blocks[len(gram.tiles) - 1]
        assert first.untyped_storage().data_ptr() == last.untyped_storage().data_ptr()


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_tile_that_vanishes_during_the_run_is_refused(tmp_path: Path, harm: str) -> None:
    gram = grams(tmp_path, "matrix")["disk"]
    victim = min(tmp_path.glob("*.tile"))
    if harm == "cut":
        victim.write_bytes(victim.read_bytes()[:-4])
    else:
        victim.unlink()
    found = "bytes of a tile" if harm == "cut" else "FileNotFoundError"
    with pytest.raises(InputError, match=f"--cache, .*{victim.name}: found .*{found}"):
        gram.matmul(torch.ones((22, 1)))


def answer(told: Told | None = None, **options: Any) -> ConcentrationResult:
    case = random_case("conv_pool")
    chosen = AuditOptions(dtype=torch.float64, tile=6, permutations=9, **options)
    sets = (case.sample, case.reference)
    return audit(case.subject, *sets, "classification", chosen, progress=told or Told())


def figures(result: ConcentrationResult) -> dict[str, Any]:
    timing = ("seconds", "pairs_per_second", "tiles", "kernel")
    return {name: value for name, value in vars(result).items() if name not in timing}


def test_what_does_not_fit_is_announced_and_gives_the_same_figures(tmp_path: Path) -> None:
    case = random_case("conv_pool")
    options = AuditOptions(dtype=torch.float64, tile=6, permutations=9)
    laid_out = PathKernel.of(
        case.subject.network, options=replace(options.kernel, layout_bytes=2**26)
    )
    plan = memory_plan(laid_out, 22, options)
    # without its gates, which go to disk first, and without a part of the matrix
    short = plan.total - plan.gates - 1
    calm, told = Told(), Told()
    whole = answer(calm)
    assert (whole.kernel.storage, calm.said) == ("memory", [])
    anew = answer(told, memory=short)
    assert anew.kernel.storage == "recompute"
    (said,) = told.said
    assert "for 22 items" in said
    assert "its tiles are formed anew in every product (--gram recompute)" in said
    streamed = answer(told, memory=short, cache=tmp_path)
    assert streamed.kernel.storage == "disk"
    assert "its tiles are read from --cache in every product" in told.said[1]
    assert figures(anew) == figures(streamed) == figures(whole)
    with pytest.raises(InputError, match=r"required: .*the Gram matrix.*--gram recompute does"):
        answer(memory=short, gram="memory")


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"gram": "disk"}, "--gram disk: found no folder"),
        ({"gram": "recompute", "cache": Path("here")}, "--gram recompute with --cache"),
        ({"gram": "recompute", "landmarks": 5}, "--landmarks with --gram recompute"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError, match=where):
        AuditOptions(**options).require_consistency()
