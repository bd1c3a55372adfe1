"""The graph that everything else works on: a gated linear network as frozen nodes.

A node refers to the nodes it reads by their position in `Network.nodes`, which is in topological
order. A tensor is thought of per item: shapes leave out the batch axis. Its coordinates are called
units; flat, they are counted in row-major order. What an item decides about a node's gates comes in
*planes*: tensors of gates of the node's shape, one for a ReLU, one for each tap of a max-pool.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from torch import Tensor

from gencheck.network.computed import Computed, Embed
from gencheck.network.gate_program import GateProgram
from gencheck.network.node import Node, Shape
from gencheck.network.windows import Index, Windows


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The item x; its coordinates are where paths start."""


@dataclass(frozen=True, eq=False)
class Dense(Node):
    """y = W x + b: weights of shape (out, in) on the paths, and one bias path a unit where b is given."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """A convolution: weights of shape (out, in / groups, *kernel), and a bias path a unit with b."""

    weight: Tensor
    bias: Tensor | None
    windows: Windows
    groups: int

    @property
    def operation(self) -> str:
        """Named by its dimensions."""
        return f"conv{len(self.windows.extent)}d"


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """y = s x + t, unit by unit: an edge of its own, and one bias path a unit where t is given.

    `scale` and `shift` have shapes that broadcast to the item's.
    """

    scale: Tensor | None
    shift: Tensor | None


@dataclass(frozen=True, eq=False)
class Gate(Node):
    """y = x · σ: 1 where x > 0 and `slope` elsewhere, or the gate of a smooth activation.

    Attributes
    ----------
    kind
        ``relu``, ``leaky_relu``, ``prelu``, or a name in `activations.SMOOTH`.
    slope
        Broadcasts to the item's shape; None for a smooth gate.
    """

    kind: str
    slope: Tensor | None

    @property
    def operation(self) -> str:
        """Named by its activation."""
        return self.kind

    @property
    def planes(self) -> int:
        """One."""
        return 1

    @cached_property
    def leaks(self) -> bool:
        """True where an inactive gate is worth more or less than 0."""
        return self.slope is not None and bool(self.slope.any())


# The planes of a Clamp.
INSIDE, ABOVE, BELOW = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Clamp(Node):
    """y = x·[low < x < high] + high·[x ≥ high] + low·[x ≤ low]: ReLU6, Hardtanh.

    Where it saturates, a path starts at 1 with weight `high` or `low`, unless that is 0.
    """

    low: float
    high: float

    @property
    def operation(self) -> str:
        """ReLU6 or Hardtanh."""
        return "relu6" if (self.low, self.high) == (0, 6) else "hardtanh"

    @property
    def planes(self) -> int:
        """Inside, above and, unless the lower end is 0, below."""
        return 2 if self.low == 0 else 3

    @property
    def ends(self) -> list[tuple[int, float]]:
        """The planes in which a path starts, with the constant on it."""
        both = (ABOVE, self.high), (BELOW, self.low)
        return [(plane, end) for plane, end in both if end != 0]


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """The largest of each window: gate 1 on the first arg-max edge, 0 on the others of the window."""

    windows: Windows

    @property
    def operation(self) -> str:
        """Max-pool."""
        return "max_pool"

    @property
    def planes(self) -> int:
        """One for each tap."""
        return self.windows.taps


@dataclass(frozen=True, eq=False)
class AvgPool(Node):
    """c · the sum over each window, the constant c by window.

    Attributes
    ----------
    reads
        The flat position of each tap of each window within a channel, −1 for none; (taps, windows).
    constants
        Shape (windows,), float64.
    """

    reads: Index
    constants: Tensor

    @property
    def operation(self) -> str:
        """Average or sum."""
        return "avg_pool"


@dataclass(frozen=True, eq=False)
class Select(Node):
    """Unit u is unit `index[u]` of the source, or 0 where that is −1: permutations, slices, zero pads."""

    index: Index


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same units in row-major order under another shape."""


@dataclass(frozen=True, eq=False)
class Add(Node):
    """The sum of two tensors of one shape: paths through either."""


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Tensors side by side along `axis`, with these sizes on it."""

    axis: int
    sizes: tuple[int, ...]

    @property
    def places(self) -> list[Index]:
        """For each source, the flat units that its own become."""
        units = np.arange(prod(self.shape)).reshape(self.shape)
        parts = np.split(units, np.cumsum(self.sizes)[:-1], self.axis)
        return [part.ravel() for part in parts]


def is_smooth(node: Node) -> bool:
    """True for a gate that is more than piecewise constant."""
    return isinstance(node, Computed) or (isinstance(node, Gate) and node.slope is None)


@dataclass(frozen=True)
class Network:
    """A gated linear network whose last node is a `Dense` layer.

    Attributes
    ----------
    nodes
        In topological order; the first is the `Input`, the last the output layer.
    program
        What computes the gates of `Computed` nodes, where there are any.
    """

    nodes: tuple[Node, ...]
    program: GateProgram | None = None

    @property
    def input_shape(self) -> Shape:
        """The shape of one item."""
        return self.nodes[0].shape

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

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The number of units of each node's tensor."""
        return tuple(prod(node.shape) for node in self.nodes)

    @property
    def gates_lie_in_unit_interval(self) -> bool:
        """False where a slope lies outside [0, 1], or gates are computed and may."""
        if any(isinstance(node, Computed | Embed) for node in self.nodes):
            return False
        slopes = [node.slope for node in self.nodes if isinstance(node, Gate)]
        return all(s is None or bool(((s >= 0) & (s <= 1)).all()) for s in slopes)

    @property
    def smooth(self) -> bool:
        """True where a gate is more than piecewise constant in the item."""
        return any(is_smooth(node) for node in self.nodes)

    @property
    def takes_tokens(self) -> bool:
        """True where an item consists of whole numbers that are looked up."""
        return any(isinstance(node, Embed) for node in self.nodes)

    def computed_gates(self, items: Tensor) -> dict[int, Tensor]:
        """The gates of each `Computed` node by its position, shape (N, gates)."""
        return {} if self.program is None else self.program.gates(items)

    def gate_places(self) -> list[dict[str, str]]:
        """Where gates are computed: the layer, what kind of node, and why that side is the gate."""
        return [
            {"layer": node.label, "kind": node.operation, "rule": node.rule}
            for node in self.nodes
            if isinstance(node, Computed)
        ]

    def operations(self) -> dict[str, int]:
        """How many nodes of each kind there are, by name."""
        return dict(Counter(node.operation for node in self.nodes[1:]))
