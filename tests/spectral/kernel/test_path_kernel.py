"""The path kernel as an object: equal to enumeration whichever way it is asked, and known to scipy."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

import gencheck
from gencheck.errors import InputError
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel
from tests.cases import Case, random_case

NAMES = ["one_hidden_bias", "conv_pool", "residual"]


def of_case(name: str) -> tuple[PathKernel, torch.Tensor, Case]:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items])
    options = KernelOptions(executor="matrix", tile=7, batch_size=5)
    return PathKernel.of(case.subject.network, options=options), items, case


@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_asking_equals_enumeration(name: str) -> None:
    kernel, items, case = of_case(name)
    truth = case.truth().kernel
    right = torch.randn((len(items), 2), generator=torch.Generator().manual_seed(0)).double()
    features = kernel.features(items)
    np.testing.assert_allclose(features.outputs, case.truth().outputs, rtol=1e-9, atol=1e-12)
    for asked in (items, features):
        gram = kernel.gram(asked)
        np.testing.assert_allclose(gram.dense() * 2.0**gram.exponent, truth, rtol=1e-9)
        np.testing.assert_allclose(kernel.columns(asked, 6).plain(), truth[:, :6], rtol=1e-9)
        np.testing.assert_allclose(kernel.diagonal(asked).plain(), truth.diagonal(), rtol=1e-9)
        product = kernel.matmul(asked, right)
        assert product.exponent == gram.exponent
        # the same tiles in the same order: the same bits, with or without K in memory
        assert torch.equal(product.mantissa, gram.matmul(right))


@pytest.mark.parametrize("name", NAMES)
def test_scipy_takes_the_gram_matrix_as_an_operator(name: str) -> None:
    kernel, items, case = of_case(name)
    gram = kernel.gram(items)
    assert isinstance(gram, LinearOperator)
    assert gram.shape == (len(items), len(items))
    values = eigsh(gram, k=3, return_eigenvectors=False) * 2.0**gram.exponent
    truth = np.linalg.eigvalsh(case.truth().kernel)[-3:]
    np.testing.assert_allclose(np.sort(values), truth, rtol=1e-9)
    ones = np.ones(len(items), np.float32)
    np.testing.assert_allclose(gram.H @ ones, gram @ ones, rtol=1e-12)


def test_of_a_module_in_three_lines() -> None:
    case = random_case("one_hidden_bias")
    items = case.sample.items
    kernel = gencheck.PathKernel.of(case.module.double(), items.shape[1:])
    gram = kernel.gram(items)
    truth = case.truth().kernel[: len(items), : len(items)]
    np.testing.assert_allclose(gram.dense() * 2.0**gram.exponent, truth, rtol=1e-9)


def test_a_module_needs_the_shape_of_its_items() -> None:
    with pytest.raises(InputError, match=r"found a module without item_shape"):
        PathKernel.of(torch.nn.Linear(3, 2))


def test_each_program_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, items, _ = of_case("conv_pool")
    features, program = kernel.features(items), kernel.windows
    monkeypatch.setattr("gencheck.spectral.kernel.path_kernel.kernel_program", None)
    kernel.gram(features)
    kernel.columns(features, 2)
    assert kernel.program("matrix") is program
