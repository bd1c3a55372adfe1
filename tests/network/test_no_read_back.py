"""Inside a forward pass and inside a tile nothing is read back from the device, nor sent there twice.

No device is needed for it: on the CPU every reading of a number is an operator that can be counted, and
on the `meta` device, whose tensors hold no numbers, each one is an error.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gencheck.network.algebra import gated_logits, logits
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.network.ir import Network
from gencheck.network.scaled import Unscaled
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel.executors import MatrixExecutor
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.forward import forward
from tests.cases import random_case
from tests.networks import ZOO


class Watch(TorchDispatchMode):
    """Counts numbers that are read, and tensors that leave the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.read = self.sent = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = str(func)
        self.read += name.startswith(("aten._local_scalar_dense", "aten.item", "aten.nonzero"))
        if name.startswith(("aten._to_copy", "aten.copy_")) and isinstance(found, Tensor):
            source = args[1] if name.startswith("aten.copy_") else args[0]
            self.sent += source.device.type == "cpu" and found.device.type != "cpu"
        return found


def piecewise(name: str) -> Network:
    """A network of the zoo, which has no computed gates: those may read whatever they like."""
    network = random_case(name).subject.network
    assert network.program is None
    return network


def items_of(network: Network, count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if network.takes_tokens:
        return torch.randint(0, 3, (count, *network.input_shape), generator=generator).float()
    return torch.randn((count, *network.input_shape), generator=generator)


def on_meta(factors: Factors) -> Factors:
    planes = {
        key: replace(plane, stored=plane.stored.to("meta"), slope=_meta(plane.slope))
        for key, plane in factors.planes.items()
    }
    return Factors(factors.items.to("meta"), planes)


def _meta(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to("meta")


def passed(network: Network, items: Tensor) -> None:
    watch = Unscaled(items)
    _, planes = logits(network, items, watch)
    gated_logits(network, items, planes, watch)


def tile(network: Network, device: str) -> tuple[MatrixExecutor, Tensor]:
    """What fills a tile, with its factors on a device."""
    factors, _ = forward(network, items_of(network), 4)
    work = MatrixExecutor(kernel_program(network), factors, 4, 2**20)
    work.factors = factors if device == "cpu" else on_meta(factors)
    return work, factors.items.new_empty((2, 3), device=device)


def filled(work: MatrixExecutor, out: Tensor) -> None:
    left, right = work.prepared(slice(0, 2)), work.prepared(slice(2, 5))
    work.fill(left, slice(0, 2), right, slice(0, 3), same=False, out=out)


@pytest.mark.parametrize("name", ZOO)
def test_no_number_is_read(name: str) -> None:
    network = piecewise(name)
    items = items_of(network)
    work, out = tile(network, "cpu")
    with Watch() as watch:
        passed(network, items)
        filled(work, out)
    assert watch.read == 0


@pytest.mark.parametrize("name", ZOO)
def test_a_device_gets_weights_and_indices_once(name: str) -> None:
    network = piecewise(name)
    items = items_of(network).to("meta")
    work, out = tile(network, "meta")
    for _ in range(2):
        with Watch() as watch:
            passed(network, items)
            filled(work, out)
    assert (watch.read, watch.sent) == (0, 0)


def test_the_watch_sees_what_it_is_for() -> None:
    network = random_case("four_hidden").subject.network
    with Watch() as watch:
        logits(network, items_of(network))
    assert watch.read > 0
    with Watch() as watch:
        torch.ones(3).to("meta")
    assert watch.sent == 1
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        logits(network, items_of(network).to("meta"))


def deep(scale: float) -> Network:
    """Twelve layers whose values grow or shrink past any range that is left alone."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(12):
        layers += [nn.Linear(6, 6), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    return lower(trace(module, (6,)))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e5])
def test_what_leaves_the_range_is_passed_again(scale: float) -> None:
    network = deep(scale)
    items = items_of(network, 10)
    factors, outputs = forward(network, items, 4)
    direct, planes = logits(network, items)
    watch = Unscaled(items)
    logits(network, items, watch)
    assert bool(watch.left) == (scale != 1.0)
    parts = [logits(network, part)[0].wide() for part in items.split(4)]
    assert torch.equal(outputs, torch.cat(parts))
    assert direct.exponent != 0 or scale == 1.0
    for position, (plane,) in planes.items():
        assert torch.equal(factors.planes[position, 0].values(slice(None)), plane)
