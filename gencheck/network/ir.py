"""The graph that everything else works on: a gated linear network as frozen nodes.

A node refers to the nodes it reads by their position in `Network.nodes`, which is in topological
order. A tensor is thought of per item: shapes leave out the batch axis.
"""

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from torch import Tensor


@dataclass(frozen=True)
class Input:
    """The item x, of shape `shape`; its coordinates are where paths start."""

    shape: tuple[int, ...]
    label: str = "input"

    @property
    def sources(self) -> tuple[int, ...]:
        """No node is read."""
        return ()


@dataclass(frozen=True)
class Dense:
    """y = W x + b: weights of shape (out, in) on the paths, and one bias path a unit where b is given."""

    source: int
    weight: Tensor
    bias: Tensor | None
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The one node read."""
        return (self.source,)


@dataclass(frozen=True)
class Affine:
    """y_c = s_c x_c + t_c: an edge of its own for each channel, and one bias path a channel."""

    source: int
    scale: Tensor
    shift: Tensor
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The one node read."""
        return (self.source,)


@dataclass(frozen=True)
class Gate:
    """y = x · σ with σ = 1 where x > 0 and `slope` elsewhere: ReLU has slope 0, LeakyReLU its own."""

    source: int
    slope: float
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The one node read."""
        return (self.source,)


@dataclass(frozen=True)
class Add:
    """The sum of two tensors of one shape: paths through either."""

    left: int
    right: int
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The two nodes read."""
        return (self.left, self.right)


@dataclass(frozen=True)
class Reshape:
    """The same coordinates in row-major order under another shape."""

    source: int
    shape: tuple[int, ...]
    label: str

    @property
    def sources(self) -> tuple[int, ...]:
        """The one node read."""
        return (self.source,)


Node: TypeAlias = Input | Dense | Affine | Gate | Add | Reshape


def _redirected(node: Node, position: dict[int, int]) -> Node:
    if isinstance(node, Input):
        return node
    if isinstance(node, Add):
        return replace(node, left=position[node.left], right=position[node.right])
    return replace(node, source=position[node.source])


@dataclass(frozen=True)
class Network:
    """A gated linear network whose last node is a `Dense` layer.

    Attributes
    ----------
    nodes
        In topological order; the first is the `Input`, the last the output layer.
    """

    nodes: tuple[Node, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one item."""
        first = self.nodes[0]
        if not isinstance(first, Input):
            raise TypeError("the first node of a network is its input")
        return first.shape

    @property
    def output_layer(self) -> Dense:
        """The last layer, whose outputs share one z."""
        last = self.nodes[-1]
        if not isinstance(last, Dense):
            raise TypeError("the last node of a network is a dense layer")
        return last

    @property
    def output_count(self) -> int:
        """The number K of outputs."""
        return int(self.output_layer.weight.shape[0])

    @property
    def gate_positions(self) -> tuple[int, ...]:
        """The positions of all gate nodes."""
        return tuple(i for i, node in enumerate(self.nodes) if isinstance(node, Gate))

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of coordinates of each node's tensor."""
        widths: list[int] = []
        for node in self.nodes:
            if isinstance(node, Input):
                widths.append(prod(node.shape))
            elif isinstance(node, Dense):
                widths.append(int(node.weight.shape[0]))
            else:
                widths.append(widths[node.sources[0]])
        return tuple(widths)

    def operations(self) -> dict[str, int]:
        """How many nodes of each kind there are, by name."""
        return dict(Counter(_operation_name(node) for node in self.nodes[1:]))


def _operation_name(node: Node) -> str:
    if isinstance(node, Gate):
        return "relu" if node.slope == 0 else "leaky_relu"
    return type(node).__name__.lower()


def folded(nodes: list[Node], output: int) -> Network:
    """The network of the nodes that `output` needs, each `Affine` folded into a `Dense` before it.

    A fold needs the dense layer to have no other reader: W ← s W, b ← s b + t. An affine map with
    another layer before it stays an edge of its own.
    """
    nodes = list(nodes)
    readers = Counter(source for node in nodes for source in node.sources)
    for i, node in enumerate(nodes):
        before = nodes[node.source] if isinstance(node, Affine) else None
        if isinstance(node, Affine) and isinstance(before, Dense) and readers[node.source] == 1:
            bias = node.shift if before.bias is None else node.scale * before.bias + node.shift
            nodes[i] = replace(before, weight=node.scale[:, None] * before.weight, bias=bias)
    return _pruned(nodes, output)


def _pruned(nodes: list[Node], output: int) -> Network:
    needed = {0, output}
    for i in range(len(nodes) - 1, -1, -1):
        if i in needed:
            needed.update(nodes[i].sources)
    position: dict[int, int] = {}
    kept: list[Node] = []
    for i, node in enumerate(nodes):
        if i in needed:
            kept.append(_redirected(node, position))
            position[i] = len(kept) - 1
    return Network(tuple(kept))
