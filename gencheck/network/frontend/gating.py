"""Builders of what an item decides: activations, clamps and max-pools."""

from math import isfinite, prod

import torch
from torch import Tensor

from gencheck.network.frontend.aten import Call
from gencheck.network.frontend.construction import (
    Builder,
    Construction,
    Parts,
    Refused,
    Value,
    argument,
)
from gencheck.network.ir import Clamp, Gate, MaxPool
from gencheck.network.windows import by_axis, sliding


def _gate(made: Construction, call: Call, kind: str, slope: Tensor | None) -> Value:
    source = made.position(call.args[0])
    node = Gate(made.shape(source), made.label(call), (source,), kind, slope)
    return made.overwrite(call, source, made.append(node))


def _relu(made: Construction, call: Call) -> Value:
    return _gate(made, call, "relu", torch.zeros((), dtype=torch.float64))


def _leaky_relu(made: Construction, call: Call) -> Value:
    slope = float(argument(call, 1, "negative_slope", 0.01))
    kind = "relu" if slope == 0 else "leaky_relu"
    return _gate(made, call, kind, torch.tensor(slope, dtype=torch.float64))


def _prelu(made: Construction, call: Call) -> Value:
    shape = made.shape(made.position(call.args[0]))
    slope = made.constant(call.args[1]).reshape(-1)
    if len(slope) > 1:
        slope = slope.reshape(-1, *[1] * (len(shape) - 1))
    return _gate(made, call, "prelu", slope)


def _smooth(kind: str) -> Builder:
    def build(made: Construction, call: Call) -> Value:
        return _gate(made, call, kind, None)

    return build


def _gelu(made: Construction, call: Call) -> Value:
    approximate = argument(call, 1, "approximate", "none")
    return _gate(made, call, "gelu_tanh" if approximate == "tanh" else "gelu", None)


def _clamp(made: Construction, call: Call, low: float | None, high: float | None) -> Value:
    source = made.position(call.args[0])
    if low == 0 and high is None:
        return _relu(made, call)
    if low is None or high is None or not (isfinite(low) and isfinite(high) and low < high):
        raise Refused(f"from {low} to {high}; covered: two finite ends, or 0 and none")
    node = Clamp(made.shape(source), made.label(call), (source,), low, high)
    return made.overwrite(call, source, made.append(node))


def _hardtanh(made: Construction, call: Call) -> Value:
    low, high = argument(call, 1, "min_val", -1.0), argument(call, 2, "max_val", 1.0)
    return _clamp(made, call, float(low), float(high))


def _relu6(made: Construction, call: Call) -> Value:
    return _clamp(made, call, 0.0, 6.0)


def _clamped(made: Construction, call: Call) -> Value:
    ends = (argument(call, 1, "min"), argument(call, 2, "max"))
    low, high = (None if end is None else float(made.constant(end)) for end in ends)
    return _clamp(made, call, low, high)


def _clamp_min(made: Construction, call: Call) -> Value:
    return _clamp(made, call, float(made.constant(argument(call, 1, "min"))), None)


def _max_pool(rank: int) -> Builder:
    def build(made: Construction, call: Call) -> Value:
        source = made.position(call.args[0])
        shape = made.shape(source)
        if len(shape) != rank + 1:
            raise Refused(f"on items of shape {shape}")
        kernel = by_axis(argument(call, 1, "kernel_size"), rank)
        windows = sliding(
            shape[1:],
            kernel,
            stride=by_axis(argument(call, 2, "stride") or kernel, rank),
            padding=by_axis(argument(call, 3, "padding", [0]), rank),
            dilation=by_axis(argument(call, 4, "dilation", [1]), rank),
            ceil_mode=bool(argument(call, 5, "ceil_mode", False)),
        )
        if windows.is_identity:
            return made.reshaped(call, source, shape)
        out = (shape[0], *windows.out)
        return made.append(MaxPool(out, made.label(call), (source,), windows))

    return build


def _max_pool_parts(made: Construction, call: Call) -> Value:
    # the second part are the indices
    return Parts((_max_pool(2)(made, call), None))


def _adaptive_max_pool(made: Construction, call: Call) -> Value:
    """Only onto one position, where the one window is everything."""
    source = made.position(call.args[0])
    shape = made.shape(source)
    if prod(by_axis(argument(call, 1, "output_size"), len(shape) - 1)) != 1:
        raise Refused("onto more than one position; covered: a global max-pool")
    rank = len(shape) - 1
    windows = sliding(shape[1:], shape[1:], (1,) * rank, (0,) * rank, (1,) * rank)
    pool = MaxPool((shape[0], *windows.out), made.label(call), (source,), windows)
    return Parts((made.append(pool), None))


GATING: dict[str, Builder] = {
    "aten.relu.default": _relu,
    "aten.relu_.default": _relu,
    "aten.leaky_relu.default": _leaky_relu,
    "aten.leaky_relu_.default": _leaky_relu,
    "aten.prelu.default": _prelu,
    "aten.silu.default": _smooth("silu"),
    "aten.silu_.default": _smooth("silu"),
    "aten.gelu.default": _gelu,
    "aten.hardswish.default": _smooth("hardswish"),
    "aten.hardswish_.default": _smooth("hardswish"),
    "aten.tanh.default": _smooth("tanh"),
    "aten.tanh_.default": _smooth("tanh"),
    "aten.relu6.default": _relu6,
    "aten.relu6_.default": _relu6,
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_.default": _hardtanh,
    "aten.clamp.default": _clamped,
    "aten.clamp_.default": _clamped,
    "aten.clamp_min.default": _clamp_min,
    "aten.clamp_min_.default": _clamp_min,
    "aten.max_pool1d.default": _max_pool(1),
    "aten.max_pool2d.default": _max_pool(2),
    "aten.max_pool3d.default": _max_pool(3),
    "aten.max_pool2d_with_indices.default": _max_pool_parts,
    "aten.adaptive_max_pool2d.default": _adaptive_max_pool,
}
