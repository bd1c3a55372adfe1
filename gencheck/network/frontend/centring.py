"""Centring of a normalisation folded into the dense layers that read it.

A LayerNorm is a gate 1/std, a centring, a gain γ and a shift β. Where nothing but layers with weights
reads it, each unit of a group of n, these layers take the rest:

    W′ = W diag(γ) (I − 11ᵀ/n)        b′ = b + W β
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gencheck.network.computed import Centre
from gencheck.network.ir import Conv, Dense, Reshape, Select
from gencheck.network.node import Node
from gencheck.network.windows import Index


def fold_centring(nodes: list[Node], kept: list[int]) -> None:
    """Fold each `Centre` among the nodes at `kept` into its readers, in place, where all can take it."""
    for position in kept:
        centre = nodes[position]
        if not isinstance(centre, Centre):
            continue
        layers = {
            i: _centred(layer, centre, units) for i, layer, units in _readers(nodes, kept, position)
        }
        if layers and all(layer is not None for layer in layers.values()):
            for i, layer in layers.items():
                assert layer is not None
                nodes[i] = layer
            nodes[position] = Reshape(centre.shape, centre.label, centre.sources)


def _readers(
    nodes: list[Node], kept: list[int], position: int
) -> list[tuple[int, Node, Index | None]]:
    """What reads a node, moves left out, with the node's unit that each of its inputs is.

    None in place of the units where there are zeros among the inputs.
    """
    reached: dict[int, Index] = {position: np.arange(int(np.prod(nodes[position].shape)))}
    found: list[tuple[int, Node, Index | None]] = []
    for i in kept:
        node = nodes[i]
        units = next((reached[s] for s in node.sources if s in reached), None)
        if units is None:
            continue
        if isinstance(node, Reshape):
            reached[i] = units
        elif isinstance(node, Select) and bool((node.index >= 0).all()):
            reached[i] = units[node.index]
        else:
            found.append((i, node, None if isinstance(node, Select) else units))
    return found


def _centred(layer: Node, centre: Centre, units: Index | None) -> Dense | Conv | None:
    """The layer with the centring folded in; None where it is none that can take it."""
    if units is None:
        return None
    flat = [
        None if t is None else t.double().expand(centre.shape).reshape(-1)[torch.from_numpy(units)]
        for t in (centre.scale, centre.shift)
    ]
    group, count = centre.group_of[units], centre.members.shape[1]
    if isinstance(layer, Dense):
        whole = len(np.unique(units)) == len(units)
        if not whole or bool((np.unique(group, return_counts=True)[1] != count).any()):
            return None
        gain, shift = flat
        return _folded(layer, (gain, shift), torch.from_numpy(group), count)
    if not isinstance(layer, Conv) or layer.groups > 1 or bool((layer.windows.sources < 0).any()):
        return None
    channels = int(layer.weight.shape[1])
    by_place = units.reshape(channels, -1)
    alone = bool((group.reshape(channels, -1) == group[: by_place.shape[1]]).all())
    if channels != count or not alone or len(np.unique(by_place[:, 0])) != count:
        return None
    if any(len(np.unique(column)) != count for column in by_place.T):
        return None
    tables = [None if t is None else t.view(channels, -1) for t in flat]
    if any(t is not None and bool((t != t[:, :1]).any()) for t in tables):
        return None
    gain, shift = (None if t is None else t[:, 0] for t in tables)
    return _folded(layer, (gain, shift), torch.zeros(channels, dtype=torch.long), count)


def _folded(
    layer: Dense | Conv, affine: tuple[Tensor | None, Tensor | None], group: Tensor, count: int
) -> Dense | Conv:
    """W′ and b′ for a layer whose inputs are in these groups of `count` units."""
    gain, shift = affine
    weight = layer.weight.double()
    bias = layer.bias
    if shift is not None:
        added = (weight.flatten(2).sum(2) if weight.dim() > 2 else weight) @ shift
        bias = added if bias is None else bias.double() + added
    if gain is not None:
        weight = weight * gain.view(1, -1, *[1] * (weight.dim() - 2))
    sums = weight.new_zeros((len(weight), int(group.max()) + 1, *weight.shape[2:]))
    sums.index_add_(1, group, weight)
    return replace(layer, weight=weight - sums[:, group] / count, bias=bias)
