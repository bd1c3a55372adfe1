"""DARC and DARC1 against cases worked by hand, all sign patterns, and finite differences."""

import itertools

import pytest
import torch

import gencheck
from gencheck.errors import InputError

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [3.0, 1.0, -4.0]])


def test_darc1_by_hand() -> None:
    # column sums of magnitudes: 4, 3, 4.5
    assert gencheck.DARC1(0.1)(LOGITS).item() == pytest.approx(0.1 * 4.5 / 2)
    assert gencheck.DARC1(0.0)(LOGITS).item() == 0


def test_darc_is_the_mean_over_signs() -> None:
    exact = [
        max(sum(s * h for s, h in zip(signs, column, strict=True)) for column in LOGITS.T.tolist())
        for signs in itertools.product((-1, 1), repeat=2)
    ]
    generator = torch.Generator().manual_seed(0)
    estimate = gencheck.DARC(0.1, draws=20_000, generator=generator)(LOGITS).item()
    # the standard error of 20 000 draws is below 0.002
    assert estimate == pytest.approx(0.1 * sum(exact) / 4 / 2, abs=0.006)
    assert gencheck.DARC(1.0, draws=50)(LOGITS).item() <= gencheck.DARC1(1.0)(LOGITS).item()


def test_darc_draws_are_seeded_by_the_generator() -> None:
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    made = [
        gencheck.DARC(1.0, 3, torch.Generator().manual_seed(seed))(logits) for seed in (0, 0, 1)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_gradients() -> None:
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(gencheck.DARC1(0.3), (logits,))

    def darc(values: torch.Tensor) -> torch.Tensor:
        return gencheck.DARC(0.3, 4, torch.Generator().manual_seed(3))(values)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(darc, (logits,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """4096 logits of 100 sum to 409 600, past the largest float16."""
    logits = torch.full((4096, 3), 100.0).to(dtype).requires_grad_()
    loss = gencheck.DARC1(1.0)(logits)
    assert loss.item() == pytest.approx(100.0)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype
    assert torch.isfinite(logits.grad).all()
    generator = torch.Generator().manual_seed(0)
    assert torch.isfinite(gencheck.DARC(1.0, 8, generator)(logits))


@pytest.mark.parametrize(
    ("logits", "found"),
    [
        (torch.zeros(3), r"shape \(3,\)"),
        (torch.zeros(0, 3), r"shape \(0, 3\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "int64"),
    ],
)
def test_refused_logits(logits: torch.Tensor, found: str) -> None:
    for term in (gencheck.DARC1(1.0), gencheck.DARC(1.0)):
        with pytest.raises(InputError, match=found):
            term(logits)


def test_refused_settings() -> None:
    for lam in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="lam"):
            gencheck.DARC1(lam)
    with pytest.raises(InputError, match="draws"):
        gencheck.DARC(1.0, draws=0)
