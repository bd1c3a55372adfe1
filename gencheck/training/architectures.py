"""The architectures that `gencheck train` knows by name, for items of a given shape."""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from gencheck.errors import InputError

Shape = tuple[int, ...]


def mlp(shape: Shape, widths: Sequence[int], outputs: int) -> nn.Sequential:
    """Dense layers of the given widths with ReLU between them, on flat items."""
    layers: list[nn.Module] = [nn.Flatten()]
    before = prod(shape)
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, outputs))


def lenet(shape: Shape, outputs: int) -> nn.Module:
    """Two 5x5 convolutions of 16 and 32 channels with max-pools, and a dense layer of 128."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        nn.Linear(128, outputs),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        h = functional.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return functional.relu(h + self.shortcut(x))


class ResNet(nn.Module):
    """Stages of basic blocks for small images, the first stage at full resolution (He et al. 2016)."""

    def __init__(self, channels: int, widths: list[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        inputs = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(BasicBlock(inputs, width, 2 if stage and block == 0 else 1))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (N, outputs)."""
        h = self.layers(functional.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.linear(functional.adaptive_avg_pool2d(h, 1).flatten(1))
        return logits


def resnet20(shape: Shape, outputs: int) -> nn.Module:
    """ResNet-20: three stages of three basic blocks, 16 to 64 channels."""
    return ResNet(shape[0], [16, 32, 64], 3, outputs)


_IMAGES: dict[str, Callable[[Shape, int], nn.Module]] = {"lenet": lenet, "resnet20": resnet20}


def image_shape(stored: Shape) -> Shape:
    """Stored items as channels × height × width; a table of features stays as it is."""
    if len(stored) == 2:
        return (1, *stored)
    if len(stored) == 3 and stored[2] in (1, 3, 4) and stored[0] not in (1, 3, 4):
        return (stored[2], stored[0], stored[1])
    return stored


def named_architecture(
    name: str, stored: Shape, outputs: int, seed: int
) -> tuple[nn.Module, Shape]:
    """The model `name` with weights drawn from `seed`, and the shape of the items that it takes.

    Parameters
    ----------
    name
        ``mlp:256,256`` (widths of the hidden layers), ``lenet`` or ``resnet20``.
    stored
        The shape of one item in the file.

    Raises
    ------
    InputError
        There is no such architecture, or it takes images and the items are none.
    """
    shape = image_shape(stored)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name.startswith("mlp:"):
            return mlp(stored, _widths(name), outputs), stored
        if name not in _IMAGES:
            raise InputError(
                where="--arch",
                found=repr(name),
                required="mlp:WIDTH,WIDTH,…, lenet, resnet20, or MODULE:FACTORY",
            )
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise InputError(
                where=f"--arch {name}",
                found=f"items of shape {stored}",
                required="images of at least 4 x 4",
                remedy="Pass --arch mlp:WIDTH,WIDTH for a table of features.",
            )
        return _IMAGES[name](shape, outputs), shape


def _widths(name: str) -> list[int]:
    texts = name.removeprefix("mlp:").split(",")
    if not all(text.strip().isdigit() and int(text) > 0 for text in texts):
        raise InputError(
            where="--arch", found=repr(name), required="widths above 0, such as mlp:256,256"
        )
    return [int(text) for text in texts]
