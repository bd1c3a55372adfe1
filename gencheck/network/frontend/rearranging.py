"""Moves of units joined into one, and taken behind the gates of single units.

A dense layer on the last axis is a convolution of width 1 on the others, whose channels come first; so
a text or a sequence of patches is turned and turned back around each of its layers.
"""

from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np

from gencheck.network.ir import Gate, Reshape, Select
from gencheck.network.node import Node


def join_moves(nodes: list[Node], kept: list[int]) -> None:
    """Join the moves among the nodes at `kept`, in place; what nothing reads any more stays.

    A gate that alone reads a permutation changes places with it, which joins what lies around it.
    """
    readers = Counter(source for i in kept for source in nodes[i].sources)
    same: dict[int, int] = {}
    for i in kept:
        node = nodes[i]
        node = replace(node, sources=tuple(same.get(s, s) for s in node.sources))
        if isinstance(node, Gate) and readers[node.sources[0]] == 1:
            node = _exchanged(nodes, node)
        if isinstance(node, Select | Reshape):
            node = _joined(node, nodes[node.sources[0]])
            if isinstance(node, Select) and _is_identity(node, nodes[node.sources[0]]):
                node = Reshape(node.shape, node.label, node.sources)
            if isinstance(node, Reshape) and node.shape == nodes[node.sources[0]].shape:
                same[i] = node.sources[0]
        nodes[i] = node


def _exchanged(nodes: list[Node], gate: Gate) -> Gate | Select:
    """The permutation that a gate reads, the gate now before it; the gate itself where it reads none."""
    position = gate.sources[0]
    move = nodes[position]
    uniform = gate.slope is None or gate.slope.numel() == 1
    if not uniform or not isinstance(move, Select):
        return gate
    shape = nodes[move.sources[0]].shape
    if not np.array_equal(np.sort(move.index), np.arange(prod(shape))):
        return gate
    slope = None if gate.slope is None else gate.slope.reshape(())
    nodes[position] = replace(gate, shape=shape, sources=move.sources, slope=slope)
    return replace(move, sources=(position,))


def _joined(node: Select | Reshape, before: Node) -> Select | Reshape:
    """The move of what the move before it reads."""
    if isinstance(before, Reshape):
        return replace(node, sources=before.sources)
    if not isinstance(before, Select):
        return node
    index = before.index
    if isinstance(node, Select):
        index = np.where(node.index < 0, -1, before.index[node.index])
    return Select(node.shape, node.label, before.sources, index)


def _is_identity(node: Select, source: Node) -> bool:
    return np.array_equal(node.index, np.arange(prod(source.shape)))
