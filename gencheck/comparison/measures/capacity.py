"""Counts that the capacity theories rest on: units and weights by layer, depth, pools."""

from dataclasses import dataclass
from math import prod

import torch

from gencheck.network.ir import (
    Add,
    Affine,
    AvgPool,
    Clamp,
    Conv,
    Dense,
    Gate,
    Input,
    MaxPool,
    Network,
)
from gencheck.network.node import Node


@dataclass(frozen=True)
class LayerCounts:
    """Units and weights of each layer, one output in the last; `breakpoints` of the activations."""

    units: tuple[int, ...]
    weights: tuple[int, ...]
    breakpoints: int


def named(node: Node) -> str:
    """What the node is and where, for messages."""
    return f"{node.operation} at {node.label}" if node.label else node.operation


def is_relu(node: Node) -> bool:
    """True for a gate of 0 and 1."""
    return isinstance(node, Gate) and node.slope is not None and not bool(node.slope.any())


def uncounted_by_vc(network: Network) -> str | None:
    """Why the VC bound does not cover the network; None where it does."""
    for node in network.nodes:
        if isinstance(node, MaxPool):
            return f"{named(node)} takes a largest of several units: no function of one"
        if isinstance(node, Gate) and node.slope is None:
            return f"{named(node)} is not piecewise linear"
        if isinstance(node, Gate) and node.kind == "prelu":
            return f"{named(node)} has a trained slope, which the count leaves out"
    return None


def layer_counts(network: Network) -> LayerCounts:
    """k_i and the weights of layer i, where a unit's layer is the most weighted layers on a path.

    Weight sharing is undone: every edge of a convolution counts as a weight of its own, which can
    only enlarge the class. Sums and averages have fixed weights, which are no parameters.
    """
    depths: list[int] = []
    units: dict[int, int] = {}
    weights: dict[int, int] = {}
    last = len(network.nodes) - 1
    for position, node in enumerate(network.nodes):
        depth = max((depths[source] for source in node.sources), default=0)
        if isinstance(node, Dense | Conv | Affine):
            depth += 1
            width = 1 if position == last else prod(node.shape)
            units[depth] = units.get(depth, 0) + width
            weights[depth] = weights.get(depth, 0) + width * _fan_in(node)
        elif isinstance(node, Add | AvgPool):
            # a unit of its own, in its sources' layer
            units[depth] = units.get(depth, 0) + prod(node.shape)
        depths.append(depth)
    order = range(1, depths[-1] + 1)
    clamped = any(isinstance(node, Clamp) for node in network.nodes)
    return LayerCounts(
        tuple(units.get(i, 1) for i in order),
        tuple(weights.get(i, 0) for i in order),
        2 if clamped else 1,
    )


def _fan_in(node: Dense | Conv | Affine) -> int:
    if isinstance(node, Affine):
        return (node.scale is not None) + (node.shift is not None)
    return int(node.weight[0].numel()) + (node.bias is not None)


@dataclass(frozen=True)
class GraphCounts:
    """The most neurons on a path, the kinds of max-pool, and the taps of the largest."""

    depth: int
    pool_kinds: int
    pool_size: int


def uncovered_by_graph_bound(network: Network) -> str | None:
    """Why the network is no ReLU graph; None where it is one."""
    for node in network.nodes:
        if isinstance(node, Clamp) or (isinstance(node, Gate) and not is_relu(node)):
            return f"{named(node)} is no ReLU, identity or max-pool"
    return None


def graph_counts(network: Network) -> GraphCounts:
    """Counts of the network as a graph of neurons; every sum and average is a neuron of its own."""
    depths: list[int] = []
    for node in network.nodes:
        before = max((depths[source] for source in node.sources), default=0)
        neuron = isinstance(node, Dense | Conv | Affine | Add | AvgPool | MaxPool)
        # a gate on the input itself is a neuron too; elsewhere it belongs to the one before
        on_input = isinstance(node, Gate) and isinstance(network.nodes[node.sources[0]], Input)
        depths.append(before + int(neuron or on_input))
    pools = {node.windows.taps for node in network.nodes if isinstance(node, MaxPool)}
    return GraphCounts(depths[-1], len(pools), max(pools, default=1))


def has_trained_slope(network: Network) -> bool:
    """True where a PReLU's slope is trained, which is no weight on an edge."""
    return any(isinstance(node, Gate) and node.kind == "prelu" for node in network.nodes)


def has_bias(network: Network) -> bool:
    """True where some path starts at a bias or a constant."""
    tensors = [
        node.shift if isinstance(node, Affine) else node.bias
        for node in network.nodes
        if isinstance(node, Dense | Conv | Affine)
    ]
    return any(tensor is not None and bool(torch.any(tensor != 0)) for tensor in tensors)
