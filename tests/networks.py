"""A zoo of tiny networks: small enough that every path can be enumerated."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn


class Skip(nn.Module):
    """Two skip connections between dense layers, one around a BatchNorm."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4, bias=bias)
        self.second = nn.Linear(4, 4, bias=bias)
        self.norm = nn.BatchNorm1d(4)
        self.third = nn.Linear(4, 4, bias=bias)
        self.head = nn.Linear(4, 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        h = torch.relu(h + self.norm(self.second(h)))
        h = h + torch.relu(self.third(h))
        return self.head(h)


class InputSkip(nn.Module):
    """The input itself is added to a dense layer's output, then gated, and reaches the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.leaky_relu(x + torch.relu(self.first(x)), 0.2))


class PreActivation(nn.Module):
    """BatchNorm standing alone: on the input, and after a gate in front of a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm1d(3)
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(self.norm_in(x))
        h = h + self.second(torch.relu(self.norm(h)))
        return self.head(torch.relu(h))


class InPlace(nn.Module):
    """Flattened images, in-place gates, dropout and identity on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.gate = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.same = nn.Identity()
        self.second = nn.Linear(3, 3, bias=False)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.gate(self.first(x.view(x.size(0), -1))))
        return self.head(self.same(self.gate(self.second(h))))


class BasicBlock(nn.Module):
    """The block of ResNet-18: two convolutions and a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 2, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 2, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        h += self.down(x)[:, :, : h.shape[2], : h.shape[3]]
        return self.relu(h)


class Residual(nn.Module):
    """A stem, a basic block with projection, an identity skip after it, and a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.block = BasicBlock(2, 2, 2)
        self.last = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.block(torch.relu(self.stem(x)))
        h = torch.relu(h + self.last(h))
        return self.head(h.mean((2, 3)))


class Bottleneck(nn.Module):
    """1x1, 2x2, 1x1 with a strided projection, as in ResNet-50."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2, 2, 1)
        self.conv = nn.Conv2d(2, 2, 2, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.expand = nn.Conv2d(2, 3, 1)
        self.down = nn.Conv2d(2, 3, 1, stride=2)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.conv(torch.relu(self.reduce(x)))))
        h = torch.relu(self.expand(h) + self.down(x))
        return self.head(nn.functional.adaptive_avg_pool2d(h, 1).flatten(1))


class PreActivationBlock(nn.Module):
    """BatchNorm standing alone on an image, as in a ResNet of the second version."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 2)
        self.norm1 = nn.BatchNorm2d(2)
        self.conv1 = nn.Conv2d(2, 2, 2, padding="same", bias=False)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = h + self.conv1(torch.relu(self.norm1(h)))
        return self.head(torch.relu(h).flatten(1))


class DenseBlock(nn.Module):
    """Concatenation of all features so far, each layer behind its own BatchNorm, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 2, bias=False)
        self.norm1, self.conv1 = nn.BatchNorm2d(2), nn.Conv2d(2, 1, 2, padding="same", bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1, bias=False)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = torch.cat([h, self.conv1(torch.relu(self.norm1(h)))], 1)
        h = torch.cat([h, self.conv2(torch.relu(self.norm2(h)))], 1)
        return self.head(nn.functional.avg_pool2d(h, 2).flatten(1))


class Shuffled(nn.Module):
    """Grouped convolutions with channels permuted between them, split, sliced and padded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 1, groups=2)
        self.second = nn.Conv2d(4, 4, 2, groups=2, bias=False)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        h = h.view(-1, 2, 2, 2, 2).transpose(1, 2).flatten(1, 2)
        h = torch.relu(self.second(h))
        left, right = h.chunk(2, 1)
        h = torch.cat([right * 0.5, nn.functional.pad(left[:, :1], (0, 0, 0, 0, 0, 1))], 1)
        return self.head(h.squeeze(3).squeeze(2))


class Tokens(nn.Module):
    """Dense layers on the last axis and across tokens, as in an MLP-Mixer without normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 3)
        self.across = nn.Linear(3, 2)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.silu(self.embed(x))
        h = torch.relu(self.across(h.transpose(1, 2))).permute(0, 2, 1)
        return self.head(h.mean(1))


def _smooth(gate: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(3, 4), gate, nn.Linear(4, 3), gate, nn.Linear(3, 2))


Factory: TypeAlias = Callable[[], nn.Module]

# Convolutional networks, and every operation beyond dense layers and ReLU.
CONVOLUTIONAL: dict[str, tuple[Factory, tuple[int, ...]]] = {
    "conv_pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2, 2, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        (1, 4, 4),
    ),
    "overlapping_padded_max_pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(8, 3),
            nn.ReLU(),
            nn.Linear(3, 2),
        ),
        (1, 4, 4),
    ),
    "ceil_mode_dilated_max_pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 2),
            nn.MaxPool2d((2, 1), (2, 3), dilation=(2, 1), ceil_mode=True),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
        (1, 4, 5),
    ),
    "strided_conv_norm_mean": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 2, 2),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        (2, 5, 4),
    ),
    "residual": (Residual, (1, 4, 4)),
    "bottleneck": (Bottleneck, (2, 4, 4)),
    "pre_activation_block": (PreActivationBlock, (1, 3, 3)),
    "depthwise_pointwise": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 2, groups=2, padding=1),
            nn.ReLU6(),
            nn.Conv2d(4, 2, 1, bias=False),
            nn.BatchNorm2d(2),
            nn.Conv2d(2, 2, 2, groups=2, bias=False),
            nn.BatchNorm2d(2),
            nn.ReLU(),
            nn.AvgPool2d(2, 1),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        (2, 2, 2),
    ),
    "grouped_shuffled": (Shuffled, (4, 2, 2)),
    "dense_block": (DenseBlock, (1, 3, 3)),
    "conv1d_dilated": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 2, dilation=2),
            nn.PReLU(3),
            nn.MaxPool1d(2, 1),
            nn.Conv1d(3, 2, 2, stride=2, padding=1),
            nn.BatchNorm1d(2),
            nn.Hardtanh(-0.3, 0.4),
            nn.AvgPool1d(2, 2, padding=1, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
        (2, 7),
    ),
    "conv3d": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 2, 2), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Flatten(), nn.Linear(4, 2)
        ),
        (1, 3, 3, 3),
    ),
    "padded_average": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, (1, 2), dilation=(1, 2)),
            nn.ReLU(),
            nn.AvgPool2d(2, 2, padding=1, count_include_pad=False),
            nn.AdaptiveAvgPool2d((2, 1)),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
        (1, 3, 4),
    ),
    "tokens": (Tokens, (3, 2)),
    "silu": (_smooth(nn.SiLU()), (3,)),
    "gelu": (_smooth(nn.GELU()), (3,)),
    "gelu_tanh": (_smooth(nn.GELU(approximate="tanh")), (3,)),
    "hardswish": (_smooth(nn.Hardswish()), (3,)),
    "tanh": (_smooth(nn.Tanh()), (3,)),
    "steep_prelu": (_smooth(nn.PReLU(init=-1.5)), (3,)),
}

ZOO: dict[str, tuple[Factory, tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 3)), (5,)),
    "one_hidden_no_bias": (
        lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)),
        (4,),
    ),
    "one_hidden_bias": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), (4,)),
    "two_hidden_leaky": (
        lambda: nn.Sequential(
            nn.Linear(4, 5),
            nn.LeakyReLU(0.1),
            nn.Linear(5, 4, bias=False),
            nn.LeakyReLU(0.3),
            nn.Linear(4, 2),
        ),
        (4,),
    ),
    "three_hidden_batchnorm": (
        lambda: nn.Sequential(
            nn.Linear(3, 4, bias=False),
            nn.BatchNorm1d(4),
            nn.ReLU(),
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
            nn.ReLU(),
            nn.Linear(4, 3),
            nn.LeakyReLU(0.05),
            nn.Linear(3, 2),
        ),
        (3,),
    ),
    "four_hidden": (
        lambda: nn.Sequential(
            nn.Linear(2, 4),
            nn.ReLU(),
            nn.Linear(4, 4),
            nn.ReLU(),
            nn.Linear(4, 4),
            nn.ReLU(),
            nn.Linear(4, 3),
            nn.ReLU(),
            nn.Linear(3, 2),
        ),
        (2,),
    ),
    "no_gate_between": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)),
        (3,),
    ),
    "skip": (Skip, (3,)),
    "input_skip": (InputSkip, (4,)),
    "pre_activation": (PreActivation, (3,)),
    "in_place_flatten": (InPlace, (2, 2)),
    **CONVOLUTIONAL,
}


def build(name: str, seed: int = 0) -> nn.Module:
    """The zoo network `name` in float64 and eval mode, with random weights and statistics."""
    torch.manual_seed(seed)
    module = ZOO[name][0]().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            spread = 1.0 if isinstance(part, nn.BatchNorm1d) else 0.3
            for tensor in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(tensor, 1.0 - spread, spread)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
        elif isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            # the default leaves networks this narrow dead more often than not
            nn.init.normal_(part.weight, 0.1, 0.8)
            if part.bias is not None:
                nn.init.normal_(part.bias, 0.3, 0.3)
    return module.eval()
