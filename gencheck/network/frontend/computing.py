"""Builders of computed gates: products of two computed tensors, and sums of such products.

One side is the signal, whose paths go on; the other is the gate. The rule: what lies off the path
(it has met a sigmoid, a softmax, a norm, or anything else that no path passes) is the gate; where both
sides lie on it, the one that ends in an activation; where that does not decide either, the product is
refused.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor

from gencheck.network.computed import Scale
from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Laid,
    Off,
    Refused,
    Value,
    argument,
)
from gencheck.network.frontend.layers import UNDECIDED
from gencheck.network.frontend.layout import codes_of, node_of, rows_of, value_of
from gencheck.network.gate_program import GateRead
from gencheck.network.ir import Affine, AvgPool, Clamp, Gate, Reshape, Select
from gencheck.network.node import Shape
from gencheck.network.windows import Index

OFF_PATH = "lies off the path"
_ACTIVATED = "ends in an activation"


def decided_sides(made: Construction, left: Any, right: Any) -> tuple[int, str]:
    """Which of two operands is the gate (0 or 1), and by what rule.

    Raises
    ------
    Refused
        The rule does not decide.
    """
    off = [not isinstance(made.values.get(ref.name), At | Laid) for ref in (left, right)]
    if all(off):
        raise Refused("of two tensors off the path")
    if any(off):
        return off.index(True), OFF_PATH
    ends = [_activated(made, node_of(made.values[ref.name])) for ref in (left, right)]
    if ends[0] == ends[1]:
        raise Refused(UNDECIDED)
    return ends.index(True), _ACTIVATED


def _activated(made: Construction, position: int) -> bool:
    """True where a tensor is an activation's, moved about or scaled at most."""
    node = made.nodes[position]
    while isinstance(node, Reshape | Select | Affine | AvgPool):
        node = made.nodes[node.sources[0]]
    return isinstance(node, Gate | Clamp)


def product(made: Construction, call: Call) -> Value:
    """U ⊙ s: the signal through one computed gate a unit."""
    left, right = call.args[:2]
    which, rule = decided_sides(made, left, right)
    gate, signal = (left, right) if which == 0 else (right, left)
    return _in_place(made, call, left, scaled(made, call, signal, gate.name, rule))


def quotient(made: Construction, call: Call) -> Value:
    """U / s with s off the path."""
    left, right = call.args[:2]
    if not isinstance(made.values.get(right.name), Off):
        raise Refused("by a tensor computed from the input that lies on the path")
    name = made.insert(call, "aten.reciprocal.default", right)
    shape = made.traced_shape(right)
    return _in_place(
        made,
        call,
        left,
        scaled(made, call, signal=left, gate=name, rule=OFF_PATH, gate_shape=shape),
    )


def _in_place(made: Construction, call: Call, first: Ref, value: Value) -> Value:
    if call.target.split(".")[1].endswith("_"):
        old = made.values.get(first.name)
        if isinstance(old, At) and isinstance(value, At):
            return made.overwrite(call, old.position, value)
        made.values[first.name] = value
    return value


def scaled(
    made: Construction,
    call: Call,
    signal: Ref,
    gate: str,
    rule: str,
    gate_shape: tuple[int, ...] | None = None,
) -> Value:
    """The signal times the tensor named `gate`, broadcast against each other.

    Raises
    ------
    Refused
        Items share gates, so that one item's gates would depend on another's.
    """
    value = made.values[signal.name]
    shape = made.traced_shape(Ref(gate)) if gate_shape is None else gate_shape
    codes = codes_of(made, value)
    out = torch.broadcast_shapes(codes.shape, shape)
    entries = torch.arange(prod(shape)).view(shape).expand(out)
    if isinstance(value, At) and out == codes.shape:
        own = entries.reshape(made.batch, -1)
        return made.append(_scale(made, call, source=value.position, gate=gate, own=own, rule=rule))
    rows = rows_of(made, call, node_of(value), codes.expand(out), 0)
    own = entries.reshape(-1)[rows.by_item(made.batch)]
    node = made.append(_scale(made, call, source=rows.position, gate=gate, own=own, rule=rule))
    return rows.back(made, call, node.position, ())


def _scale(made: Construction, call: Call, source: int, gate: str, own: Tensor, rule: str) -> Scale:
    """The node whose unit u of item b has the gate that stands at `own[b, u]` of the tensor `gate`."""
    kept, index = own[0].unique(return_inverse=True)
    where = torch.empty(len(kept), dtype=torch.long)
    where[index] = torch.arange(len(index))
    reads = own[:, where]
    if not torch.equal(reads[:, index], own):
        raise Refused("with a gate that is laid out differently for each item")
    require_own(reads)
    made.reads[len(made.nodes)] = GateRead(gate, reads)
    shape = made.shape(source)
    return Scale(
        shape=shape,
        label=made.label(call),
        sources=(source,),
        gates=len(kept),
        rule=rule,
        index=index.numpy(),
    )


def require_own(reads: Tensor) -> None:
    """Do nothing where no two items read the same entry.

    Raises
    ------
    Refused
        They do.
    """
    if len(reads) > 1 and len(reads.unique()) != sum(len(row.unique()) for row in reads):
        raise Refused("with a gate that items share: it mixes items of the batch")


def normalised(
    made: Construction, call: Call, source: int, gate: tuple[str, int], index: Index
) -> int:
    """A node times 1/std: unit u of item b has the gate (b, index[u]) of a tensor (batch, gates)."""
    name, count = gate
    own = torch.arange(made.batch * count).view(made.batch, count)
    made.reads[len(made.nodes)] = GateRead(name, own)
    shape: Shape = made.shape(source)
    node = Scale(
        shape=shape,
        label=made.label(call),
        sources=(source,),
        gates=count,
        rule="1/std of a normalisation",
        index=index,
    )
    return made.append(node).position


def glu(made: Construction, call: Call) -> Value:
    """The first half of an axis times the sigmoid of the second."""
    source, axis = call.args[0], int(argument(call, 1, "dim", -1))
    value = made.values[source.name]
    codes = codes_of(made, value)
    first, _ = codes.chunk(2, axis)
    half = made.insert(call, "aten.slice.Tensor", *(source, axis, first.shape[axis], 2**62))
    name = made.insert(call, "aten.sigmoid.default", Ref(half))
    signal = Ref(f"{call.name}+signal")
    made.values[signal.name] = value_of(made, call, node_of(value), first)
    return scaled(
        made, call, signal=signal, gate=name, rule=OFF_PATH, gate_shape=tuple(first.shape)
    )


# What makes a gate of the one tensor that it reads.
SINGLE: dict[str, Builder] = {"aten.glu.default": glu}
