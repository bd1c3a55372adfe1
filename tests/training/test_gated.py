"""A gated network is the two-phase network: on every network of the zoo, and as a torch module."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from gencheck.audit.model import model_of_module
from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.algebra import logits
from gencheck.network.frontend.gating import GATING
from gencheck.network.frontend.plain_copy import plain_copy
from gencheck.network.gated_run import GATED
from gencheck.training.gated import GatedNetwork
from gencheck.training.loop import Training
from gencheck.training.phases import two_phase
from tests.brute import enumerate_paths
from tests.networks import ZOO, build


class SqueezeExcite(nn.Module):
    """x times a sigmoid of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.gate(x))


def test_every_gating_operator_has_its_gated_twin() -> None:
    assert {name.rsplit(".", 1)[0].removesuffix("_") for name in GATING} == set(GATED)


@pytest.mark.parametrize("name", ZOO)
def test_outputs_are_gates_of_one_and_weights_of_the_other(name: str) -> None:
    shape = ZOO[name][1]
    gates, weights = build(name, 5), build(name, 6)
    items = torch.randn((7, *shape), generator=torch.Generator().manual_seed(1)).double()
    flat = items.reshape(7, -1).numpy()
    z, _ = enumerate_paths(model_of_module(gates, [shape]).network, flat)
    _, w = enumerate_paths(model_of_module(weights, [shape]).network, flat)
    with torch.no_grad():
        both = GatedNetwork(gates, weights)(items)
    np.testing.assert_allclose(both.numpy(), z @ w, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["three_hidden_batchnorm", "conv_pool", "residual"])
def test_with_its_own_gates_a_network_is_itself(name: str) -> None:
    module = build(name, 5)
    items = torch.randn((7, *ZOO[name][1]), generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        same = GatedNetwork(module, copy.deepcopy(module))(items)
        torch.testing.assert_close(same, module(items), rtol=1e-12, atol=1e-12)


def test_items_in_channels_last_memory() -> None:
    """As images of colour come from a file: the same numbers, whatever their order in memory."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.ReLU(), nn.Linear(5, 3))
    items = torch.rand(6, 4, 4, 3).permute(0, 3, 1, 2)
    assert not items.is_contiguous()
    network = GatedNetwork(module, copy.deepcopy(module))
    torch.testing.assert_close(network(items), network(items.contiguous()))
    torch.testing.assert_close(network(items), module(items))
    own = model_of_module(module, [(3, 4, 4)]).own_output(items)
    torch.testing.assert_close(own, module(items).detach())


@pytest.mark.parametrize("name", ["three_hidden_batchnorm", "conv_pool", "residual"])
def test_derivatives_are_those_of_a_function_linear_in_each_weight(name: str) -> None:
    """Outputs are linear in one layer's weights, so a finite step is the derivative itself."""
    network = GatedNetwork(build(name, 1), build(name, 2))
    items = torch.randn((4, *ZOO[name][1]), generator=torch.Generator().manual_seed(2)).double()
    parameter = next(p for p in network.weights.parameters() if p.requires_grad and p.dim() > 1)
    network(items).sum().backward()
    assert parameter.grad is not None
    step = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        before = network(items).sum()
        parameter += step
        after = network(items).sum()
    torch.testing.assert_close(after - before, (parameter.grad * step).sum())
    assert all(p.grad is None for p in network.gates.parameters())


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2))


def test_it_behaves_like_a_module() -> None:
    network = GatedNetwork(small(), small())
    items = torch.randn(9, 4)
    outputs = network(items)
    assert not [p for p in network.gates.parameters() if p.requires_grad]
    assert {name.split(".")[0] for name in network.state_dict()} == {"gates", "weights"}
    other = GatedNetwork(small(), small())
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(items), outputs)
    network.train()
    assert network.training
    # dropout does nothing, in either mode
    torch.testing.assert_close(network(items), outputs)
    torch.testing.assert_close(copy.deepcopy(network)(items), outputs)
    torch.testing.assert_close(pickle.loads(pickle.dumps(network))(items), outputs)
    torch.testing.assert_close(network.double()(items.double()).float(), outputs)


def test_refusals() -> None:
    module = small()
    with pytest.raises(InputError, match="one module as both"):
        GatedNetwork(module, module)
    with pytest.raises(InputError, match=r"p_0_weight of shape|the architecture of"):
        GatedNetwork(small(), nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))(
            torch.zeros(2, 4)
        )
    with pytest.raises(UnsupportedModel, match="softmax"):
        GatedNetwork(
            nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)),
            nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)),
        )(torch.zeros(2, 4))


def test_gates_follow_the_gate_network_alone() -> None:
    gates, weights = small().double(), small().double()
    items = torch.randn(6, 4, dtype=torch.float64)
    network = GatedNetwork(gates, weights)
    deciding = model_of_module(gates, [(4,)]).network
    _, planes = logits(deciding, items)
    hidden = nn.functional.linear(items, weights[0].weight, weights[0].bias)
    (plane,) = next(iter(planes.values()))
    expected = nn.functional.linear(hidden * plane, weights[3].weight, weights[3].bias)
    torch.testing.assert_close(network(items), expected)


def normed(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(4, 5)),
        nn.ReLU(),
        parametrizations.spectral_norm(nn.Linear(5, 4)),
        nn.ReLU(),
        nn.Linear(4, 2),
    )
    return module.double().eval()


def test_weights_that_parametrizations_compute_are_those_of_now() -> None:
    gates, weights = normed(1), normed(2)
    items = torch.randn(6, 4, dtype=torch.float64)
    network = GatedNetwork(gates, weights)
    network(items)
    with torch.no_grad():
        for part in (gates, weights):
            part[0].parametrizations.weight.original1.mul_(-1.5)
    plain = GatedNetwork(plain_copy(gates), plain_copy(weights))
    torch.testing.assert_close(network(items), plain(items))
    network(items).sum().backward()
    moved = weights[0].parametrizations.weight.original1.grad
    assert moved is not None
    assert moved.abs().max() > 0


def test_two_phases_of_a_network_with_parametrizations() -> None:
    items = torch.randn(40, 4, dtype=torch.float64)
    targets = torch.eye(2, dtype=torch.float64)[(items[:, 0] > 0).long()]
    run = two_phase(normed(3), (items, targets), 0.5, Training(3, 8), Training(0, 8))
    # nothing has moved since the standard phase, so that the network is its gates' own
    with torch.no_grad():
        torch.testing.assert_close(run.network(items), run.gates(items))
    before = run.gates[0].weight
    run = two_phase(normed(3), (items, targets), 0.5, Training(3, 8), Training(3, 8))
    assert torch.equal(run.gates[0].weight, before)
    assert not torch.equal(run.weights[0].weight, before)


def test_weights_that_hooks_compute_are_refused() -> None:
    gates, weights = small(), small()
    for part in (gates[0], weights[0]):
        prune.l1_unstructured(part, "weight", amount=0.5)
    with pytest.raises(InputError, match=r"0\.weight, which a hook computes.*prune\.remove"):
        GatedNetwork(gates, weights)(torch.zeros(2, 4))


@pytest.mark.parametrize("norm", [nn.LayerNorm(6), nn.RMSNorm(6), SqueezeExcite(6)], ids=str)
def test_computed_gates_are_refused_before_any_training(norm: nn.Module) -> None:
    """They would be computed from the weights that move, and so move with them."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), norm, nn.ReLU(), nn.Linear(6, 2))
    items, targets = torch.randn(8, 4), torch.eye(2)[torch.arange(8) % 2]
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(
        UnsupportedModel, match="gates would move with the weights; train --solver ridge"
    ):
        GatedNetwork(module, copy.deepcopy(module))(items)
    with pytest.raises(
        UnsupportedModel, match="gates would move with the weights; train --solver ridge"
    ):
        two_phase(module, (items, targets), alpha=0.5, training=Training(epochs=1))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
