"""One trace serves two modules that differ in numbers alone, and only those."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from gencheck.network.frontend.plain_copy import differ_in_numbers_alone
from tests.networks import ZOO, build


@pytest.mark.parametrize("name", ZOO)
def test_a_copy_that_was_trained_differs_in_numbers_alone(name: str) -> None:
    module = build(name, 1)
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
            parameter.requires_grad_(False)
    assert differ_in_numbers_alone(module, other)


def _small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Dropout(0.5))


def _wider(module: nn.Sequential) -> None:
    module[0] = nn.Linear(4, 5)


def _tied(module: nn.Sequential) -> None:
    module[2].weight = module[0].weight


def _another_attribute(module: nn.Sequential) -> None:
    module[1].inplace = True


def _another_class(module: nn.Sequential) -> None:
    module[1] = nn.Tanh()


def _in_training(module: nn.Sequential) -> None:
    module[3].train()


def _double(module: nn.Sequential) -> None:
    module.double()


def _unpickled(module: nn.Sequential) -> None:
    module.function = lambda x: x


@pytest.mark.parametrize(
    "change",
    [_wider, _tied, _another_attribute, _another_class, _in_training, _double, _unpickled],
)
def test_anything_else_is_another_module(change: Callable[[nn.Sequential], None]) -> None:
    module, other = _small().eval(), _small().eval()
    assert differ_in_numbers_alone(module, other)
    change(other)
    assert not differ_in_numbers_alone(module, other)
    assert not differ_in_numbers_alone(other, module)
