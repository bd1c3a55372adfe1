"""Normalisation folded into the layers around it, and nodes that nothing reads left out."""

from collections import Counter
from dataclasses import replace

from torch import Tensor

from gencheck.network.frontend.centring import fold_centring
from gencheck.network.frontend.rearranging import join_moves
from gencheck.network.ir import Affine, Conv, Dense, Network
from gencheck.network.node import Node


def fold(nodes: list[Node], output: int) -> tuple[Network, dict[int, int]]:
    """The network of the nodes that `output` needs, each `Affine` folded into a layer before it.

    A fold needs the layer to have no other reader and the affine map to treat each of its channels
    alike: W ← s W, b ← s b + t. Any other affine map stays an edge of its own. Centring goes into the
    layers behind it, and moves of units are joined.

    Returns
    -------
    network, positions
        The new position of each old one that is kept.
    """
    nodes = list(nodes)
    kept = _needed(nodes, output)
    readers = Counter(source for i in kept for source in nodes[i].sources)
    for i in kept:
        node = nodes[i]
        if isinstance(node, Affine) and readers[node.sources[0]] == 1:
            before = nodes[node.sources[0]]
            if isinstance(before, Dense | Conv):
                nodes[i] = _scaled(before, node) or node
    fold_centring(nodes, kept)
    join_moves(nodes, _needed(nodes, output))
    return _pruned(nodes, output)


def _scaled(layer: Dense | Conv, affine: Affine) -> Node | None:
    """The layer with the affine map folded in; None where that is not one number a channel."""
    channels = int(layer.weight.shape[0])
    scale, shift = (_by_channel(t, channels, affine) for t in (affine.scale, affine.shift))
    if scale is False or shift is False:
        return None
    weight, bias = layer.weight, layer.bias
    if isinstance(scale, Tensor):
        weight = scale.reshape(-1, *[1] * (weight.ndim - 1)) * weight
        bias = None if bias is None else scale * bias
    if isinstance(shift, Tensor):
        bias = shift if bias is None else bias + shift
    return replace(layer, weight=weight, bias=bias)


def _by_channel(tensor: Tensor | None, channels: int, affine: Affine) -> Tensor | bool | None:
    """One number a channel; False where it is more than that."""
    if tensor is None:
        return None
    full = tensor.reshape(*[1] * (len(affine.shape) - tensor.ndim), *tensor.shape)
    if full.numel() not in (1, full.shape[0]):
        return False
    return full.reshape(-1).expand(channels)


def _needed(nodes: list[Node], output: int) -> list[int]:
    needed = {0, output}
    for i in range(len(nodes) - 1, -1, -1):
        if i in needed:
            needed.update(nodes[i].sources)
    return sorted(needed)


def _pruned(nodes: list[Node], output: int) -> tuple[Network, dict[int, int]]:
    kept = _needed(nodes, output)
    position = {old: new for new, old in enumerate(kept)}
    kept_nodes = (
        replace(nodes[i], sources=tuple(position[s] for s in nodes[i].sources)) for i in kept
    )
    return Network(tuple(kept_nodes)), position
