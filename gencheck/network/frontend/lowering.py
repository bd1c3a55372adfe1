"""ATen calls lowered to the nodes of a `Network`, or one error that names every offender."""

from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import ON_SIZES, AtenGraph, Call, Ref, needed_calls
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Laid,
    Off,
    Refused,
    Value,
)
from gencheck.network.frontend.contraction import COMPUTED
from gencheck.network.frontend.fold import fold
from gencheck.network.frontend.gating import GATING
from gencheck.network.frontend.joining import JOINING
from gencheck.network.frontend.laid import on_laid, suits_rows
from gencheck.network.frontend.layers import LAYERS, UNDECIDED
from gencheck.network.frontend.layout import MOVES, moved
from gencheck.network.frontend.norms import NORMS
from gencheck.network.frontend.runnable import computes_on_tensors, makes_gates
from gencheck.network.frontend.shaping import SHAPING
from gencheck.network.gate_program import GateProgram, mixing_call
from gencheck.network.ir import AvgPool, Conv, Dense, Network, Reshape, Select


def _constants_alone(made: Construction, call: Call) -> Value:
    raise Refused("on a tensor computed from the input")


# Operators on constants alone (weight parametrisations, transposed weights) are computed once.
_ON_CONSTANTS = (
    "aten.t.default",
    "aten.linalg_vector_norm.default",
    "aten._weight_norm.default",
)

BUILDERS: dict[str, Builder] = {
    **LAYERS,
    **GATING,
    **SHAPING,
    **JOINING,
    **NORMS,
    **dict.fromkeys(_ON_CONSTANTS, _constants_alone),
}

RUNNABLE = frozenset(BUILDERS)


def lower(graph: AtenGraph) -> Network:
    """The network of a traced model: normalisation folded, what does nothing left out.

    Raises
    ------
    UnsupportedModel
        Names every operation outside the path view with the module that it came from.
    """
    made = Construction(replace(graph, constants=dict(graph.constants)))
    for call in graph.calls:
        _lower(made, call)
    output = made.values.get(graph.output)
    if not isinstance(output, At):
        raise UnsupportedModel(offenders(made))
    network, positions = fold(made.nodes, _dense_end(made, output.position))
    network = replace(network, program=_program(made, positions))
    last = network.nodes[-1]
    if not isinstance(last, Dense):
        raise UnsupportedModel(
            [
                f"{last.operation} at {last.label} as the last layer "
                "(the last layer must be a dense Linear, so that all outputs share one z)"
            ]
        )
    return network


def _dense_end(made: Construction, position: int) -> int:
    """The position of the output layer: a convolution on one place is one; behind a pool it is added.

    SqueezeNet's classes are the channels of its last convolution, each with gates of its own. Through
    an identity all outputs share one z, in which the paths of each class have weight 0 for the others.
    """
    node = made.nodes[position]
    while isinstance(node, Reshape | Select):
        node = made.nodes[node.sources[0]]
    shape = made.shape(position)
    if isinstance(node, Conv) and _sees_one_place(node) and len(shape) == 1:
        label, weight = node.label, node.weight.reshape(shape[0], -1)
        flat = made.append(Reshape((int(weight.shape[1]),), label, node.sources))
        return made.append(Dense(shape, label, (flat.position,), weight, node.bias)).position
    if not isinstance(node, AvgPool) or len(shape) != 1:
        return position
    same = torch.eye(shape[0], dtype=torch.float64)
    return made.append(Dense(shape, "the outputs", (position,), same, None)).position


def _sees_one_place(node: Conv) -> bool:
    windows = node.windows
    return node.groups == 1 and windows.is_identity and prod(windows.extent) == 1


def _lower(made: Construction, call: Call) -> None:
    call = _with_sizes(made, call)
    try:
        value = _built(made, call)
    except (Refused, ValueError, MemoryError, OverflowError) as refusal:
        made.refusals[call.name] = str(refusal)
        value = Off(call.name)
        if call.target.removeprefix("aten.").split(".")[0].endswith("_"):
            made.values[call.args[0].name] = Off(call.args[0].name)
    made.values[call.name] = value


def _with_sizes(made: Construction, call: Call) -> Call:
    """The call with sizes that depend on the batch filled in, as those of the batch lowered for."""

    def filled(value: Any) -> Any:
        if isinstance(value, Ref):
            known = made.values.get(value.name)
            return known if isinstance(known, int) else value
        return [filled(v) for v in value] if isinstance(value, list | tuple) else value

    kwargs = {key: filled(value) for key, value in call.kwargs.items()}
    return replace(call, args=tuple(filled(call.args)), kwargs=kwargs)


def _built(made: Construction, call: Call) -> Value:
    read = made.read(call)
    made.refuse_overwritten(read)
    moving = [value for value in read if isinstance(value, At | Laid | Off)]
    if call.target == "aten.sym_size.int" or call.target in ON_SIZES or call.target == "getitem":
        return BUILDERS[call.target](made, call)
    if not moving:
        return made.folded_constant(call)
    if call.target.startswith(_ALIKE):
        return made.made_alike(call)
    if call.target == "aten.expand_as.default" and not isinstance(read[0], Off):
        return _expanded_as(made, call, read[0])
    name = call.target.rsplit(".", 1)[0]
    if name in COMPUTED and (len(moving) > 1 or name == "aten.embedding"):
        return COMPUTED[name](made, call)
    if any(isinstance(value, Off) for value in moving):
        return _off(made, call, read)
    return _on_path(made, call, any(isinstance(value, Laid) for value in moving))


# The second argument of these lends its shape only.
_ALIKE = tuple(
    f"aten.{name}"
    for name in ("new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like")
)


def _expanded_as(made: Construction, call: Call, value: Value) -> Value:
    if isinstance(value, Tensor):
        return value.expand(made.traced_shape(call.args[1]))
    return moved(made, call)


def _on_path(made: Construction, call: Call, laid: bool) -> Value:
    """The value of a call on tensors that lie on the path alone."""
    build = BUILDERS.get(call.target)
    if call.target in NORMS:
        return NORMS[call.target](made, call)
    if build is not None and not laid:
        try:
            return build(made, call)
        except (Refused, TypeError):
            if suits_rows(call.target):
                return on_laid(made, call, build)
            if call.target not in MOVES:
                raise
    if call.target in MOVES:
        return moved(made, call)
    if laid:
        return on_laid(made, call, build)
    product = call.target.rsplit(".", 1)[0] in COMPUTED
    raise Refused(_BESIDE_A_CONSTANT if product else "")


_BESIDE_A_CONSTANT = "with a constant; write torch.matmul or nn.Linear, and leave them undecomposed"


def _off(made: Construction, call: Call, read: list[Value]) -> Value:
    """What is computed off the path."""
    made.refusals[call.name] = ""
    if any(isinstance(value, At | Laid) for value in read):
        made.refusals[call.name] = "combines what lies on the path with what does not"
    return Off(call.name)


def _program(made: Construction, positions: dict[int, int]) -> GateProgram | None:
    """What computes the gates of the nodes that are kept; None where there are none.

    Raises
    ------
    UnsupportedModel
        An operator that it needs is not on the list of those that may be run.
    """
    reads = {positions[old]: read for old, read in made.reads.items() if old in positions}
    if not reads:
        return None
    graph = made.program_graph(made.graph.calls)
    calls = needed_calls(graph, {read.name for read in reads.values()})
    refused = [c for c in calls if not makes_gates(c.target)]
    if refused:
        raise UnsupportedModel([f"{_place(c)} (it makes a gate, and is not run)" for c in refused])
    program = GateProgram(replace(graph, calls=calls, output=calls[-1].name), reads)
    mixing = mixing_call(program)
    if mixing is not None:
        raise UnsupportedModel(
            [f"{_place(mixing)} (it makes a gate that mixes items of the batch)"]
        )
    return program


def may_run(target: str) -> bool:
    """True for operators that only compute on tensors: covered, core or pointwise ones of ATen."""
    return target in RUNNABLE or computes_on_tensors(target)


def _place(call: Call) -> str:
    return f"{call.target} at {call.module or 'the model itself'}"


def offenders(made: Construction) -> list[str]:
    """The calls for which the output is not on the path, each with its module and the reason."""
    calls = {call.name: call for call in made.graph.calls}
    found: dict[str, str] = {}
    wanted = {made.graph.output}
    for call in reversed(made.graph.calls):
        if call.name not in wanted or isinstance(made.values.get(call.name), At):
            continue
        reason = made.refusals.get(call.name, "")
        product = call.target.rsplit(".", 1)[0] in COMPUTED
        off = [r.name for r in call.references() if isinstance(made.values.get(r.name), Off)]
        if product and len(off) > 1:
            sides = [name for name in off if not _makes_gates(calls, name)]
            reason, off = ("", sides) if len(sides) == 1 else (UNDECIDED, off)
        elif product and reason:
            off = []
        if reason and not (off and "combines" in reason):
            found[call.name] = f"{_place(call)} ({reason})"
        elif call.target not in BUILDERS and call.target not in MOVES and not product:
            found[call.name] = _place(call)
        elif not off and not product:
            found[call.name] = f"{_place(call)} ({reason})" if reason else _place(call)
        wanted.update(off)
    named = [found[call.name] for call in made.graph.calls if call.name in found]
    return named or ["an output that does not depend on the input"]


def _makes_gates(calls: dict[str, Call], name: str) -> bool:
    """True where a tensor off the path ends in a sigmoid, a softmax or an activation."""
    while name in calls:
        call = calls[name]
        kind = call.target.removeprefix("aten.").split(".")[0].removesuffix("_")
        if kind in _BOUNDING:
            return True
        if call.target not in MOVES:
            return False
        name = call.args[0].name
    return False


_BOUNDING = frozenset(
    {
        *("sigmoid", "hardsigmoid", "softmax", "_softmax", "tanh", "silu", "gelu", "relu", "relu6"),
        *("hardtanh", "hardswish"),
    }
)
