"""The same figures on a CUDA device."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.errors import InputError
from gencheck.network.algebra import gated_logits, logits
from gencheck.network.scaled import Unscaled
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.executors import MatrixExecutor
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.process_ranks import ProcessRanks
from gencheck.spectral.ranks import ALONE
from tests.cases import random_case
from tests.networks import ZOO

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize("name", ZOO)
def test_every_figure_is_that_of_enumeration(name: str) -> None:
    case = random_case(name)
    truth = case.truth()
    options = AuditOptions(
        device="cuda", dtype=torch.float64, tile=5, batch_size=4, beta2_budget=100.0
    )
    result = audit(case.subject, case.sample, case.reference, "classification", options)
    assert float(result.beta1.value) == pytest.approx(max(truth.beta1, 0.0), rel=1e-9, abs=1e-12)
    assert result.beta2.value == pytest.approx(truth.v_sup.max(), rel=1e-9)
    assert float(result.bound.value) == pytest.approx(truth.bound, rel=1e-9)


@pytest.mark.parametrize("way", ["float32", "int8"])
@pytest.mark.parametrize("name", ["four_hidden", "conv_pool", "residual", "tokens"])
def test_every_way_of_overlaps_has_the_bits_of_the_host(name: str, way: str) -> None:
    """Gates of 0 and 1 are whole numbers, and so are these items: sums of them are exact."""
    case = random_case(name)
    network = case.subject.network
    generator = torch.Generator().manual_seed(0)
    items = torch.randint(0, 3, (60, *network.input_shape), generator=generator).float()
    program = kernel_program(network)
    factors, _ = forward(network, items, 16)
    host = gram_matrix(program, factors, 16).dense()
    there = Factors(
        factors.items.cuda(),
        {key: replace(p, stored=p.stored.cuda()) for key, p in factors.planes.items()},
    )
    assert torch.equal(gram_matrix(program, there, 16, overlaps=way).dense().cpu(), host)


@pytest.mark.parametrize("storage", ["memory", "recompute", "disk"])
def test_every_place_of_the_tiles_gives_the_same_bits(storage: str, tmp_path: Path) -> None:
    case = random_case("conv_pool")
    items = torch.cat([case.sample.items, case.reference.items]).float().cuda()
    program = kernel_program(case.subject.network)
    factors, _ = forward(case.subject.network, items, 16)
    cache = TileCache(tmp_path, print) if storage == "disk" else None
    found = gram_matrix(program, factors, 4, cache=cache, storage=storage)
    assert torch.equal(found.dense(), gram_matrix(program, factors, 4).dense())


def test_counted_bits_are_refused() -> None:
    case = random_case("conv_pool")
    options = AuditOptions(device="cuda", executor="bits")
    with pytest.raises(InputError, match="--executor: found bits"):
        audit(case.subject, case.sample, case.reference, "classification", options)


def test_nothing_waits_inside_a_pass_or_a_tile() -> None:
    """torch itself raises where the host would wait for the device."""
    network = random_case("conv_pool").subject.network
    items = torch.randn((32, *network.input_shape)).cuda()
    factors, _ = forward(network, items, 16)
    work = MatrixExecutor(kernel_program(network), factors, 8, 2**20)
    left, right = work.prepared(slice(0, 8)), work.prepared(slice(8, 16))
    out = items.new_empty((8, 8))
    for mode in ("default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            watch = Unscaled(items)
            _, planes = logits(network, items, watch)
            gated_logits(network, items, planes, watch)
            left, right = work.prepared(slice(0, 8)), work.prepared(slice(8, 16))
            work.fill(left, slice(0, 8), right, slice(0, 8), same=False, out=out)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.distributed.is_nccl_available(), reason="torch is built without NCCL")
def test_collectives_of_one_rank_over_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}.items():
        monkeypatch.setenv(name, value)
    ranks = ProcessRanks(0, 1, "cuda", 1)
    generator = torch.Generator().manual_seed(0)
    lanes = torch.randn((24, 50, 3), generator=generator, dtype=torch.float64).cuda()
    summed = ranks.summed(24, lambda lane: lanes[lane].clone(), lanes[0])
    assert torch.equal(summed, ALONE.summed(24, lambda lane: lanes[lane].clone(), lanes[0]))
    assert torch.equal(ranks.joined(lanes[0].clone()), lanes[0])
    whole = lanes[0].clone()
    ranks.completed(whole, [slice(0, 50)])
    assert torch.equal(whole, lanes[0])
    ranks.require_agreement({"items": "the same"})
    ranks.leave()


@pytest.mark.parametrize("name", ["four_hidden", "conv_pool", "residual"])
def test_whole_numbers_stay_exact_in_float32(name: str) -> None:
    case = random_case(name)
    shape = case.subject.network.input_shape
    items = torch.randint(-3, 4, (40, *shape)).float().cuda()
    program = kernel_program(case.subject.network)
    factors, _ = forward(case.subject.network, items, 16)
    narrow = gram_matrix(program, factors, 16).dense().double()
    wide = type(factors)(factors.items.double(), factors.planes)
    assert torch.equal(narrow, gram_matrix(program, wide, 16).dense())
