"""The only traversal of a network: the same walk under any algebra."""

from typing import Protocol, TypeVar

from gencheck.network.ir import Add, Affine, Dense, Gate, Input, Network, Reshape

Value = TypeVar("Value")


class Algebra(Protocol[Value]):
    """What each kind of node means; `Value` stands for a node's tensor."""

    def input(self, node: Input) -> Value:
        """The value where paths start."""

    def dense(self, node: Dense, value: Value) -> Value:
        """Through trainable weights, from every coordinate to every unit, plus bias paths."""

    def affine(self, node: Affine, value: Value) -> Value:
        """Through one weight a channel, plus bias paths."""

    def gate(self, position: int, node: Gate, value: Value) -> Value:
        """Through the gates of the node at `position`."""

    def add(self, left: Value, right: Value) -> Value:
        """The paths of both."""

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
        values[position] = _apply(algebra, position, node, values)
        for source in node.sources:
            if last_reader[source] == position:
                values.pop(source, None)
    return values[len(network.nodes) - 1]


def _apply(
    algebra: Algebra[Value],
    position: int,
    node: Input | Dense | Affine | Gate | Add | Reshape,
    values: dict[int, Value],
) -> Value:
    match node:
        case Input():
            return algebra.input(node)
        case Dense():
            return algebra.dense(node, values[node.source])
        case Affine():
            return algebra.affine(node, values[node.source])
        case Gate():
            return algebra.gate(position, node, values[node.source])
        case Add():
            return algebra.add(values[node.left], values[node.right])
        case Reshape():
            return algebra.reshape(node, values[node.source])
