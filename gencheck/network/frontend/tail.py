"""A traced model cut in two: what comes before a layer, and the tail from that layer on."""

from contextlib import suppress
from dataclasses import replace

from torch import Tensor

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import ON_SIZES, AtenGraph, Call, Ref, run
from gencheck.network.frontend.lowering import lower, may_run


def head_of(graph: AtenGraph, layer: str) -> AtenGraph:
    """The part of `graph` that computes the tensor entering `layer`.

    Raises
    ------
    InputError
        There is no such layer.
    UnsupportedModel
        The head has an operator that may not be run.
    """
    entering = _entering(graph, layer)
    calls = _needed(graph, entering, stop=None)
    refused = sorted({call.target for call in calls if not may_run(call.target)})
    if refused:
        raise UnsupportedModel([f"{target} before {layer}" for target in refused])
    return replace(graph, calls=calls, output=entering)


def tail_of(graph: AtenGraph, layer: str, shape: tuple[int, ...]) -> AtenGraph:
    """The part of `graph` from `layer` on, for items of `shape`.

    Raises
    ------
    InputError
        There is no such layer, or something computed before it reaches the output around it.
    """
    entering = _entering(graph, layer)
    if entering == graph.input_name:
        return graph
    calls = _needed(graph, graph.output, stop=entering)
    made = {call.name for call in calls} | set(graph.constants) | {entering}
    around = sorted({r.name for call in calls for r in call.references()} - made)
    if around or any(_reads(call, graph.input_name) for call in calls):
        raise InputError(
            where=f"--from {layer}",
            found="a connection that goes around it from the layers before",
            required="a layer through which everything passes",
            remedy="Name a layer outside the residual block.",
        )
    # what enters is no text any more, whatever the model itself reads
    return replace(graph, input_name=entering, input_shape=shape, calls=calls, whole_numbers=False)


def _reads(call: Call, name: str) -> bool:
    return any(ref.name == name for ref in call.references())


def _in_layer(call: Call, layer: str) -> bool:
    return call.module == layer or call.module.startswith(f"{layer}.")


def _entering(graph: AtenGraph, layer: str) -> str:
    """The name of the tensor that enters `layer`."""
    dependent = _dependent(graph)
    for call in graph.calls:
        if _in_layer(call, layer):
            for ref in call.references():
                if ref.name in dependent:
                    return ref.name
    raise InputError(
        where="--from",
        found=repr(layer),
        required=f"a layer that reads the input's tensors, such as {', '.join(_some(graph))}",
    )


def _some(graph: AtenGraph, count: int = 8) -> list[str]:
    names = list(dict.fromkeys(call.module for call in graph.calls if call.module))
    return names[-count:]


def _dependent(graph: AtenGraph) -> set[str]:
    """The names of tensors that depend on the input; sizes are not tensors."""
    found = {graph.input_name}
    for call in graph.calls:
        reads = any(ref.name in found for ref in call.references())
        if reads and call.target not in {"aten.sym_size.int", *ON_SIZES}:
            found.add(call.name)
    return found


def _needed(graph: AtenGraph, output: str, stop: str | None) -> tuple[Call, ...]:
    """The calls that `output` needs, in order; none behind `stop`, whose sizes stand for the batch."""
    wanted = {output}
    kept: list[Call] = []
    for call in reversed(graph.calls):
        if call.name not in wanted or call.name == stop:
            continue
        if stop is not None and call.target == "aten.sym_size.int" and call.args[1] == 0:
            call = replace(call, args=(Ref(stop), 0))
        kept.append(call)
        wanted.update(ref.name for ref in call.references())
    return tuple(reversed(kept))


def coverable_layers(graph: AtenGraph, probe: Tensor) -> list[str]:
    """The layers from which `graph` is covered, nearest to the input first.

    A tail is part of every tail that starts before it, so the first tensor from which all is covered
    is found by bisection among those through which everything passes.

    Parameters
    ----------
    probe
        A batch of items on which the graph is run once, to learn the shapes in it.
    """
    shapes = _shapes(graph, probe)
    layers: dict[str, list[str]] = {}
    for layer, entering in _entered(graph).items():
        layers.setdefault(entering, []).append(layer)
    cuts = [name for name in _passed_by_all(graph) if name in layers and name in shapes]
    first, last = 0, len(cuts)
    while first < last:
        middle = (first + last) // 2
        if _is_covered(graph, layers[cuts[middle]][0], shapes[cuts[middle]]):
            last = middle
        else:
            first = middle + 1
    return [layer for cut in cuts[first:] for layer in layers[cut]]


def _shapes(graph: AtenGraph, probe: Tensor) -> dict[str, tuple[int, ...]]:
    """The item shapes of the tensors that a run makes, up to the first operator that may not be run."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, value: object) -> None:
        if isinstance(value, Tensor):
            shapes[name] = tuple(value.shape[1:])

    # the probe's values may not suit the model, or an operator is not known: no layer is named whose
    # shape has not been seen by then
    with suppress(RuntimeError, TypeError, ValueError, IndexError):
        run(graph, probe, may_run, note)
    return shapes


def _entered(graph: AtenGraph) -> dict[str, str]:
    """The name of the tensor that enters each module, inner and outer, in the order of first calls."""
    dependent = _dependent(graph)
    entered: dict[str, str] = {}
    for call in graph.calls:
        reads = [ref.name for ref in call.references() if ref.name in dependent]
        parts = call.module.split(".") if call.module and reads else []
        for depth in range(1, len(parts) + 1):
            entered.setdefault(".".join(parts[:depth]), reads[0])
    return entered


def _passed_by_all(graph: AtenGraph) -> list[str]:
    """The tensors through which every way from the input to the output leads, in order."""
    dependent = _dependent(graph)
    calls = [c for c in _needed(graph, graph.output, stop=None) if c.name in dependent]
    last_read = {graph.output: len(calls)}
    for number, call in enumerate(calls):
        last_read.update({ref.name: number for ref in call.references()})
    passed, latest = [], last_read.get(graph.input_name, -1)
    for number, call in enumerate(calls):
        if latest <= number:
            passed.append(call.name)
        latest = max(latest, last_read[call.name])
    return passed


def _is_covered(graph: AtenGraph, layer: str, shape: tuple[int, ...]) -> bool:
    try:
        lower(tail_of(graph, layer, shape))
    except (InputError, UnsupportedModel):
        return False
    return True
