"""Channels last and bfloat16: the same training, sooner."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gencheck.training import layout
from gencheck.training.gated import GatedNetwork
from gencheck.training.layout import fastest_layout
from gencheck.training.loop import Training, fit
from tests.training.data import blobs

DATA = blobs(90, shape=(3, 8, 8))
TRAINING = Training(epochs=3, batch_size=16, learning_rate=0.01)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


class Viewed(nn.Module):
    """Asks for one order of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (N, 3)."""
        logits: Tensor = self.last(self.convolution(x).view(len(x), -1))
        return logits


def is_last(model: nn.Module) -> bool:
    own = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return own[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_channels_are_last_within_and_as_before_after() -> None:
    model = network().train()
    with fastest_layout(model, DATA[0]):
        assert is_last(model)
        assert model.training
    assert all(value.is_contiguous() for value in model.state_dict().values())
    with pytest.raises(ValueError, match="of the caller"), fastest_layout(model, DATA[0]):
        raise ValueError("of the caller")
    assert not is_last(model)


def test_a_model_that_needs_the_other_order_keeps_it() -> None:
    model = Viewed()
    with fastest_layout(model, DATA[0]):
        assert not is_last(model)
    assert len(fit(model, *DATA, TRAINING, seed=0)) == 3


def test_gated_networks_and_rows_are_left_alone() -> None:
    gates = network()
    gated = GatedNetwork(gates, copy.deepcopy(gates))
    with fastest_layout(gated, DATA[0]):
        assert not is_last(gated)
    dense = nn.Sequential(nn.Linear(4, 3))
    with fastest_layout(dense, torch.zeros(5, 4)):
        assert dense[0].weight.is_contiguous()


def test_the_weights_are_the_same_up_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tuple(part.double() for part in DATA)
    ours = network().double()
    losses = fit(ours, *data, TRAINING, seed=1)
    monkeypatch.setattr(layout, "_is_faster", lambda *_: False)
    plain = network().double()
    assert fit(plain, *data, TRAINING, seed=1) == pytest.approx(losses, rel=1e-9)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_bfloat16_multiplies_coarsely_and_keeps_float32_weights() -> None:
    coarse, plain = network(), network()
    losses = fit(coarse, *DATA, replace(TRAINING, bfloat16=True), seed=1)
    exact = fit(plain, *DATA, TRAINING, seed=1)
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.1)
    assert all(value.dtype is not torch.bfloat16 for value in coarse.state_dict().values())
    assert not replace(TRAINING, bfloat16=True).plain().bfloat16
