"""What must not change the result, and what must always hold, on random networks and data."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.result import ConcentrationResult
from gencheck.audit.run import audit
from gencheck.bounds.magnitude import Magnitude
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from tests.cases import random_case, zoo_subject
from tests.networks import ZOO, build

DOUBLE = AuditOptions(dtype=torch.float64, beta2_budget=100.0)
few = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def figures(result: ConcentrationResult) -> np.ndarray:
    """The figures that every invariance speaks of."""
    magnitudes = [result.beta1.value, *result.v_l2, result.bound.value, result.tightest.value]
    plain = [result.beta2.lower, result.beta2.upper, result.beta3, result.gap.gap]
    return np.array([*map(float, magnitudes), *plain])


def same(left: ConcentrationResult, right: ConcentrationResult) -> None:
    np.testing.assert_allclose(figures(left), figures(right), rtol=1e-9, atol=1e-10)


@few
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    bias=st.booleans(),
    slope=st.sampled_from([0.0, 0.1, 1.0]),
    counts=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    seed=st.integers(0, 10_000),
    budget=st.sampled_from([0.0, 10.0]),
)
def test_the_gap_is_within_both_bounds(
    widths: list[int],
    bias: bool,
    slope: float,
    counts: tuple[int, int],
    seed: int,
    budget: float,
) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in zip(widths, [*widths[1:], 3], strict=True):
        layers += [nn.Linear(before, after, bias=bias, dtype=torch.float64), nn.LeakyReLU(slope)]
    module = nn.Sequential(*layers[:-1])
    subject = model_of_module(module, [(widths[0],)])
    sets = [
        Labelled(
            torch.randn(count, widths[0], dtype=torch.float64),
            torch.eye(3, dtype=torch.float64)[torch.randint(3, (count,))],
        )
        for count in counts
    ]
    options = AuditOptions(dtype=torch.float64, beta2_budget=budget)
    result = audit(subject, sets[0], sets[1], "classification", options)
    room = 1e-9
    assert Magnitude.of(result.gap.gap - room) <= result.tightest.value
    assert Magnitude.of(float(result.tightest.value) - room) <= result.bound.value
    assert result.beta2.lower <= result.beta2.upper * (1 + 1e-12)
    assert result.gap.gap == pytest.approx(sum(result.gap.terms), abs=1e-9)


@few
@given(name=st.sampled_from(sorted(ZOO)), tile=st.integers(1, 30), batch=st.integers(1, 30))
def test_tiles_and_batches_do_not_matter(name: str, tile: int, batch: int) -> None:
    case = random_case(name)
    sets = (case.sample, case.reference, "classification")
    one = audit(case.subject, *sets, DOUBLE)
    options = AuditOptions(dtype=torch.float64, tile=tile, batch_size=batch)
    same(one, audit(case.subject, *sets, options))


@few
@given(name=st.sampled_from(sorted(ZOO)), seed=st.integers(0, 1000))
def test_the_order_of_items_does_not_matter(name: str, seed: int) -> None:
    case = random_case(name)
    generator = torch.Generator().manual_seed(seed)

    def mixed(labelled: Labelled) -> Labelled:
        order = torch.randperm(len(labelled.items), generator=generator)
        return Labelled(labelled.items[order], labelled.targets[order])

    one = audit(case.subject, case.sample, case.reference, "classification", DOUBLE)
    other = audit(case.subject, mixed(case.sample), mixed(case.reference), "classification", DOUBLE)
    same(one, other)


@few
@given(
    seed=st.integers(0, 1000),
    factors=st.lists(st.floats(0.01, 100), min_size=6, max_size=6),
)
def test_rescaling_a_neuron_does_not_matter(seed: int, factors: list[float]) -> None:
    """Scale a ReLU unit's inputs by c and its outputs by 1/c: the same function, the same paths."""
    name = "one_hidden_bias"
    module = build(name, seed)
    assert isinstance(module, nn.Sequential)
    first, _, last = module
    sets = [
        Labelled(
            torch.randn(n, 4, dtype=torch.float64),
            torch.eye(3, dtype=torch.float64)[torch.randint(3, (n,))],
        )
        for n in (7, 9)
    ]
    before = audit(zoo_subject(name, module), sets[0], sets[1], "classification", DOUBLE)
    scale = torch.tensor(factors, dtype=torch.float64)
    with torch.no_grad():
        first.weight.mul_(scale[:, None])
        first.bias.mul_(scale)
        last.weight.div_(scale)
    after = audit(zoo_subject(name, module), sets[0], sets[1], "classification", DOUBLE)
    same(before, after)
    for kind in ("l2_squared", "l1"):
        assert float(getattr(before.path_norms, kind)) == pytest.approx(
            float(getattr(after.path_norms, kind)), rel=1e-9
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ZOO)
def test_the_kernel_is_positive_semidefinite_to_rounding(name: str, dtype: torch.dtype) -> None:
    case = random_case(name, m=20, n=21)
    items = torch.cat([case.sample.items, case.reference.items]).to(dtype)
    factors, _ = forward(case.subject.network, items, 16)
    kernel = gram_matrix(kernel_program(case.subject.network), factors, 16).dense()
    # a GEMM may add up (i, j) and (j, i) in different orders
    torch.testing.assert_close(kernel, kernel.T)
    values = torch.linalg.eigvalsh(kernel.double())
    assert float(values[0]) >= -64 * torch.finfo(dtype).eps * float(values[-1])


def test_a_set_against_itself_has_nothing_to_show() -> None:
    case = random_case("skip")
    result = audit(case.subject, case.sample, case.sample, "classification", DOUBLE)
    assert float(result.beta1.value) == pytest.approx(0, abs=1e-7)
    assert result.beta2.value == pytest.approx(0, abs=1e-12)
    assert result.gap.gap == 0


def test_the_same_seed_gives_the_same_result_to_the_last_bit() -> None:
    case = random_case("three_hidden_batchnorm")
    options = AuditOptions(dtype=torch.float32, beta2_budget=0.0, seed=7)
    runs = [
        figures(audit(case.subject, case.sample, case.reference, "classification", options))
        for _ in range(2)
    ]
    assert np.array_equal(runs[0], runs[1])
