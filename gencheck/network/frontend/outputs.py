"""Which output of a model is audited, and what stands behind its last dense layer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from gencheck.errors import InputError
from gencheck.network.frontend.aten import AtenGraph, Call, Ref

# The axes of a tensor by its name, the batch included.
ShapeOf = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class OutputSpec:
    """What a forward returns: a tensor, or a container under the keys of which more stands.

    Attributes
    ----------
    keys
        Names of a dictionary's or an output object's parts, numbers of a tuple's or a list's.
    parts
        What stands under each; no part at all for a tensor.
    """

    keys: tuple[str, ...] = ()
    parts: tuple["OutputSpec", ...] = ()

    def names(self, before: str = "") -> list[str]:
        """The name of each leaf in order: keys joined with dots; ``0`` for a tensor by itself."""
        if not self.parts:
            return [before.removesuffix(".") or "0"]
        nested = zip(self.keys, self.parts, strict=True)
        return [name for key, part in nested for name in part.names(f"{before}{key}.")]


def output_spec(context: Any, parts: Iterable[OutputSpec]) -> OutputSpec:
    """A container of torch's, by what torch keeps of it: a list of keys, or nothing."""
    known = tuple(parts)
    if isinstance(context, list | tuple) and context and isinstance(context[0], list | tuple):
        # of a dataclass: the names of its fields, and of those that are None
        context = context[0]
    named = isinstance(context, list | tuple) and len(context) == len(known)
    if named and all(isinstance(key, str) for key in context):
        return OutputSpec(tuple(context), known)
    return OutputSpec(tuple(str(n) for n in range(len(known))), known)


def chosen_output(
    spec: OutputSpec, leaves: Sequence[str | None], asked: str | None, where: str
) -> str:
    """The name in the graph of the output to audit.

    Parameters
    ----------
    leaves
        For each leaf of `spec` the value in the graph, None for one that is no tensor.
    asked
        The leaf that the user names; None for the only tensor.

    Raises
    ------
    InputError
        There are several and none is named, or none of that name.
    """
    names = spec.names() if len(spec.names()) == len(leaves) else _numbers(leaves)
    tensors = {n: leaf for n, leaf in zip(names, leaves, strict=True) if leaf is not None}
    offered = ", ".join(list(tensors)[:12]) + (", …" if len(tensors) > 12 else "")
    if not tensors:
        raise InputError(
            where=where, found="a forward that returns no tensor", required="an output"
        )
    if asked is not None:
        if asked not in tensors:
            raise InputError(
                where=f"--output-name {asked}",
                found=f"no such output of {where}",
                required=f"one of {offered}",
            )
        return tensors[asked]
    if len(tensors) > 1:
        raise InputError(
            where=where,
            found=f"a forward with {len(tensors)} outputs: {offered}",
            required="one output",
            remedy=f"Name the one to audit, such as --output-name {next(iter(tensors))}.",
        )
    return next(iter(tensors.values()))


def _numbers(leaves: Sequence[Any]) -> list[str]:
    return [str(n) for n in range(len(leaves))]


def audited_graph(graph: AtenGraph, shape_of: ShapeOf) -> AtenGraph:
    """The graph that ends where the logits are: what makes probabilities or classes is taken off.

    Softmax, log-softmax and sigmoid are monotone maps of the outputs of the last dense layer, and
    argmax, squeeze and conversions choose or rename; what is taken off is noted in the graph.
    """
    calls = {call.name: call for call in graph.calls}
    output, taken = graph.output, list[str]()
    while (call := calls.get(output)) is not None and _is_taken_off(call, shape_of):
        operator = call.target.removeprefix("aten.").split(".")[0].strip("_")
        taken.append(f"{operator} at {call.module or 'the model itself'}")
        output = call.args[0].name
    # a conversion or a change of shape alone is left to what reads the graph
    if not any(step.split(" ")[0] in _SAID for step in taken):
        return _needed(graph, graph.output)
    return replace(_needed(graph, output), taken_off=tuple(reversed(taken)))


_SAID = frozenset(
    {"softmax", "log_softmax", "sigmoid", "log_sigmoid", "argmax", "squeeze", "view", "reshape"}
    | {"flatten"}
)
_BY_CLASS = frozenset({"softmax", "_softmax", "log_softmax", "_log_softmax", "argmax"})
_BY_ENTRY = frozenset({"sigmoid", "sigmoid_", "log_sigmoid", "special_expit"})
_CONVERSIONS = frozenset({"to", "_to_copy", "detach", "alias", "clone", "contiguous"})
_OF_ONE = frozenset({"squeeze", "view", "reshape", "flatten", "_unsafe_view"})


def _is_taken_off(call: Call, shape_of: ShapeOf) -> bool:
    if not call.args or not isinstance(call.args[0], Ref):
        return False
    parts = call.target.split(".")
    operator = parts[1] if len(parts) > 1 else ""
    if operator in _BY_ENTRY or operator in _CONVERSIONS:
        return True
    before = shape_of(call.args[0].name)
    if operator in _BY_CLASS:
        axis = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim")
        return isinstance(axis, int) and len(before) == 2 and axis in (1, -1)
    # from (batch, 1) to (batch,)
    after = shape_of(call.name)
    return operator in _OF_ONE and len(before) == 2 and prod(before[1:]) == 1 and len(after) == 1


def _needed(graph: AtenGraph, output: str) -> AtenGraph:
    """The graph up to `output`, without what only other outputs need."""
    position = {call.name: n for n, call in enumerate(graph.calls)}
    calls = graph.calls[: position.get(output, -1) + 1]
    # an operator that writes in place may change what is read under another name
    if any(call.target.removeprefix("aten.").split(".")[0].endswith("_") for call in calls):
        return replace(graph, calls=calls, output=output)
    wanted, kept = {output}, list[Call]()
    for call in reversed(calls):
        if call.name in wanted:
            kept.append(call)
            wanted.update(ref.name for ref in call.references())
    return replace(graph, calls=tuple(reversed(kept)), output=output)
