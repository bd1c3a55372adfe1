"""Two networks of one structure brought together: gates from one, weights from the other."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.ir import Gate, Network
from gencheck.network.node import Node

# What two networks of one structure may differ in: trained numbers, and the words of messages.
_FREE = {"label", "weight", "bias", "scale", "shift", "slope", "value"}


def with_gates_of(weights: Network, gates: Network) -> Network:
    """`weights` with the slopes of `gates`: a slope is a gate, so it belongs to z and not to w.

    Raises
    ------
    InputError
        The two differ in structure; names the first layer in which they do.
    UnsupportedModel
        Gates are computed from more than one tensor.
    """
    if weights.program is not None:
        places = (f"{place['kind']} at {place['layer']}" for place in weights.gate_places())
        raise UnsupportedModel([f"{place} (gates of a second network)" for place in places])
    if len(weights.nodes) != len(gates.nodes):
        raise _misfit(f"{len(gates.nodes)} operations, not {len(weights.nodes)}")
    nodes = []
    for own, other in zip(weights.nodes, gates.nodes, strict=True):
        if not _alike(own, other):
            raise _misfit(f"{other.operation} at {other.label} of another kind or shape")
        slope = isinstance(own, Gate) and isinstance(other, Gate)
        nodes.append(replace(own, slope=other.slope) if slope else own)  # type: ignore[call-arg, attr-defined]
    return Network(tuple(nodes))


def _alike(own: Node, other: Node) -> bool:
    if type(own) is not type(other):
        return False
    for entry in fields(own):
        one, two = getattr(own, entry.name), getattr(other, entry.name)
        if entry.name in _FREE and isinstance(one, Tensor) and isinstance(two, Tensor):
            if one.shape != two.shape:
                return False
        elif entry.name != "label" and not _equal(one, two):
            return False
    return True


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and bool((one == two).all())
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    return bool(one == two)


def _misfit(found: str) -> InputError:
    return InputError(
        where="the gate network",
        found=found,
        required="the structure of the weight network, layer by layer",
        remedy="Both checkpoints of a two-phase run have one architecture; pass those.",
    )
