"""Inner products in path space: ‖z(x)‖² of items, ‖w − w⁰‖² of the path weights of two networks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gencheck.network.algebra import NumericAlgebra, identity_weight, logits, open_gates
from gencheck.network.computed import Attend, Centre, Constant, Embed, Scale
from gencheck.network.interpret import interpret
from gencheck.network.ir import (
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
from gencheck.network.planes import GatedNode, Planes, gate_values
from gencheck.network.scaled import Scaled


def squared_feature_norms(
    network: Network, items: Tensor, planes: dict[int, Planes] | None = None
) -> Scaled:
    """‖z(x)‖² = Σ_p z_p(x)² = K(x, x) of each item, by one walk: x², all weights 1, gates squared.

    Parameters
    ----------
    items
        Shape (N, *input_shape), floating point.
    planes
        The gates that they set, where they are known already.

    Returns
    -------
    squares
        Shape (N,).
    """
    held = logits(network, items)[1] if planes is None else planes

    def squared(position: int, node: GatedNode, value: Scaled) -> Planes:
        gates = (gate_values(node, plane, value.mantissa) for plane in held[position])
        return [gate.square() for gate in gates]

    tokens = network.takes_tokens
    start = items if tokens else items.square()
    norms = interpret(network, NumericAlgebra(start, torch.ones_like, squared, tokens))
    return Scaled(norms.mantissa[:, 0], norms.exponent)


def squared_path_distances(own: Network, base: Network) -> tuple[Scaled, Scaled]:
    """Σ_p (w_{p,k} − w⁰_{p,k})² of two networks of one structure, for each output, and its rounding.

    The differences themselves are carried along the paths, so that weights which moved by a part in
    10⁷ have a distance of as many digits as any others; ‖w‖² + ‖w⁰‖² − 2⟨w, w⁰⟩ would have none.
    Movements of two layers can still cancel; the second result bounds what rounding takes then.

    Returns
    -------
    squares, rounding
        Each of shape (K,).
    """
    algebra = _Distances(own, base, identity_weight)
    squares = interpret(own, algebra).moved
    absolute = interpret(own, _Distances(own, base, torch.abs)).moved
    # each sum of n terms loses at most n units in the last place, relative to its absolute sum
    rounding = absolute.mantissa * (_additions(own) * torch.finfo(torch.float64).eps)
    return (
        Scaled(squares.mantissa[0], squares.exponent),
        Scaled(rounding[0], absolute.exponent),
    )


def _additions(network: Network) -> int:
    """How many roundings a path's sum goes through, at most: fan-in by fan-in, and some a node."""
    counts = (
        int(node.weight[0].numel()) if isinstance(node, Dense | Conv) else 0
        for node in network.nodes
    )
    return 3 * sum(counts) + 16 * len(network.nodes)


@dataclass(frozen=True)
class _Moments:
    """Sums over the paths that reach a tensor, with w⁰ their weights in one network, u = w − w⁰.

    Attributes
    ----------
    moved, mixed, base
        Σ u², Σ u w⁰ and Σ w⁰².
    """

    moved: Scaled
    mixed: Scaled
    base: Scaled

    def each(self, step: Callable[[Scaled], Scaled]) -> "_Moments":
        return _Moments(step(self.moved), step(self.mixed), step(self.base))


class _Distances:
    """An edge of weight a in one network and b = a − d in the other: u ↦ u a + w⁰ d, w⁰ ↦ w⁰ b."""

    def __init__(self, own: Network, base: Network, size: Callable[[Tensor], Tensor]) -> None:
        self.other = dict(zip(own.nodes, base.nodes, strict=True))
        self.size = size
        start = torch.ones((1, *own.input_shape), dtype=torch.float64)
        self.plain = NumericAlgebra(start, identity_weight, open_gates)

    def input(self, node: Input) -> _Moments:
        """Paths start with weight 1 in both."""
        one = self.plain.input(node)
        nothing = Scaled(torch.zeros_like(one.mantissa), 0)
        return _Moments(nothing, nothing, one)

    def dense(self, node: Dense, value: _Moments) -> _Moments:
        """Through the weights of both."""
        return self._grown(node, value, self.plain.dense)

    def conv(self, node: Conv, value: _Moments) -> _Moments:
        """Through the weights of both."""
        return self._grown(node, value, self.plain.conv)

    def affine(self, node: Affine, value: _Moments) -> _Moments:
        """Through the weights of both."""
        return self._grown(node, value, self.plain.affine)

    def _grown(self, node: Any, value: _Moments, step: Callable[[Any, Scaled], Scaled]) -> _Moments:
        """u² a² + 2 u w⁰ a d + w⁰² d², u w⁰ a b + w⁰² b d and w⁰² b², from all edges."""
        plus = self.plain.add
        double = Scaled(2 * value.mixed.mantissa, value.mixed.exponent)
        moved = step(self._node(node, "aa", "dd"), value.moved)
        moved = plus(moved, step(self._node(node, "ad"), double))
        moved = plus(moved, step(self._node(node, "dd"), value.base))
        mixed = step(self._node(node, "ab", "bd"), value.mixed)
        mixed = plus(mixed, step(self._node(node, "bd"), value.base))
        return _Moments(moved, mixed, step(self._node(node, "bb", "bb"), value.base))

    def _node(self, node: Any, weight: str, bias: str | None = None) -> Any:
        """The node with a product of two of a, b, d for its weights, and one or none for its biases."""
        other: Any = self.other[node]
        changes: dict[str, Any] = {}
        for name, product in (
            ("weight", weight),
            ("scale", weight),
            ("bias", bias),
            ("shift", bias),
        ):
            if not hasattr(node, name):
                continue
            a, b = getattr(node, name), getattr(other, name)
            if a is None and name == "scale":
                a = b = torch.ones(())
            if a is not None and product is not None:
                a, b = a.double(), b.double()
                parts = {"a": self.size(a), "b": self.size(b), "d": self.size(a - b)}
                changes[name] = parts[product[0]] * parts[product[1]]
            elif a is not None:
                changes[name] = None
        return replace(node, **changes)

    def centre(self, node: Centre, value: _Moments) -> _Moments:
        """Through the weights of both, and the structural constants δ − 1/n of both."""
        return self._grown(node, value, self._centred)

    def _centred(self, node: Centre, value: Scaled) -> Scaled:
        flat, members = value.mantissa.flatten(1), torch.from_numpy(node.members)
        count = members.shape[1]
        sums = flat[:, members].sum(2)[:, torch.from_numpy(node.group_of)]
        assert node.scale is not None
        scale = node.scale.double().expand(node.shape).reshape(-1) / count**2
        paths = scale * ((count - 1) ** 2 * flat + (sums - flat))
        shift = None if node.shift is None else node.shift.expand(node.shape)
        grown = Scaled(paths.reshape(-1, *node.shape), value.exponent)
        return grown if shift is None else self.plain.add(grown, Scaled(shift[None], 0))

    def constant(self, node: Constant) -> _Moments:
        """Paths that start here, with another weight in either."""
        other: Any = self.other[node]
        a, b = node.value.double(), other.value.double()
        base, moved = self.size(b), self.size(a - b)
        products = (moved * moved, moved * base, base * base)
        return _Moments(*(Scaled(each.expand(1, *node.shape), 0) for each in products))

    def embed(self, node: Embed, value: _Moments) -> _Moments:
        """Through the weights of every token in both."""
        return self._grown(node, value, self.plain.embed)

    def gate(self, position: int, node: Gate, value: _Moments) -> _Moments:
        """Every gate is open."""
        return value

    def scale(self, position: int, node: Scale, value: _Moments) -> _Moments:
        """Every gate is open."""
        return value

    def attend(self, position: int, node: Attend, value: _Moments) -> _Moments:
        """From every source to every target."""
        return value.each(lambda sums: self.plain.attend(position, node, sums))

    def clamp(self, position: int, node: Clamp, value: _Moments) -> _Moments:
        """Where it saturates, a path starts with the end itself as its weight in both networks."""
        ends = replace(node, low=node.low**2, high=node.high**2)
        return replace(value, base=self.plain.clamp(position, ends, value.base))

    def max_pool(self, position: int, node: MaxPool, value: _Moments) -> _Moments:
        """From every unit of a window."""
        return value.each(lambda sums: self.plain.max_pool(position, node, sums))

    def avg_pool(self, node: AvgPool, value: _Moments) -> _Moments:
        """From every unit of a window, with the constant of both."""
        squared = replace(node, constants=node.constants.square())
        return value.each(lambda sums: self.plain.avg_pool(squared, sums))

    def select(self, node: Select, value: _Moments) -> _Moments:
        """The paths of the units chosen."""
        return value.each(lambda sums: self.plain.select(node, sums))

    def add(self, left: _Moments, right: _Moments) -> _Moments:
        """The paths of both."""
        return _Moments(
            self.plain.add(left.moved, right.moved),
            self.plain.add(left.mixed, right.mixed),
            self.plain.add(left.base, right.base),
        )

    def concat(self, node: Concat, values: list[_Moments]) -> _Moments:
        """The paths of each in its place."""
        return _Moments(
            self.plain.concat(node, [value.moved for value in values]),
            self.plain.concat(node, [value.mixed for value in values]),
            self.plain.concat(node, [value.base for value in values]),
        )

    def reshape(self, node: Reshape, value: _Moments) -> _Moments:
        """The same paths under another shape."""
        return value.each(lambda sums: self.plain.reshape(node, sums))
