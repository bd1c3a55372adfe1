"""‖z‖² ≤ B for every input and weight, and B is reached where every gate opens that can."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.errors import InputError
from gencheck.network import ir
from gencheck.network.algebra import log2_path_count
from gencheck.network.features import (
    require_unit_gates,
    squared_feature_norm,
    starts_at_constants,
)
from gencheck.network.node import Node
from tests.brute import enumerate_paths
from tests.cases import random_case
from tests.networks import ZOO

# Gates of these stay below 1, or open only where values are small.
NEVER_ALL_OPEN = {"hardtanh", "silu", "gelu", "gelu_tanh", "tanh"}


def reweighted(network: ir.Network, seed: int | None) -> ir.Network:
    """The network with other weights: random ones, or 1 everywhere."""
    generator = torch.Generator().manual_seed(seed or 0)

    def other(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or seed is None:
            return None if tensor is None else torch.ones_like(tensor)
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    nodes: list[Node] = []
    for node in network.nodes:
        match node:
            case ir.Dense() | ir.Conv():
                nodes.append(replace(node, weight=other(node.weight), bias=other(node.bias)))
            case ir.Affine():
                nodes.append(replace(node, scale=other(node.scale), shift=other(node.shift)))
            case ir.AvgPool():
                nodes.append(replace(node, constants=other(node.constants)))
            case _:
                nodes.append(node)
    return ir.Network(tuple(nodes))


def bound(network: ir.Network, largest: float) -> float:
    value, exponent = squared_feature_norm(network, largest)
    return math.ldexp(value, exponent)


def norms(network: ir.Network, items: np.ndarray) -> np.ndarray:
    return (enumerate_paths(network, items)[0] ** 2).sum(1)


@pytest.mark.parametrize("name", [name for name in ZOO if name != "steep_prelu"])
def test_no_input_and_no_weights_exceed_it(name: str) -> None:
    network = random_case(name).subject.network
    random = np.random.default_rng(0)
    width = network.widths[0]
    for seed in range(6):
        largest = float(random.uniform(0.3, 3))
        corners = random.choice([-largest, largest], (10, width))
        corners[0] = largest
        items = np.concatenate([corners, random.uniform(-largest, largest, (10, width))])
        other = reweighted(network, seed)
        limit = bound(other, largest)
        assert norms(other, items).max() <= limit * (1 + 1e-12)
        # it depends on the architecture alone
        assert limit == bound(network, largest)


@pytest.mark.parametrize("name", ZOO)
def test_it_is_reached_where_every_gate_opens(name: str) -> None:
    """With weights and inputs 1 a unit's value is its number of open paths, so the fullest tap wins."""
    network = reweighted(random_case(name).subject.network, None)
    reached = norms(network, np.ones((1, network.widths[0])))[0]
    if NEVER_ALL_OPEN & set(network.operations()):
        assert reached < bound(network, 1.0)
    else:
        assert reached == bound(network, 1.0)


def test_a_max_pool_counts_one_tap_and_a_clamp_one_state() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 4, bias=False)
            self.head = nn.Linear(2, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            h = nn.functional.hardtanh(self.first(x), -1.0, 1.0)
            return self.head(nn.functional.max_pool1d(h[:, None, :], 2).flatten(1))

    network = model_of_module(Both(), [(3,)]).network
    # two windows, one tap of each, inside with three inputs of at most 4 or saturated with 1
    assert bound(network, 2.0) == 2 * 12
    assert bound(network, 0.1) == 2 * 1
    assert 2 ** log2_path_count(network) == pytest.approx(2 * 2 * (3 + 2))


@pytest.mark.parametrize(("weight", "x", "largest"), [(10.0, 0.65, 1), (1.0, 5.0, 25)])
def test_a_clamp_reaches_either_of_its_states(weight: float, x: float, largest: float) -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU6(), nn.Linear(1, 1, bias=False))
    nn.init.constant_(module[0].weight, weight)
    network = model_of_module(module.double(), [(1,)]).network
    assert norms(network, np.array([[x]]))[0] == largest == bound(network, x)


def test_a_hundred_layers_leave_the_range_of_floats() -> None:
    layers: list[nn.Module] = []
    for _ in range(300):
        layers += [nn.Linear(16, 16, bias=False), nn.ReLU()]
    network = model_of_module(nn.Sequential(*layers, nn.Linear(16, 2, bias=False)), [(16,)]).network
    value, exponent = squared_feature_norm(network, 0.5)
    assert math.log2(value) + exponent == 4 * 301 - 2


def test_where_paths_start() -> None:
    def started(module: nn.Module) -> bool:
        return starts_at_constants(model_of_module(module, [(2,)]).network)

    head = nn.Linear(3, 2, bias=False)
    assert not started(nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), head))
    assert started(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), head))
    assert started(nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU6(), head))
    assert started(nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2)))


@pytest.mark.parametrize("slope", [-0.1, 1.5])
def test_slopes_outside_the_unit_interval_are_refused(slope: float) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.PReLU(3), nn.Linear(3, 2))
    with torch.no_grad():
        module[1].weight[1] = slope
    with pytest.raises(InputError, match=rf"prelu .* with a slope of {slope:g}"):
        require_unit_gates(model_of_module(module, [(2,)]).network)


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_is_refused_where_slopes_are_steep(name: str) -> None:
    network = random_case(name).subject.network
    if network.gates_lie_in_unit_interval:
        require_unit_gates(network)
    else:
        assert name == "steep_prelu"
        with pytest.raises(InputError, match=r"prelu 1 with a slope of -1\.5, prelu 3"):
            require_unit_gates(network)
