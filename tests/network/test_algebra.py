"""The laws of the algebras, and magnitudes past the range of floats."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gencheck.network.algebra import gated_logits, log2_l1, log2_l2_squared, log2_path_count, logits
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.network.ir import Network
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.evaluate import map_exponents
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from tests.cases import random_case
from tests.networks import ZOO


def deep(depth: int, width: int, bias: bool = True) -> Network:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(10, width, bias=bias)]
    for _ in range(depth - 1):
        layers += [nn.ReLU(), nn.Linear(width, width, bias=bias)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
    return lower(trace(nn.Sequential(*layers, nn.ReLU(), nn.Linear(width, 3)), (10,)))


@pytest.mark.parametrize("name", ZOO)
def test_outputs_are_linear_in_the_items_once_the_gates_are_held(name: str) -> None:
    network = random_case(name).subject.network
    x = torch.randn(4, *ZOO[name][1], dtype=torch.float64)
    _, planes = logits(network, x)

    def h(items: torch.Tensor) -> torch.Tensor:
        scaled = gated_logits(network, items, planes)
        return torch.ldexp(scaled.mantissa, torch.tensor(scaled.exponent))

    a, b = torch.randn_like(x), torch.randn_like(x)
    zero = h(torch.zeros_like(x))
    torch.testing.assert_close(h(a + 2 * b) - zero, (h(a) - zero) + 2 * (h(b) - zero))


@pytest.mark.parametrize("name", ZOO)
def test_norms_obey_cauchy_schwarz(name: str) -> None:
    network = random_case(name).subject.network
    l1, l2 = log2_l1(network), log2_l2_squared(network)
    count = log2_path_count(network)
    assert bool((2 * l1 <= l2 + count + 1e-9).all())
    assert bool((l2 <= 2 * l1 + 1e-9).all())


def test_a_hundred_wide_layers_count_their_paths() -> None:
    depth, width = 100, 512
    network = deep(depth, width, bias=False)
    expected = math.log2(10) + depth * math.log2(width)
    # the output layer of `deep` has a bias: one more path, far below rounding
    assert log2_path_count(network) == pytest.approx(expected, rel=1e-12)
    assert expected > 900


def test_a_hundred_wide_layers_have_a_finite_kernel() -> None:
    network = deep(100, 512)
    items = torch.randn(6, 10)
    factors, outputs = forward(network, items, 6)
    assert bool(torch.isfinite(outputs).all())
    program = kernel_program(network)
    gram = gram_matrix(program, factors, 4)
    kernel = gram.dense().double()
    assert bool(torch.isfinite(kernel).all())
    assert gram.exponent > 400
    # the logarithm of each self-product, layer by layer in log space
    reference = torch.log(items.double().square().sum(1) + 1)
    for plane in factors.planes.values():
        width = plane.values(slice(None)).sum(1).double()
        reference = torch.logaddexp(reference + width.log(), torch.zeros(()).double())
    ours = kernel.diagonal().log() + gram.exponent * math.log(2)
    np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-6)


def test_scaling_is_a_power_of_two_and_exact() -> None:
    case = random_case("two_hidden_leaky")
    network = case.subject.network
    items = torch.cat([case.sample.items, case.reference.items]).reshape(22, -1)
    factors, _ = forward(network, items * 2.0**30, 22)
    program = kernel_program(network)
    assert any(map_exponents(program, factors, 8))
    scaled = gram_matrix(program, factors, 8)
    z = random_case("two_hidden_leaky").truth()
    assert scaled.exponent > 0
    # all paths that start at the input grow by 2^30; the bias paths stay
    assert float(scaled.dense().abs().max()) * 2.0**scaled.exponent > z.kernel.max()


def test_gates_are_exact_integers_in_float32() -> None:
    case = random_case("four_hidden")
    network = case.subject.network
    whole = torch.randint(-3, 4, (30, 2)).float()
    factors, _ = forward(network, whole, 30)
    narrow = gram_matrix(kernel_program(network), factors, 8).dense().double()
    factors64, _ = forward(network, whole.double(), 30)
    wide = gram_matrix(kernel_program(network), factors64, 8).dense()
    assert torch.equal(narrow, wide)
