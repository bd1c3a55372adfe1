"""Inner products in path space: ‖z(x)‖² of items, ⟨w, w′⟩ of the path weights of two networks."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.algebra import (
    GatedNode,
    NumericAlgebra,
    Planes,
    gate_values,
    identity_weight,
    logits,
    open_gates,
)
from gencheck.network.computed import Centre
from gencheck.network.interpret import interpret
from gencheck.network.ir import Clamp, Network
from gencheck.network.node import Node
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


def path_inner_products(one: Network, two: Network) -> list[tuple[float, int]]:
    """Σ_p w_{p,k} w′_{p,k} of the path weights of two networks of one structure, for each output.

    Returns
    -------
    products
        Each as a mantissa and a power of two.
    """
    both = Network(tuple(map(_multiplied, one.nodes, two.nodes)))
    start = torch.ones((1, *one.input_shape), dtype=torch.float64)
    products = interpret(both, NumericAlgebra(start, identity_weight, open_gates))
    return [(value, products.exponent) for value in products.mantissa[0].tolist()]


def _multiplied(one: Node, two: Node) -> Node:
    """A node whose weights and constants are the products of those of two nodes."""
    if isinstance(one, Centre):
        raise UnsupportedModel(
            [f"centre at {one.label} (products of path weights of two networks)"]
        )
    changes: dict[str, Any] = {}
    for name in ("weight", "bias", "scale", "shift", "constants", "value"):
        value = getattr(one, name, None)
        if isinstance(value, Tensor):
            changes[name] = value.double() * getattr(two, name).double()
    if isinstance(one, Clamp):
        # a constant path has the end itself as its weight, in both networks
        return replace(one, low=one.low * one.low, high=one.high * one.high)
    return replace(one, **changes)
