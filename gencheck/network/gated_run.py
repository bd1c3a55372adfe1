"""Two traced models of one architecture run side by side: gates from one, weights from the other.

Everything here is plain torch, so outputs can be differentiated by the weights.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from gencheck.errors import InputError
from gencheck.network.activations import SMOOTH
from gencheck.network.frontend.aten import (
    AtenGraph,
    Call,
    filled_arguments,
    in_batches,
    operator_of,
)
from gencheck.network.frontend.construction import argument

# From the call, the arguments in the gate network and the value in the weight network: its output.
Gated: TypeAlias = Callable[[Call, list[Any], Tensor], Any]


def _rectified(call: Call, args: list[Any], value: Tensor) -> Tensor:
    active: Tensor = args[0] > 0
    return value * active


def _leaky(call: Call, args: list[Any], value: Tensor) -> Tensor:
    slope = float(argument(call, 1, "negative_slope", 0.01))
    return torch.where(args[0] > 0, value, value * slope)


def _prelu(call: Call, args: list[Any], value: Tensor) -> Tensor:
    slope = args[1]
    if slope.numel() > 1:
        slope = slope.reshape(-1, *[1] * (value.dim() - 2))
    return torch.where(args[0] > 0, value, value * slope)


def _smooth(kind: str) -> Gated:
    def gated(call: Call, args: list[Any], value: Tensor) -> Tensor:
        gate: Tensor = SMOOTH[kind](args[0])
        return value * gate

    return gated


def _gelu(call: Call, args: list[Any], value: Tensor) -> Tensor:
    approximate = argument(call, 1, "approximate", "none")
    gate: Tensor = SMOOTH["gelu_tanh" if approximate == "tanh" else "gelu"](args[0])
    return value * gate


def _between(low: float, high: float | None, args: list[Any], value: Tensor) -> Tensor:
    """Inside, the value; at either end the constant, as the gate network decides."""
    source: Tensor = args[0]
    if high is None:
        return value * (source > low)
    ends = torch.where(source >= high, torch.full_like(value, high), torch.full_like(value, low))
    return torch.where((source > low) & (source < high), value, ends)


def _hardtanh(call: Call, args: list[Any], value: Tensor) -> Tensor:
    low, high = argument(call, 1, "min_val", -1.0), argument(call, 2, "max_val", 1.0)
    return _between(float(low), float(high), args, value)


def _relu6(call: Call, args: list[Any], value: Tensor) -> Tensor:
    return _between(0.0, 6.0, args, value)


def _clamp(call: Call, args: list[Any], value: Tensor) -> Tensor:
    low, high = argument(call, 1, "min"), argument(call, 2, "max")
    return _between(float(low), None if high is None else float(high), args, value)


def _clamp_min(call: Call, args: list[Any], value: Tensor) -> Tensor:
    return _between(float(argument(call, 1, "min")), None, args, value)


def _pooled(rank: int, parts: bool = False) -> Gated:
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]

    def gated(call: Call, args: list[Any], value: Tensor) -> Any:
        kernel = argument(call, 1, "kernel_size")
        _, largest = pool(
            args[0],
            kernel,
            stride=argument(call, 2, "stride") or kernel,
            padding=argument(call, 3, "padding", [0]),
            dilation=argument(call, 4, "dilation", [1]),
            ceil_mode=bool(argument(call, 5, "ceil_mode", False)),
            return_indices=True,
        )
        return (_at(largest, value, rank), largest) if parts else _at(largest, value, rank)

    return gated


def _adaptive_pooled(call: Call, args: list[Any], value: Tensor) -> Any:
    size = argument(call, 1, "output_size")
    _, largest = functional.adaptive_max_pool2d(args[0], size, return_indices=True)
    return _at(largest, value, 2), largest


def _at(largest: Tensor, value: Tensor, rank: int) -> Tensor:
    """The values at the arg-maxes: flat positions within a channel."""
    flat = value.flatten(-rank).gather(-1, largest.flatten(-rank))
    return flat.view(largest.shape)


# By operator; one that writes in place stands for its twin that does not, see `gated_run`.
GATED: dict[str, Gated] = {
    "aten.relu": _rectified,
    "aten.leaky_relu": _leaky,
    "aten.prelu": _prelu,
    "aten.silu": _smooth("silu"),
    "aten.gelu": _gelu,
    "aten.hardswish": _smooth("hardswish"),
    "aten.tanh": _smooth("tanh"),
    "aten.relu6": _relu6,
    "aten.hardtanh": _hardtanh,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp_min,
    "aten.max_pool1d": _pooled(1),
    "aten.max_pool2d": _pooled(2),
    "aten.max_pool3d": _pooled(3),
    "aten.max_pool2d_with_indices": _pooled(2, parts=True),
    "aten.adaptive_max_pool2d": _adaptive_pooled,
}


def gate_of(target: str) -> Gated | None:
    """What stands for an operator whose gates come from the gate network; None for any other."""
    name = target.rsplit(".", 1)[0]
    return GATED.get(name.removesuffix("_"))


def require_same_architecture(weights: AtenGraph, gates: AtenGraph) -> None:
    """Do nothing where both graphs make the same calls on constants of the same shapes.

    Raises
    ------
    InputError
        Names the first call or constant in which they differ.
    """
    problem = _first_difference(weights, gates)
    if problem:
        raise InputError(
            where="the gate network",
            found=problem,
            required="the architecture of the weight network, traced alike",
            remedy="Save both phases from one module: same layers, same torch.export call.",
        )


def _first_difference(weights: AtenGraph, gates: AtenGraph) -> str:
    if weights.input_shape != gates.input_shape:
        return f"items of shape {gates.input_shape}, not {weights.input_shape}"
    if len(weights.calls) != len(gates.calls):
        return f"{len(gates.calls)} calls, not {len(weights.calls)}"
    for own, other in zip(weights.calls, gates.calls, strict=True):
        if (own.target, own.args, own.kwargs) != (other.target, other.args, other.kwargs):
            return f"{other.target} at {other.module or 'the model'} with other arguments"
    for name, constant in weights.constants.items():
        shape = tuple(gates.constants[name].shape) if name in gates.constants else None
        if shape != tuple(constant.shape):
            return f"{name} of shape {shape}, not {tuple(constant.shape)}"
    return ""


def gated_run(
    graph: AtenGraph,
    items: Tensor,
    gates: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
) -> Tensor:
    """h(x) = Σ_p z_p(x) w_p with the gates of z decided by one set of constants, w of another.

    Parameters
    ----------
    graph
        Of both: what it calls with which arguments.
    items
        Shape (N, *input_shape), in the dtype and on the device of the constants.
    gates, weights
        Parameters and buffers by the names that calls refer to. The gates are not differentiated.
    """

    def once(batch: Tensor) -> Tensor:
        # clones, because an in-place operator may write into the input; contiguous, because the
        # graph was traced on such items and may take views of them
        plain = torch.contiguous_format
        deciding: dict[str, Any] = {graph.input_name: batch.clone(memory_format=plain), **gates}
        values: dict[str, Any] = {graph.input_name: batch.clone(memory_format=plain), **weights}
        for call in graph.calls:
            gate = gate_of(call.target)
            if gate is None:
                values[call.name] = _called(call, values, batch.device)
            else:
                args = filled_arguments(call.args, deciding, batch.device)
                source = call.args[0].name
                values[call.name] = gate(call, args, values[source])
                if call.target.rsplit(".", 1)[0].endswith("_"):
                    values[source] = values[call.name]
            with torch.no_grad():
                deciding[call.name] = _called(call, deciding, batch.device)
        output = values[graph.output]
        assert isinstance(output, Tensor)
        return output

    return in_batches(graph, items, once)


def gated_output(weights: AtenGraph, gates: AtenGraph, items: Tensor) -> Tensor:
    """`gated_run` of two traced models, with their constants in the items' dtype and device."""

    def constants(graph: AtenGraph) -> dict[str, Tensor]:
        return {
            name: tensor.to(items.device, items.dtype if tensor.is_floating_point() else None)
            for name, tensor in graph.constants.items()
        }

    with torch.no_grad():
        return gated_run(weights, items, constants(gates), constants(weights))


def _called(call: Call, values: dict[str, Any], device: torch.device) -> Any:
    args = filled_arguments(call.args, values, device)
    filled = filled_arguments(call.kwargs.values(), values, device)
    return operator_of(call.target)(*args, **dict(zip(call.kwargs, filled, strict=True)))
