"""The trainable numbers of a network, as a list that can be moved about."""

from dataclasses import fields, replace

import torch
from torch import Tensor

from gencheck.network.algebra import logits
from gencheck.network.ir import Affine, Conv, Dense, Network
from gencheck.network.node import Node

# The fields of each kind of node that hold trainable numbers; slopes of gates are held fixed.
_TRAINABLE = {"weight", "bias", "scale", "shift"}


def weights_of(network: Network, like: Tensor) -> list[Tensor]:
    """Copies of all weights and biases, in the order of the nodes, in the dtype and place of `like`.

    BatchNorm in eval mode has been folded into the layer before it: its numbers are those of the
    folded layer.
    """
    return [
        getattr(node, name).detach().to(like).clone()
        for node in network.nodes
        for name in _names(node)
    ]


def with_weights(network: Network, weights: list[Tensor]) -> Network:
    """The same network with other numbers, in the order of `weights_of`."""
    remaining = iter(weights)
    nodes = [
        replace(node, **{name: next(remaining) for name in _names(node)})  # type: ignore[arg-type]
        for node in network.nodes
    ]
    return Network(tuple(nodes))


def outputs_of(network: Network, items: Tensor) -> Tensor:
    """h(x) of shape (N, K), differentiable in the network's weights."""
    return logits(network, items)[0].plain()


def batched_outputs(network: Network, items: Tensor, batch_size: int) -> Tensor:
    """h(x) of shape (N, K), a batch at a time, without gradients."""
    with torch.no_grad():
        return torch.cat([outputs_of(network, part) for part in items.split(batch_size)])


def _names(node: Node) -> list[str]:
    if not isinstance(node, Dense | Conv | Affine):
        return []
    return [
        field.name
        for field in fields(node)
        if field.name in _TRAINABLE and getattr(node, field.name) is not None
    ]
