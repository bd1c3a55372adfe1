"""The landmark intervals against brute force on explicit path features."""

import numpy as np
import pytest
import torch

from gencheck.network.terms import kernel_program
from gencheck.spectral.beta1.landmarks import LandmarkIntervals, landmark_intervals, upper_end
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.cross_kernel import CrossKernel
from gencheck.spectral.kernel.forward import forward
from tests.cases import Case, random_case
from tests.networks import ZOO


def intervals(case: Case, count: int, seed: int = 0) -> LandmarkIntervals:
    items = torch.cat([case.sample.items, case.reference.items])
    factors, _ = forward(case.subject.network, items, 8)
    targets = torch.cat([case.sample.targets, case.reference.targets])
    difference = Difference(len(case.sample.items), targets)
    kernel = CrossKernel(kernel_program(case.subject.network), factors)
    return landmark_intervals(
        kernel, difference.weights(), difference.target_weights(), count, seed
    )


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("count", [2, 7, 22, 50])
def test_intervals_contain_the_truth(name: str, count: int) -> None:
    case = random_case(name)
    truth = case.truth()
    found = intervals(case, count)
    weights = Difference(len(case.sample.items), torch.zeros(len(found.products), 1)).weights()
    scale = 2.0**found.exponent
    beta1 = max(truth.beta1, 0.0)
    assert found.lower * scale <= beta1 * (1 + 1e-7) + 1e-9
    assert found.upper * scale >= beta1 * (1 - 1e-7) - 1e-9
    assert float(weights @ found.products.square()) == pytest.approx(
        found.lower, rel=1e-6, abs=1e-9 * abs(found.upper)
    )
    squares = truth.v_l2**2
    assert (found.squares_lower.numpy() * scale <= squares * (1 + 1e-7) + 1e-12).all()
    assert (found.squares_upper.numpy() * scale >= squares * (1 - 1e-7) - 1e-12).all()
    if count >= 22:
        # every item is a landmark: nothing is left out
        assert found.upper - max(found.lower, 0.0) <= 1e-3 * found.upper + 1e-9
        assert found.lower * scale == pytest.approx(truth.beta1, rel=1e-5, abs=1e-7)


def test_more_landmarks_never_lower_the_lower_end_by_much() -> None:
    """Spans are chosen anew, so ends need not be monotone; from 4 to 20 of 60 they must improve."""
    case = random_case("four_hidden", m=30, n=30)
    few, many = intervals(case, 4), intervals(case, 20)
    assert many.upper - many.lower < few.upper - few.lower


def test_rectangles_are_parts_of_the_kernel() -> None:
    for name in ("one_hidden_bias", "conv_pool", "residual"):
        case = random_case(name)
        items = torch.cat([case.sample.items, case.reference.items])
        factors, _ = forward(case.subject.network, items, 8)
        kernel = CrossKernel(kernel_program(case.subject.network), factors)
        truth = case.truth().kernel
        rows, columns = torch.tensor([3, 0, 21, 7]), torch.tensor([5, 5, 1])
        part = kernel.between(rows, columns).numpy() * 2.0**kernel.exponent
        np.testing.assert_allclose(part, truth[np.ix_(rows, columns)], rtol=1e-9)
        diagonal = kernel.diagonal().numpy() * 2.0**kernel.exponent
        np.testing.assert_allclose(diagonal, np.diag(truth), rtol=1e-9)


def test_the_upper_end_solves_its_equation() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = random.normal(size=(2, 5, 5))
        operator, cross = torch.from_numpy(a + a.T), torch.from_numpy(b @ b.T * 0.1)
        rest = abs(float(random.normal()))
        top = float(torch.linalg.eigvalsh(operator)[-1])
        end = upper_end(operator, cross, rest, top)
        inside = float(torch.linalg.eigvalsh(operator + cross / (end - rest))[-1])
        assert inside <= end * (1 + 1e-9)
        lower = end * (1 - 1e-3)
        if lower > max(rest, top):
            assert float(torch.linalg.eigvalsh(operator + cross / (lower - rest))[-1]) >= lower
