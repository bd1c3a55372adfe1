"""The only traversal of a network: the same walk under any algebra."""

from typing import Protocol, TypeVar

from gencheck.network.computed import Attend, Centre, Constant, Embed, Scale
from gencheck.network.ir import (
    Add,
    Affine,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Gate,
    Input,
    MaxPool,
    Network,
    Reshape,
    Select,
)
from gencheck.network.node import Node

Value = TypeVar("Value")


class Algebra(Protocol[Value]):
    """What each kind of node means; `Value` stands for a node's tensor."""

    def input(self, node: Input) -> Value:
        """The value where paths start."""

    def dense(self, node: Dense, value: Value) -> Value:
        """Through trainable weights, from every unit to every unit, plus bias paths."""

    def conv(self, node: Conv, value: Value) -> Value:
        """Through trainable weights, from every unit of a window, plus bias paths."""

    def affine(self, node: Affine, value: Value) -> Value:
        """Through one weight a unit, plus bias paths."""

    def gate(self, position: int, node: Gate, value: Value) -> Value:
        """Through the gates of the node at `position`."""

    def clamp(self, position: int, node: Clamp, value: Value) -> Value:
        """Through gates, plus paths that start where it saturates."""

    def scale(self, position: int, node: Scale, value: Value) -> Value:
        """Through one computed gate a unit."""

    def attend(self, position: int, node: Attend, value: Value) -> Value:
        """From every source to every target of a head, through a computed gate."""

    def centre(self, node: Centre, value: Value) -> Value:
        """From every unit of a group to each, with structural and trainable weights, plus biases."""

    def constant(self, node: Constant) -> Value:
        """A path starts at each unit."""

    def embed(self, node: Embed, value: Value) -> Value:
        """Through the weights of the token that stands at each place."""

    def max_pool(self, position: int, node: MaxPool, value: Value) -> Value:
        """From every unit of a window, through gates."""

    def avg_pool(self, node: AvgPool, value: Value) -> Value:
        """From every unit of a window, with a structural constant."""

    def select(self, node: Select, value: Value) -> Value:
        """The paths of the units chosen, none where there is no unit."""

    def add(self, left: Value, right: Value) -> Value:
        """The paths of both."""

    def concat(self, node: Concat, values: list[Value]) -> Value:
        """The paths of each in its place."""

    def reshape(self, node: Reshape, value: Value) -> Value:
        """The same paths under another shape."""


def interpret(network: Network, algebra: Algebra[Value]) -> Value:
    """The value of the last node of `network` under `algebra`.

    A value is dropped after its last reader, so that memory follows the width of the graph and not
    its depth.
    """
    last_reader = {
        source: position for position, node in enumerate(network.nodes) for source in node.sources
    }
    values: dict[int, Value] = {}
    for position, node in enumerate(network.nodes):
        values[position] = _apply(algebra, position, node, [values[s] for s in node.sources])
        for source in node.sources:
            if last_reader[source] == position:
                values.pop(source, None)
    return values[len(network.nodes) - 1]


def _apply(algebra: Algebra[Value], position: int, node: Node, read: list[Value]) -> Value:
    match node:
        case Input():
            return algebra.input(node)
        case Constant():
            return algebra.constant(node)
        case Add():
            return algebra.add(read[0], read[1])
        case Concat():
            return algebra.concat(node, read)
        case Gate():
            return algebra.gate(position, node, read[0])
        case Clamp():
            return algebra.clamp(position, node, read[0])
        case MaxPool():
            return algebra.max_pool(position, node, read[0])
        case Scale():
            return algebra.scale(position, node, read[0])
        case Attend():
            return algebra.attend(position, node, read[0])
    return _apply_ungated(algebra, node, read[0])


def _apply_ungated(algebra: Algebra[Value], node: Node, value: Value) -> Value:
    match node:
        case Dense():
            return algebra.dense(node, value)
        case Conv():
            return algebra.conv(node, value)
        case Affine():
            return algebra.affine(node, value)
        case AvgPool():
            return algebra.avg_pool(node, value)
        case Centre():
            return algebra.centre(node, value)
        case Embed():
            return algebra.embed(node, value)
        case Select():
            return algebra.select(node, value)
        case Reshape():
            return algebra.reshape(node, value)
    raise TypeError(f"no algebra knows a {type(node).__name__}")
