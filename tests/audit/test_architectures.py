"""The architectures that people really train, on real images."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.audit.self_check import output_deviation
from gencheck.load.dataset import load_dataset
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.path_kernel import PathKernel
from tests.architectures import ARCHITECTURES, initialised


def images(path: Path, count: int) -> Labelled:
    """The first items of the file, channels first, in [0, 1]."""
    split = load_dataset(path).main.taken(np.arange(count)).loaded()
    items = torch.from_numpy(split.items).permute(0, 3, 1, 2).float() / 255
    return Labelled(items, torch.eye(10, dtype=torch.float64)[torch.from_numpy(split.targets)])


@cache
def audited(name: str) -> AuditedModel:
    """The architecture, traced once for all that is asked of it here: tracing takes the longest."""
    return model_of_module(initialised(name), [(3, 32, 32)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_traces_and_passes_its_self_check_in_float32(name: str, cifar10: Path) -> None:
    items = images(cifar10, 64).items
    made = audited(name)
    outputs = PathKernel(made.network).features(items).outputs
    assert output_deviation(made, items, outputs) < 1e-4
    assert made.network.output_count == 10
    assert not made.network.smooth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *[(name, 50) for name in ("lenet5", "vgg11_bn", "resnet20")],
        *[(name, 8) for name in ("resnet18", "mobilenet_v2", "densenet40")],
    ],
)
def test_is_audited(name: str, count: int, cifar10: Path) -> None:
    both = images(cifar10, 2 * count)
    sample = Labelled(both.items[:count], both.targets[:count])
    reference = Labelled(both.items[count:], both.targets[count:])
    options = AuditOptions(beta2_budget=0.0)
    result = audit(audited(name), sample, reference, "classification", options)
    # the audit itself has checked that the gap is the sum of its terms and within the bound
    assert result.data.sample == result.data.reference == count
    assert float(result.beta1.lower) <= float(result.beta1.upper)
    assert result.beta1.value.log10() > 0
    assert result.beta2.lower <= result.beta2.upper
    assert result.model.log10_paths > 11


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "vgg11_bn", "resnet20", "densenet40"])
def test_float32_and_both_executors_agree_with_float64(name: str, cifar10: Path) -> None:
    pytest.importorskip("numba")
    items = images(cifar10, 12).items
    network = audited(name).network
    # gates from one forward pass in float64: a unit near 0 may fall on either side in float32
    exact, _ = forward(network, items.double(), 12)
    programs = {patches: kernel_program(network, patches=patches) for patches in (True, False)}
    kernels = []
    for dtype, executor in (
        (torch.float64, "matrix"),
        (torch.float32, "matrix"),
        (torch.float32, "bits"),
    ):
        factors = type(exact)(exact.items.to(dtype), exact.planes)
        gram = gram_matrix(programs[executor == "matrix"], factors, 8, executor=executor)
        kernels.append(gram.dense().double() * 2.0 ** (gram.exponent - 200))
    for kernel in kernels[1:]:
        torch.testing.assert_close(kernel, kernels[0], rtol=1e-5, atol=0)
