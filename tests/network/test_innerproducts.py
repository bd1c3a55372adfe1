"""Inner products in path space against explicit path features and path weights."""

import numpy as np
import pytest
import torch

from gencheck.network.innerproducts import path_inner_products, squared_feature_norms
from tests.brute import enumerate_paths
from tests.cases import random_case, zoo_subject
from tests.networks import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_squared_feature_norms(name: str) -> None:
    case = random_case(name)
    items = case.sample.items
    z, _ = enumerate_paths(case.subject.network, items.reshape(len(items), -1).numpy())
    norms = squared_feature_norms(case.subject.network, items)
    np.testing.assert_allclose(norms.plain().numpy(), (z**2).sum(1), rtol=1e-9)


@pytest.mark.parametrize("name", ZOO)
def test_path_inner_products(name: str) -> None:
    shape = ZOO[name][1]
    one = random_case(name).subject.network
    two = zoo_subject(name, 9)[1].network
    flat = torch.zeros((1, int(np.prod(shape)))).double().numpy()
    _, w = enumerate_paths(one, flat)
    _, other = enumerate_paths(two, flat)
    products = [value * 2.0**exponent for value, exponent in path_inner_products(one, two)]
    scale = np.linalg.norm(w, axis=0) * np.linalg.norm(other, axis=0)
    np.testing.assert_allclose(products, (w * other).sum(0), rtol=1e-9, atol=1e-12 * scale.max())
