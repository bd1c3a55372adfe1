"""Norms of layers against the matrix of the operator, written out column by column."""

import math

import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.comparison.measures.layers import (
    NotAChainError,
    chain_of,
    first_moment,
    homogeneous_lipschitz,
    homogeneous_norms,
    spectral_norm,
)
from gencheck.network.ir import Affine, AvgPool, Conv, Dense, MaxPool, Network
from tests.networks import ZOO, build


def network(module: nn.Module, shape: tuple[int, ...]) -> Network:
    return model_of_module(module.eval(), [shape]).network


def operator(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A of shape (outputs, inputs) and b of shape (outputs,), by applying the layer to a basis."""
    size = math.prod(shape)
    with torch.no_grad():
        offset = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        columns = layer(basis).flatten(1) - offset
    return columns.T, offset


LAYERS = {
    "plain": (nn.Conv2d(2, 3, 3), (2, 6, 5)),
    "padded": (nn.Conv2d(3, 2, 3, padding=1), (3, 5, 5)),
    "wide_padding": (nn.Conv2d(1, 2, 2, padding=2, bias=False), (1, 3, 3)),
    "strided": (nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 6)),
    "dilated": (nn.Conv2d(2, 2, 3, dilation=2), (2, 7, 7)),
    "grouped": (nn.Conv2d(4, 4, 3, groups=2, padding=1), (4, 5, 5)),
    "one_dimension": (nn.Conv1d(2, 3, 5), (2, 9)),
    "pointwise": (nn.Conv2d(4, 3, 1), (4, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_norms_of_convolutions(name: str) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    layer = layer.double()
    nn.init.normal_(layer.weight)
    matrix, bias = operator(layer, shape)
    head = nn.Linear(len(bias), 2).double()
    net = network(nn.Sequential(layer, nn.Flatten(), head), shape)
    position = next(i for i, node in enumerate(net.nodes) if isinstance(node, Conv))
    node = net.nodes[position]
    assert isinstance(node, Conv)
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    lower, upper = spectral_norm(node, net.nodes[node.sources[0]])
    assert lower <= exact * (1 + 1e-9)
    assert upper >= exact * (1 - 1e-9)
    assert lower >= 0.97 * exact
    # strides and tiny grids leave a part of what the symbol sees
    assert upper <= (2.2 if name in {"strided", "dilated", "wide_padding"} else 1.5) * exact
    first = chain_of(net)[0]
    rows = torch.cat([matrix, bias[:, None]], 1)
    assert first.two_one == pytest.approx(float(rows.norm(dim=1).sum()), rel=1e-9)
    assert first.bias_norm == pytest.approx(float(bias.norm()), abs=1e-12)


def test_the_symbol_of_a_large_grid_is_sharp() -> None:
    """On a large grid the operator's norm comes close to its symbol's, so both ends meet."""
    torch.manual_seed(1)
    layer = nn.Conv2d(2, 3, 3, padding=1).double()
    net = network(
        nn.Sequential(layer, nn.Flatten(), nn.Linear(3 * 24 * 24, 2).double()), (2, 24, 24)
    )
    node = next(node for node in net.nodes if isinstance(node, Conv))
    lower, upper = spectral_norm(node, net.nodes[0])
    assert lower <= upper <= 1.06 * lower


def test_dense_norms_and_biases() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    layers = chain_of(network(module, (5,)))
    weights = [(part.weight.detach(), part.bias.detach()) for part in (module[0], module[2])]
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        exact = float(torch.linalg.matrix_norm(weight, 2))
        assert layer.lower == layer.upper == pytest.approx(exact)
        rows = torch.cat([weight, bias[:, None]], 1)
        assert layer.two_one == pytest.approx(float(rows.norm(dim=1).sum()))
    hidden = torch.zeros(8, 6, dtype=torch.float64)
    hidden[:7] = torch.cat([weights[0][0], weights[0][1][:, None]], 1)
    hidden[7, 5] = 1
    last = torch.cat([weights[1][0], weights[1][1][:, None]], 1)
    for bound, matrix in zip(homogeneous_norms(layers), (hidden, last), strict=True):
        exact = float(torch.linalg.matrix_norm(matrix, 2))
        assert exact <= bound <= 1.3 * exact


def test_without_biases_nothing_is_added() -> None:
    module = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False))
    layers = chain_of(network(module.double(), (4,)))
    assert homogeneous_norms(layers) == [layer.upper for layer in layers]


def test_the_product_of_the_norms_bounds_every_slope() -> None:
    """Chains of the zoo: ‖h(x) − h(x′)‖ ≤ Π ρ_i ‖A_i‖ ‖x − x′‖."""
    covered = 0
    for name, (_, shape) in ZOO.items():
        module = build(name)
        try:
            layers = chain_of(network(module, shape))
        except NotAChainError:
            continue
        covered += 1
        product = math.prod(layer.upper * layer.lipschitz for layer in layers)
        generator = torch.Generator().manual_seed(0)
        first = torch.randn((200, *shape), dtype=torch.float64, generator=generator)
        second = first + 0.3 * torch.randn(first.shape, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            moved = (module(first) - module(second)).norm(dim=1)
        slopes = moved / (first - second).flatten(1).norm(dim=1)
        assert float(slopes.max()) <= product * (1 + 1e-9), name
    assert covered >= 12


@pytest.mark.parametrize(
    ("name", "said"),
    [("skip", "joins two branches"), ("dense_block", "two branches"), ("silu", "Lipschitz")],
)
def test_what_is_no_chain_says_why(name: str, said: str) -> None:
    with pytest.raises(NotAChainError, match=said):
        chain_of(network(build(name), ZOO[name][1]))


def test_a_trained_slope_is_no_fixed_map() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.PReLU(), nn.Linear(3, 2)).double()
    with pytest.raises(NotAChainError, match="Lipschitz"):
        chain_of(network(module, (3,)))


def test_pools_have_their_lipschitz_constants() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.MaxPool2d(3, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 2)
    )
    net = network(module.double(), (1, 6, 6))
    assert {type(n) for n in net.nodes} >= {Conv, MaxPool, AvgPool, Dense}
    # nine windows hold the middle; the mean of four has norm ½
    assert chain_of(net)[0].lipschitz == pytest.approx(3 * 0.5)
    assert not chain_of(net)[0].homogeneous


def test_no_pool_shrinks_the_coordinate_of_biases() -> None:
    """‖h(x)‖ ≤ Π ρ_i s_i ‖(x, 1)‖ with small weights and two pools: at x = 0 biases are all there is."""
    module = nn.Sequential(
        *(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2), nn.Conv2d(2, 2, 1), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(8, 2)),
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1e-3)
        module[5].bias.fill_(1.0)
    layers = chain_of(network(module, (1, 8, 8)))
    norms = homogeneous_norms(layers)
    with torch.no_grad():
        size = float(module(torch.zeros(1, 1, 8, 8, dtype=torch.float64)).norm())
    assert size <= math.prod(norms) * math.prod(homogeneous_lipschitz(layers))
    # without the constant carried along the product says less than the network has
    assert math.prod(norms) * math.prod(layer.lipschitz for layer in layers) < 0.3 * size
    assert homogeneous_lipschitz(layers) == [1.0, 1.0, 1.0]
    for layer in module:
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    bare = chain_of(network(module, (1, 8, 8)))
    assert homogeneous_lipschitz(bare) == [layer.lipschitz for layer in bare]


def test_affine_layers_have_their_largest_scale() -> None:
    name = "pre_activation_block"
    net = network(build(name), ZOO[name][1])
    node = next(node for node in net.nodes if isinstance(node, Affine))
    assert node.scale is not None
    expected = float(node.scale.abs().max())
    assert spectral_norm(node, net.nodes[node.sources[0]]) == (expected, expected)


def test_first_moment() -> None:
    items = torch.tensor([[3.0, 0.1], [4.0, 0.1]])
    assert first_moment(items, False) == pytest.approx(5)
    assert first_moment(items / 100, True) == pytest.approx(math.sqrt(2))
