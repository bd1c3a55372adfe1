"""Inner products in path space against explicit path features and path weights."""

import copy

import numpy as np
import pytest
import torch

from gencheck.network.innerproducts import squared_feature_norms, squared_path_distances
from tests.brute import enumerate_paths
from tests.cases import random_case, zoo_subject
from tests.networks import ZOO, build


@pytest.mark.parametrize("name", ZOO)
def test_squared_feature_norms(name: str) -> None:
    case = random_case(name)
    items = case.sample.items
    z, _ = enumerate_paths(case.subject.network, items.reshape(len(items), -1).numpy())
    norms = squared_feature_norms(case.subject.network, items)
    np.testing.assert_allclose(norms.plain().numpy(), (z**2).sum(1), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "moved"), [("one_hidden_bias", 1.0), *((name, 1e-7) for name in ZOO)]
)
def test_squared_path_distances(name: str, moved: float) -> None:
    """To as many digits for weights that moved by a part in 10⁷ as for any others."""
    shape = ZOO[name][1]
    base, other = build(name, 3), build(name, 9)
    own = copy.deepcopy(base)
    with torch.no_grad():
        for ours, theirs in zip(own.parameters(), other.parameters(), strict=True):
            ours.lerp_(theirs, moved)
    networks = [zoo_subject(name, module).network for module in (own, base)]
    flat = np.zeros((1, int(np.prod(shape))))
    (_, w), (_, w0) = (enumerate_paths(network, flat) for network in networks)
    squares, rounding = squared_path_distances(*networks)
    found = squares.plain().numpy()
    assert found.shape == (w.shape[1],)
    # weights of float64 that differ in their last nine digits
    np.testing.assert_allclose(found, ((w - w0) ** 2).sum(0), rtol=1e-7)
    assert (rounding.plain().numpy() <= 1e-9 * found).all()
    assert (rounding.plain().numpy() > 0).all()


def test_movements_that_cancel_are_covered_by_the_rounding() -> None:
    """A layer scaled up and the next one down moves no path: what is left is rounding, and stated."""
    base = build("one_hidden_bias", 3)
    own = copy.deepcopy(base)
    layers = [module for module in own.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        layers[0].weight.mul_(1.1)
        if layers[0].bias is not None:
            layers[0].bias.mul_(1.1)
        layers[1].weight.div_(1.1)
    shape = ZOO["one_hidden_bias"][1]
    networks = [zoo_subject("one_hidden_bias", module).network for module in (own, base)]
    squares, rounding = squared_path_distances(*networks)
    flat = np.zeros((1, int(np.prod(shape))))
    (_, w), (_, w0) = (enumerate_paths(network, flat) for network in networks)
    upper = squares.plain().clamp(min=0) + rounding.plain()
    assert (upper.numpy() >= ((w - w0) ** 2).sum(0)).all()
    assert (upper.numpy() <= 1e-10 * (w0**2).sum(0)).all()
