"""Margins, and the losses that lie above the 0-1 loss."""

import torch
from torch import Tensor


def margins_of(outputs: Tensor, labels: Tensor) -> Tensor:
    """h_y(x) − max_{k≠y} h_k(x) for outputs of shape (N, K) and labels of shape (N,)."""
    own = outputs.gather(1, labels[:, None])
    others = outputs.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.max(1).values


def ramp_losses(margins: Tensor, gamma: float) -> Tensor:
    """1 at margin 0 and below, 0 at γ and above, linear between; at least the 0-1 loss."""
    return (1 - margins / gamma).clamp(0, 1)
