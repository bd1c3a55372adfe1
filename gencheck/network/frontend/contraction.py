"""Builders of sums of products of a gate and a signal: attention, lookups, positions chosen."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from gencheck.network.computed import Attend, Constant, Embed
from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.computing import decided_sides, product, quotient, require_own
from gencheck.network.frontend.construction import (
    Construction,
    Refused,
    Value,
    argument,
)
from gencheck.network.frontend.layout import codes_of, node_of, rows_of, value_of
from gencheck.network.gate_program import GateRead


def contracted(
    made: Construction, call: Call, signal: tuple[int, Tensor], gate: tuple[str, Tensor], rule: str
) -> Value:
    """Σ_s A(ℓ,t,s) x(ℓ,s,c) over leading axes ℓ, which broadcast.

    Parameters
    ----------
    signal
        A node, and the codes of the traced tensor of shape (…, s, c).
    gate
        A name, and the flat entries of the tensor in the shape (…, t, s).
    """
    (position, codes), (name, entries) = signal, gate
    lead = torch.broadcast_shapes(codes.shape[:-2], entries.shape[:-2])
    codes = codes.expand(*lead, *codes.shape[-2:])
    targets, sources = entries.shape[-2:]
    rows = rows_of(made, call, position, codes, 2)
    flat = entries.expand(*lead, targets, sources).reshape(-1, targets * sources)
    reads = flat[rows.by_item(made.batch)].reshape(made.batch, -1)
    require_own(reads)
    shape = (rows.rows, int(targets), int(codes.shape[-1]))
    label = made.label(call)
    made.reads[len(made.nodes)] = GateRead(name, reads)
    node = made.append(
        Attend(
            shape=shape,
            label=label,
            sources=(rows.position,),
            gates=reads.shape[1],
            rule=rule,
            sources_count=int(sources),
        )
    )
    return rows.back(made, call, node.position, shape[1:])


def _entries(made: Construction, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    found = made.traced_shape(Ref(name)) if shape is None else shape
    return torch.arange(prod(found)).view(found)


def _signal(made: Construction, ref: Ref) -> tuple[int, Tensor]:
    value = made.values[ref.name]
    return node_of(value), codes_of(made, value)


def matrix_product(made: Construction, call: Call) -> Value:
    """A v, or v A: attention weights, or anything off the path, times values."""
    left, right = call.args[:2]
    which, rule = decided_sides(made, left, right)
    if which == 0:
        position, codes = _signal(made, right)
        if codes.dim() < 3:
            raise Refused(f"of a signal of shape {tuple(codes.shape)}")
        gate = _entries(made, left.name)
        return contracted(made, call, (position, codes), (left.name, gate), rule)
    position, codes = _signal(made, left)
    gate = _entries(made, right.name)
    if codes.dim() < 3:
        raise Refused(f"of a signal of shape {tuple(codes.shape)}")
    turned = contracted(made, call, (position, codes.mT), (right.name, gate.mT), rule)
    return value_of(made, call, node_of(turned), codes_of(made, turned).mT)


def attention(made: Construction, call: Call) -> Value:
    """`scaled_dot_product_attention`: softmax(q kᵀ · scale + mask) is the gate of v.

    The weights are what the same call makes of the identity in place of v, whatever its arguments mean.
    """
    query, keys, values = call.args[:3]
    if float(argument(call, 4, "dropout_p", 0.0)) != 0:
        raise Refused("with dropout; call model.eval() before exporting")
    position, codes = _signal(made, values)
    lead, sources = made.traced_shape(query), int(codes.shape[-2])
    same = made.insert(call, "aten.eye.default", sources, dtype=torch.float32)
    extent = [*made.traced_shape(keys)[:-2], sources, sources]
    every = made.insert(call, "aten.expand.default", Ref(same), extent)
    args = (query, keys, Ref(every), *call.args[3:])
    name = made.insert(call, call.target, *args, **call.kwargs)
    if argument(call, 7, "enable_gqa", False):
        codes = codes.repeat_interleave(lead[-3] // codes.shape[-3], -3)
    shape = (*torch.broadcast_shapes(lead[:-2], codes.shape[:-2]), lead[-2], sources)
    gate = _entries(made, name, tuple(shape))
    return contracted(made, call, (position, codes), (name, gate), "attention")


def einsum(made: Construction, call: Call) -> Value:
    """Two operands, one of them a gate, each index summed over in both."""
    equation, operands = str(call.args[0]).replace(" ", ""), call.args[1]
    inputs, _, out = equation.partition("->")
    names = inputs.split(",")
    if len(operands) != 2 or "." in equation or not out or len(set(out)) != len(out):
        raise Refused(f"as {equation!r}")
    which, rule = decided_sides(made, *operands)
    gate, signal = names[which], names[1 - which]
    position, codes = _signal(made, operands[1 - which])
    entries = _entries(made, operands[which].name)
    lead = [i for i in out if i in gate and i in signal]
    summed = [i for i in signal if i in gate and i not in out]
    targets = [i for i in gate if i not in signal]
    channels = [i for i in signal if i not in gate]
    if set(targets + channels) - set(out) or len(set(signal)) != len(signal):
        raise Refused(f"as {equation!r}")
    sizes = dict(zip(signal, codes.shape, strict=True)) | dict(
        zip(gate, entries.shape, strict=True)
    )

    def shaped(tensor: Tensor, have: str, wanted: list[str], parts: list[list[str]]) -> Tensor:
        turned = tensor.permute([have.index(i) for i in wanted])
        return turned.reshape([sizes[i] for i in lead] + [prod(sizes[i] for i in p) for p in parts])

    value = contracted(
        made,
        call,
        (position, shaped(codes, signal, lead + summed + channels, [summed, channels])),
        (operands[which].name, shaped(entries, gate, lead + targets + summed, [targets, summed])),
        rule,
    )
    order = lead + targets + channels
    made_codes = codes_of(made, value).reshape([sizes[i] for i in order])
    back = made_codes.permute([order.index(i) for i in out])
    return value_of(made, call, node_of(value), back.contiguous())


def lookup(made: Construction, call: Call) -> Value:
    """Rows of a table: by the item's own tokens, or by numbers computed from them."""
    table, ids = made.constant(call.args[0]), call.args[1]
    places = made.traced_shape(ids)
    if _are_the_tokens(made, ids.name):
        flat = (*made.graph.input_shape, int(table.shape[1]))
        found = made.append(Embed(flat, made.label(call), (0,), table))
        return made.reshaped(call, found.position, (*places[1:], int(table.shape[1])))
    count, width = table.shape
    name = _one_hot(made, call, ids, int(count))
    rows = made.append(Constant((int(count), int(width)), made.label(call), (), table.double()))
    codes = codes_of(made, rows)
    if not places or places[0] != made.batch:
        raise Refused(f"of numbers of shape {places}")
    entries = _entries(made, name, (made.batch, prod(places[1:]), int(count)))
    value = contracted(made, call, (rows.position, codes), (name, entries), "a lookup")
    return made.reshaped(call, node_of(value), (*places[1:], int(width)))


def _are_the_tokens(made: Construction, name: str) -> bool:
    """True for the item's own tokens, in their order."""
    calls = {call.name: call for call in made.graph.calls}
    while name in calls and calls[name].target in _UNCHANGED:
        name = calls[name].args[0].name
    return name == made.graph.input_name


# Behind these, an item's entries stand in the order in which they stood.
_UNCHANGED = frozenset(
    f"aten.{name}.default"
    for name in ("view", "reshape", "_unsafe_view", "clone", "contiguous", "alias", "detach")
)


def _one_hot(made: Construction, call: Call, ids: Ref, count: int) -> str:
    """The name of [ids = s] for s below `count`, one axis more than ids."""
    wide = made.insert(call, "aten.unsqueeze.default", ids, -1)
    numbers = made.insert(call, "aten.arange.default", count)
    return made.insert(call, "aten.eq.Tensor", Ref(wide), Ref(numbers))


def chosen_positions(made: Construction, call: Call) -> Value:
    """x[items, position(x)]: a position that the item decides, such as the last that is not padding."""
    source, indices = call.args[0], call.args[1]
    position, codes = _signal(made, source)
    if len(indices) != 2 or any(index is None for index in indices) or codes.dim() < 3:
        raise Refused("by an index computed from the input")
    first = made.values.get(indices[0].name)
    everyone = torch.arange(made.batch)
    if not isinstance(first, Tensor) or not torch.equal(first.reshape(-1), everyone):
        raise Refused("by an index computed from the input that mixes items of the batch")
    count = int(codes.shape[1])
    name = _one_hot(made, call, indices[1], count)
    entries = _entries(made, name, (made.batch, 1, count))
    flat = codes.flatten(2)
    value = contracted(made, call, (position, flat), (name, entries), "the position chosen")
    return made.reshaped(call, node_of(value), tuple(codes.shape[2:]))


# By the operator's name without its overload.
COMPUTED: dict[str, Callable[[Construction, Call], Value]] = {
    "aten.mul": product,
    "aten.mul_": product,
    "aten.div": quotient,
    "aten.div_": quotient,
    "aten.matmul": matrix_product,
    "aten.bmm": matrix_product,
    "aten.mm": matrix_product,
    "aten.einsum": einsum,
    "aten.scaled_dot_product_attention": attention,
    "aten.embedding": lookup,
    "aten.index": chosen_positions,
}
