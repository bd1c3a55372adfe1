"""Activations a(s) = s·g(s) and their gates g."""

from collections.abc import Callable

import torch
from torch import Tensor


def _ratio_of_tanh(s: Tensor) -> Tensor:
    # tanh(s)/s is 0/0 at 0 and 1/∞ far out; its limits are 1 and 0
    safe = torch.where(s == 0, torch.ones_like(s), s)
    return torch.where(s == 0, torch.ones_like(s), torch.tanh(safe) / safe)


def _normal_cdf(s: Tensor) -> Tensor:
    probability: Tensor = torch.special.ndtr(s)
    return probability


def _tanh_cdf(s: Tensor) -> Tensor:
    inner = (2 / torch.pi) ** 0.5 * (s + 0.044715 * s**3)
    return 0.5 * (1 + torch.tanh(inner))


# The gate of each smooth activation; every one of them lies in [0, 1].
SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": torch.sigmoid,
    "gelu": _normal_cdf,
    "gelu_tanh": _tanh_cdf,
    "hardswish": lambda s: ((s + 3) / 6).clamp(0, 1),
    "tanh": _ratio_of_tanh,
}
