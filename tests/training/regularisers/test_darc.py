"""DARC and DARC1: by hand, by enumeration of all signs, by finite differences, in half precision."""

import copy
import itertools
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gencheck
from gencheck.errors import InputError


def exact(logits: Tensor) -> float:
    """(1/m) E_ξ[max_k Σ_i ξ_i h_k(x_i)] over all 2^m sign vectors, one by one."""
    rows = logits.double().tolist()
    total = 0.0
    for signs in itertools.product((-1, 1), repeat=len(rows)):
        total += max(
            math.fsum(sign * row[k] for sign, row in zip(signs, rows, strict=True))
            for k in range(len(rows[0]))
        )
    return total / 2 ** len(rows) / len(rows)


def test_darc1_by_hand() -> None:
    logits = torch.tensor([[1.0, -2.0], [-3.0, 0.5]])
    # columns: |1| + |−3| = 4 and |−2| + |0.5| = 2.5; times λ/m = 0.1/2
    assert gencheck.DARC1(0.1)(logits).item() == pytest.approx(0.1 * 4 / 2)
    assert gencheck.DARC1(0)(logits).item() == 0


def test_darc_by_hand() -> None:
    # one item: the sign is + or −, the supremum 5 or −2, the mean 1.5
    logits = torch.tensor([[5.0, 2.0]], dtype=torch.float64)
    assert exact(logits) == pytest.approx(1.5)
    values = {
        gencheck.DARC(1.0, 1, torch.Generator().manual_seed(seed))(logits).item()
        for seed in range(20)
    }
    assert values == {5.0, -2.0}


@pytest.mark.parametrize(("m", "k"), [(1, 3), (4, 1), (5, 4), (9, 10)])
def test_darc_estimates_the_mean_over_all_signs(m: int, k: int) -> None:
    logits = torch.randn((m, k), generator=torch.Generator().manual_seed(m), dtype=torch.float64)
    draws, calls = 500, 40
    darc = gencheck.DARC(0.7, draws, torch.Generator().manual_seed(1))
    values = torch.stack([darc(logits) for _ in range(calls)])
    error = values.std() / math.sqrt(calls)
    assert abs(values.mean().item() - 0.7 * exact(logits)) < 4.5 * error.item()


def test_one_call_takes_the_mean_over_its_draws() -> None:
    logits = torch.randn((6, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    signs = 2 * torch.randint(2, (50, 6), generator=torch.Generator().manual_seed(3)) - 1
    by_hand = sum(max((xi.double() @ logits).tolist()) for xi in signs) / 50 / 6
    darc = gencheck.DARC(2.0, 50, torch.Generator().manual_seed(3))
    assert darc(logits).item() == pytest.approx(2 * by_hand, rel=1e-12)


@settings(max_examples=50)
@given(m=st.integers(1, 8), k=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_darc1_is_never_less(m: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 10 * torch.randn((m, k), generator=generator, dtype=torch.float64)
    assert gencheck.DARC(1.0, 5, generator)(logits) <= gencheck.DARC1(1.0)(logits) + 1e-12
    assert exact(logits) <= gencheck.DARC1(1.0)(logits).item() + 1e-12


def test_gradients() -> None:
    logits = torch.randn((5, 4), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(gencheck.DARC1(0.3), (logits,))

    def darc(h: Tensor) -> Tensor:
        term: Tensor = gencheck.DARC(0.3, 7, torch.Generator().manual_seed(5))(h)
        return term

    assert torch.autograd.gradcheck(darc, (logits,))


def test_ties_share_the_gradient() -> None:
    logits = torch.tensor([[1.0, -1.0]], requires_grad=True)
    gencheck.DARC1(1.0)(logits).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_are_summed_in_float32(dtype: torch.dtype) -> None:
    # 4096 · 100 is past float16, and bfloat16 would stop counting ones at 256
    logits = torch.full((4096, 2), 100.0, dtype=dtype, requires_grad=True)
    value = gencheck.DARC1(1.0)(logits)
    assert value.dtype == torch.float32
    assert value.item() == 100.0
    value.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype
    assert torch.isfinite(logits.grad).all()
    wide = logits.detach().float()
    same = [
        gencheck.DARC(1.0, 3, torch.Generator().manual_seed(0))(h).item() for h in (logits, wide)
    ]
    assert same[0] == same[1]


def test_autocast_does_not_reach_the_sums() -> None:
    logits = 1 + torch.rand((3000, 4), generator=torch.Generator().manual_seed(0))
    outside = gencheck.DARC(1.0, 20, torch.Generator().manual_seed(0))(logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gencheck.DARC(1.0, 20, torch.Generator().manual_seed(0))(logits)
    assert inside.dtype == torch.float32
    assert inside.item() == outside.item()


def test_seeded_and_apart_from_the_global_generator() -> None:
    logits = torch.randn((8, 3), generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first, again = (
        [darc(logits).item(), darc(logits).item()]
        for darc in (gencheck.DARC(1.0, 2, torch.Generator().manual_seed(9)) for _ in range(2))
    )
    assert first == again
    assert first[0] != first[1]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    one = gencheck.DARC(1.0)(logits)
    torch.manual_seed(3)
    assert one.item() == gencheck.DARC(1.0)(logits).item()


def test_in_a_plain_loop_it_shrinks_the_outputs() -> None:
    def trained(lam: float) -> float:
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        items, labels = torch.randn(64, 5), torch.randint(3, (64,))
        term = gencheck.DARC1(lam)
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(100):
            optimiser.zero_grad()
            logits = model(items)
            (nn.functional.cross_entropy(logits, labels) + term(logits)).backward()
            optimiser.step()
        return gencheck.DARC1(1.0)(model(items)).item()

    assert trained(0.5) < 0.5 * trained(0.0)


def test_modules_print_copy_and_pickle() -> None:
    assert repr(gencheck.DARC1(0.001)) == "DARC1(lam=0.001)"
    assert repr(gencheck.DARC(0.5, 4)) == "DARC(lam=0.5, draws=4)"
    logits = torch.randn((8, 3), generator=torch.Generator().manual_seed(0))
    darc = gencheck.DARC(1.0, 2, torch.Generator().manual_seed(9))
    copies = (copy.deepcopy(darc), pickle.loads(pickle.dumps(darc)))
    value = darc(logits).item()
    assert [twin(logits).item() for twin in copies] == [value, value]
    assert not list(darc.parameters())


@pytest.mark.parametrize("lam", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("term", [gencheck.DARC, gencheck.DARC1])
def test_refused_lambda(term: type[nn.Module], lam: float) -> None:
    with pytest.raises(InputError, match=f"lam of {term.__name__}: found .*at least 0"):
        term(lam)


@pytest.mark.parametrize("draws", [0, -1, 1.5, True])
def test_refused_draws(draws: int) -> None:
    with pytest.raises(InputError, match=r"draws of DARC: .*whole number of at least 1"):
        gencheck.DARC(1.0, draws)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(3), r"shape \(3,\).*flatten"),
        (torch.zeros(2, 3, 4), r"shape \(2, 3, 4\)"),
        (torch.zeros(0, 3), r"shape \(0, 3\).*both at least 1"),
        (torch.zeros(3, 0), r"shape \(3, 0\)"),
        (torch.zeros(3, 2, dtype=torch.int64), "torch.int64.*floating-point"),
        ([[1.0]], "list.*floating-point"),
    ],
)
@pytest.mark.parametrize("term", [gencheck.DARC, gencheck.DARC1])
def test_refused_outputs(term: type[nn.Module], logits: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"logits given to {term.__name__}: found {message}"):
        term(1.0)(logits)
