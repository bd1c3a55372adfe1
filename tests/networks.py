"""A zoo of tiny networks: small enough that every path can be enumerated."""

from collections.abc import Callable

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


ZOO: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
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
}


def build(name: str, seed: int = 0) -> nn.Module:
    """The zoo network `name` in float64 and eval mode, with random weights and statistics."""
    torch.manual_seed(seed)
    module = ZOO[name][0]().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            for tensor in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()
