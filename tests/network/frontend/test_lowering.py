"""What is covered is read right; what is not is refused, all of it, by name."""

import copy

import pytest
import torch
from torch import Tensor, nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.algebra import logits
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.network.ir import Affine, Dense
from tests.networks import build


class Wrapped(nn.Module):
    """A function of the input and one dense layer."""

    def __init__(self, function: object, width: int = 4) -> None:
        super().__init__()
        self.function = function
        self.first = nn.Linear(4, width)
        self.scale = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)  # type: ignore[operator]


REFUSED = {
    "softmax": (lambda m, x: m.head(torch.softmax(m.first(x), 1)), r"aten\._?softmax"),
    "product": (lambda m, x: m.head(m.first(x) * m.first(x)), r"aten\.mul\.Tensor"),
    "square": (lambda m, x: m.head(m.first(x).square()), r"aten\.(square|pow)"),
    "quotient of two signals": (
        lambda m, x: m.head(m.first(x) / m.first(x)),
        "neither of which|on the path",
    ),
    "gate that items share": (
        lambda m, x: m.head(m.first(x) * torch.sigmoid(m.first(x).mean(0))),
        "items share",
    ),
    "gate over the batch": (
        lambda m, x: m.head(m.first(x) * torch.softmax(m.first(x), 0)),
        r"softmax.* mixes items of the batch",
    ),
    "gate of a sum along the batch": (
        lambda m, x: m.head(m.first(x) * torch.sigmoid(m.first(x).cumsum(0))),
        r"cumsum.* mixes items of the batch",
    ),
    "gate moved along the batch": (
        lambda m, x: m.head(m.first(x) * torch.sigmoid(m.first(x).roll(1, 0))),
        r"roll.* mixes items of the batch",
    ),
    "gate less the mean of the batch": (
        lambda m, x: m.head(m.first(x) * torch.sigmoid(x - x.mean(0, keepdim=True))),
        r"sub.* mixes items of the batch",
    ),
    "product with a constant": (
        lambda m, x: m.head(torch.bmm(m.first(x)[:, None], m.scale.expand(len(x), 4, 4))[:, 0]),
        "with a constant; write torch.matmul",
    ),
    "sigmoid": (lambda m, x: m.head(torch.sigmoid(m.first(x))), r"aten\.sigmoid"),
    "one-sided clamp": (
        lambda m, x: m.head(torch.clamp(m.first(x), max=3.0)),
        "from None to 3.0; covered: two finite ends",
    ),
    "reflected padding": (
        lambda m, x: m.head(nn.functional.pad(m.first(x)[:, None], (1, 1), "reflect")[:, 0, 1:-1]),
        r"aten\.(pad|reflection_pad1d)",
    ),
    "padding with a number": (
        lambda m, x: m.head(nn.functional.pad(m.first(x)[:, :-1], (0, 1), value=2.0)),
        "covered: zeros",
    ),
    "transposed convolution": (
        lambda m, x: m.head(
            nn.functional.conv_transpose1d(m.first(x)[:, None], torch.ones(1, 1, 1))[:, 0]
        ),
        r"aten\.conv_transpose1d",
    ),
    "adaptive max-pool": (
        lambda m, x: m.head(
            nn.functional.adaptive_max_pool2d(m.first(x).view(-1, 1, 2, 2), (2, 1)).flatten(1)[
                :, [0, 1, 1, 0]
            ]
        ),
        "a global max-pool",
    ),
    "mean over the batch": (lambda m, x: m.head(m.first(x) + m.first(x).mean(0)), "batch"),
    "output not dense": (lambda m, x: torch.relu(m.first(x)), "last layer must be a dense Linear"),
    "batch mixed": (
        lambda m, x: m.head(m.first(x).reshape(-1)[:4].reshape(1, 4)),
        "aten",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=message):
        lower(trace(Wrapped(function), (4,)))


COVERED = {
    "subtraction": lambda m, x: m.head(m.first(x) - torch.relu(m.first(x))),
    "subtraction from a parameter": lambda m, x: m.head(m.scale - m.first(x)),
    "bare parameter": lambda m, x: m.head(m.first(x) + m.scale),
    "bare parameter first": lambda m, x: m.head(m.scale + m.first(x)),
    "number added": lambda m, x: m.head(m.first(x) + 1.5),
    "sum of a list": lambda m, x: m.head(sum([m.first(x), torch.relu(m.first(x))])),
    "a pool behind the last convolution": lambda m, x: (
        torch.relu(nn.functional.conv1d(m.first(x)[:, None], m.head.weight[:, None]))
        .mean(2)
        .view(-1, 2)
    ),
    "a convolution on one place": lambda m, x: nn.functional.conv1d(
        m.first(x)[:, :, None], m.head.weight[:, :, None], m.head.bias
    ).flatten(1),
    "addcmul": lambda m, x: m.head(
        torch.addcmul(m.scale, 2 * m.scale, torch.addcmul(m.first(x), m.scale, m.first(-x)))
    ),
    "stack": lambda m, x: m.head(torch.stack([m.first(x), m.first(-x)], 1).mean(1)),
    "roll": lambda m, x: m.head(torch.roll(m.first(x), 1, 1)),
    "unbind": lambda m, x: m.head(torch.cat(m.first(x).view(-1, 2, 2).unbind(1)[::-1], 1)),
    "expand": lambda m, x: m.head(m.first(x)[:, :2, None].expand(-1, 2, 2).flatten(1)),
    "pixel shuffle": lambda m, x: m.head(
        nn.functional.pixel_shuffle(m.first(x).view(-1, 4, 1, 1), 2).flatten(1)
    ),
    "nearest upsampling": lambda m, x: m.head(
        nn.functional.interpolate(m.first(x)[:, None, :2], scale_factor=2)[:, 0]
    ),
    "sums of unlike shapes": lambda m, x: m.head(
        (m.first(x).view(-1, 2, 2) + m.first(x).view(-1, 2, 2).mean(2, keepdim=True)).flatten(1)
    ),
    "a quotient by a norm": lambda m, x: m.head(nn.functional.normalize(m.first(x), dim=1)),
    "tokens before the batch": lambda m, x: m.head(
        m.first(torch.stack([x, -x], 0)).relu().transpose(0, 1).mean(1)
    ),
}


@pytest.mark.parametrize("name", COVERED)
def test_covered_and_equal_to_the_model(name: str) -> None:
    torch.manual_seed(0)
    module = Wrapped(COVERED[name]).double()
    items = torch.randn(5, 4, dtype=torch.float64)
    network = lower(trace(module, (4,)))
    with torch.no_grad():
        torch.testing.assert_close(logits(network, items)[0].plain(), module(items))


def test_every_offender_is_named_with_its_module() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.norm = nn.Sigmoid()
            self.act = nn.Softplus()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.norm(self.inner(x)))

    module = nn.Sequential(Block(), nn.ReLU(), Block(), nn.Linear(4, 2))
    with pytest.raises(UnsupportedModel) as caught:
        lower(trace(module, (4,)))
    text = str(caught.value)
    assert caught.value.exit_code == 3
    for place in ("0.norm", "0.act", "2.norm", "2.act"):
        assert place in text
    assert "gencheck explain supported" in text
    assert len(caught.value.offenders) == 4


def test_control_flow_that_depends_on_data_is_refused() -> None:
    def forward(m: Wrapped, x: Tensor) -> Tensor:
        return m.head(m.first(x)) if bool(x.sum() > 0) else m.head(x)

    with pytest.raises(UnsupportedModel, match=r"torch\.export"):
        lower(trace(Wrapped(forward), (4,)))


def test_a_stale_view_after_an_in_place_gate_is_refused() -> None:
    def forward(m: Wrapped, x: Tensor) -> Tensor:
        h = m.first(x)
        kept = h.view(-1, 2, 2)
        torch.relu_(h)
        return m.head(kept.flatten(1))

    # torch.export makes the program functional, which reads the view after the gate: covered
    network = lower(trace(Wrapped(forward), (4,)))
    assert network.operations()["relu"] == 1


def test_training_mode_does_not_leak_in() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9), nn.Linear(4, 2)).train()
    network = lower(trace(module, (4,)))
    assert network.operations() == {"dense": 2}
    assert module.training


def test_the_module_is_not_changed() -> None:
    module = build("three_hidden_batchnorm").train()
    before = copy.deepcopy(module.state_dict())
    lower(trace(module, (3,)))
    assert module.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_batchnorm_is_folded_into_the_layer_before() -> None:
    module = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    assert module[1].running_mean is not None
    module[1].running_mean.normal_()
    network = lower(trace(module, (3,)))
    dense = [node for node in network.nodes if isinstance(node, Dense)]
    assert len(dense) == 2
    assert not any(isinstance(node, Affine) for node in network.nodes)
    assert dense[0].bias is not None


def test_batchnorm_after_a_layer_with_two_readers_stands_alone() -> None:
    network = lower(trace(build("pre_activation"), (3,)))
    assert network.operations()["affine"] == 2


def test_weights_computed_from_weights_are_constants() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    module = nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 2))
    network = lower(trace(module, (4,)))
    first = network.nodes[1]
    assert isinstance(first, Dense)
    torch.testing.assert_close(first.weight, layer.weight.detach())


def test_a_wrong_item_shape_is_an_input_error() -> None:
    with pytest.raises(InputError, match="items of shape"):
        trace(nn.Linear(4, 2), (5,))


def test_two_outputs_are_an_input_error() -> None:
    with pytest.raises(InputError, match="2 outputs"):
        trace(Wrapped(lambda m, x: (m.first(x), m.head(x))), (4,))
