"""The same figures on a CUDA device."""

import pytest
import torch

from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.factors import forward
from gencheck.spectral.kernel.gram import gram_matrix
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
