"""A traced model cut in two: what comes before a layer, and the tail from that layer on."""

from dataclasses import replace

import torch
from torch import Tensor

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import ON_SIZES, AtenGraph, Call, Ref, run
from gencheck.network.frontend.lowering import RUNNABLE, lower, offending_calls
from gencheck.network.windows import MOST_UNITS

# Operators that a head may use beyond those that are covered: composites that torch.export leaves
# whole. They compute on tensors alone, which is what makes a graph from a file harmless.
_COMPOSITES = frozenset(
    f"aten.{name}"
    for name in (
        *("softmax.int", "log_softmax.int", "scaled_dot_product_attention.default"),
        *("layer_norm.default", "group_norm.default", "instance_norm.default", "einsum.default"),
        *("rms_norm.default", "conv_transpose2d.input", "unflatten.int", "to.dtype", "to.device"),
        *("to.dtype_layout", "expand_as.default", "type_as.default", "movedim.int", "tile.default"),
        *("repeat_interleave.self_int", "pixel_shuffle.default", "unsafe_split.Tensor"),
        *("hardsigmoid.default", "softplus.default", "log_sigmoid.default", "elu.default"),
        *("mish.default", "celu.default", "selu.default", "silu.default", "sub.Tensor"),
        *("upsample_nearest2d.vec", "upsample_bilinear2d.vec", "unbind.int", "stack.default"),
        *("_assert_tensor_metadata.default", "lift_fresh_copy.default", "lift_fresh.default"),
        *("swapaxes.default", "numpy_T.default", "floor_divide.default", "rsub.Scalar"),
        *("feature_alpha_dropout.default", "narrow.int", "native_layer_norm.default"),
        *("adaptive_max_pool1d.default", "is_floating_point.default", "masked_fill.Scalar"),
    )
)


def may_run(target: str) -> bool:
    """True for operators that only compute on tensors: covered, core or pointwise ones of ATen."""
    if target in RUNNABLE or target in _COMPOSITES:
        return True
    parts = target.split(".")
    if len(parts) != 3 or parts[0] != "aten" or not hasattr(torch.ops.aten, parts[1]):
        return False
    operator = getattr(getattr(torch.ops.aten, parts[1]), parts[2], None)
    tags = getattr(operator, "tags", [])
    return torch.Tag.core in tags or torch.Tag.pointwise in tags


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
    return replace(graph, input_name=entering, input_shape=shape, calls=calls)


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


def coverable_layers(graph: AtenGraph, probe: Tensor, limit: int = 200) -> list[str]:
    """The layers from which `graph` is covered, nearest to the input first.

    Parameters
    ----------
    probe
        A batch of items on which the graph is run once, to learn the shapes in it.
    """
    last = max(offending_calls(graph), default=-1)
    candidates = list(dict.fromkeys(_modules(graph, last)))[:limit]
    if not candidates or not all(may_run(call.target) for call in graph.calls):
        return []
    if _makes_too_much(graph, probe):
        return []
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, value: object) -> None:
        if isinstance(value, Tensor):
            shapes[name] = tuple(value.shape[1:])

    try:
        run(graph, probe, may_run, note)
    except (RuntimeError, TypeError, ValueError):
        # the probe's values do not suit the model; then no layer is named
        return []
    return [layer for layer in candidates if _is_covered(graph, layer, shapes)]


def _makes_too_much(graph: AtenGraph, probe: Tensor) -> bool:
    """True where a tensor on the way is larger than any that is held for an item.

    Shapes alone are computed, on torch's meta device, so that a file that names a huge one costs
    nothing. Where they cannot be, the probe itself will tell.
    """

    def note(name: str, value: object) -> None:
        if isinstance(value, Tensor) and value.numel() > MOST_UNITS * max(len(probe), 1):
            raise MemoryError(name)

    try:
        run(graph, probe.to("meta"), may_run, note)
    except MemoryError:
        return True
    except Exception:
        return False
    return False


def _modules(graph: AtenGraph, last: int) -> list[str]:
    """Modules, inner and outer, whose first call comes after the call number `last`."""
    first: dict[str, int] = {}
    for number, call in enumerate(graph.calls):
        parts = call.module.split(".") if call.module else []
        for depth in range(1, len(parts) + 1):
            first.setdefault(".".join(parts[:depth]), number)
    return [name for name, number in first.items() if number > last]


def _is_covered(graph: AtenGraph, layer: str, shapes: dict[str, tuple[int, ...]]) -> bool:
    try:
        lower(tail_of(graph, layer, shapes[_entering(graph, layer)]))
    except (InputError, UnsupportedModel, KeyError):
        return False
    return True
