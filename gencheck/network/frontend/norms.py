"""Builders of normalisations by an item's own statistics: gate 1/std, centring, gain and bias."""

from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from gencheck.network.computed import Centre
from gencheck.network.frontend.aten import RMS_EPS, Call, Ref
from gencheck.network.frontend.computing import SINGLE, normalised, scaled
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Parts,
    Refused,
    Value,
    argument,
)
from gencheck.network.frontend.layout import codes_of, node_of, rows_of
from gencheck.network.ir import Affine


def _reciprocal_deviation(
    made: Construction, call: Call, of: Any, axes: list[int], eps: float
) -> str:
    """The name of 1/√(variance + ε) over `axes`, which stay with extent 1."""
    variance = made.insert(call, "aten.var.correction", of, axes, correction=0, keepdim=True)
    return _reciprocal_root(made, call, variance, eps)


def _reciprocal_root(made: Construction, call: Call, name: str, eps: float) -> str:
    plus = made.insert(call, "aten.add.Scalar", Ref(name), eps)
    return made.insert(call, "aten.rsqrt.default", Ref(plus))


def _layer_norm(made: Construction, call: Call) -> Value:
    source, axes = call.args[0], len(call.args[1])
    gain, bias = (made.optional(argument(call, i, n)) for i, n in ((2, "weight"), (3, "bias")))
    eps = float(argument(call, 4, "eps", 1e-5))
    value = made.values[source.name]
    codes = codes_of(made, value)
    last = tuple(codes.shape[codes.dim() - axes :])
    rows = rows_of(made, call, node_of(value), codes, axes)
    name = _reciprocal_deviation(made, call, source, list(range(-axes, 0)), eps)
    by_row = Ref(made.insert(call, "aten.reshape.default", Ref(name), [-1]))
    # the statistic of each row of each item, in the order of an item's own rows
    order = Ref(f"{call.name}+order")
    made.graph.constants[order.name] = rows.by_item(made.batch).reshape(-1)
    own = made.insert(call, "aten.index.Tensor", by_row, [order])
    row = np.repeat(np.arange(rows.rows), prod(last))
    scaled_at = normalised(made, call, rows.position, (own, rows.rows), row)
    members = np.arange(rows.rows * prod(last)).reshape(rows.rows, -1)
    centred = made.append(
        Centre(
            shape=(rows.rows, *last),
            label=made.label(call),
            sources=(scaled_at,),
            members=members,
            scale=gain,
            shift=bias,
        )
    )
    whole = rows.back(made, call, centred.position, last)
    return Parts((whole, None, None)) if "native" in call.target else whole


def _group_norm(made: Construction, call: Call) -> Value:
    source, groups = call.args[0], int(call.args[1])
    gain, bias = (made.optional(argument(call, i, n)) for i, n in ((2, "weight"), (3, "bias")))
    return _by_group(
        made, call, source, (groups, float(argument(call, 4, "eps", 1e-5))), (gain, bias)
    )


def _native_group_norm(made: Construction, call: Call) -> Value:
    gain, bias = (made.optional(a) for a in call.args[1:3])
    groups, eps = int(call.args[6]), float(call.args[7])
    whole = _by_group(made, call, call.args[0], (groups, eps), (gain, bias))
    return Parts((whole, None, None))


def _instance_norm(made: Construction, call: Call) -> Value:
    if not argument(call, 5, "use_input_stats", True):
        raise Refused("with running statistics")
    gain, bias = (made.optional(a) for a in call.args[1:3])
    channels = made.shape(made.position(call.args[0]))[0]
    eps = float(argument(call, 7, "eps", 1e-5))
    return _by_group(made, call, call.args[0], (channels, eps), (gain, bias))


def _by_group(
    made: Construction,
    call: Call,
    source: Ref,
    groups_and_eps: tuple[int, float],
    gain_and_bias: tuple[Tensor | None, Tensor | None],
) -> Value:
    groups, eps = groups_and_eps
    position = made.position(source)
    shape = made.shape(position)
    size = prod(shape)
    flat = made.insert(call, "aten.reshape.default", source, [-1, groups, size // groups])
    name = _reciprocal_deviation(made, call, Ref(flat), [2], eps)
    group = np.arange(size) // (size // groups)
    at = normalised(made, call, position, (name, groups), group)
    by_channel = (-1, *[1] * (len(shape) - 1))
    gain, bias = (None if t is None else t.reshape(by_channel) for t in gain_and_bias)
    members = np.arange(size).reshape(groups, -1)
    return made.append(
        Centre(
            shape=shape,
            label=made.label(call),
            sources=(at,),
            members=members,
            scale=gain,
            shift=bias,
        )
    )


def _rms_norm(made: Construction, call: Call) -> Value:
    source, axes = call.args[0], len(call.args[1])
    gain = made.optional(argument(call, 2, "weight"))
    given = argument(call, 3, "eps")
    eps = RMS_EPS if given is None else float(given)
    square = made.insert(call, "aten.mul.Tensor", source, source)
    mean = made.insert(call, "aten.mean.dim", Ref(square), list(range(-axes, 0)), keepdim=True)
    name = _reciprocal_root(made, call, mean, eps)
    trace = made.traced_shape(source)
    shape = (*trace[: len(trace) - axes], *[1] * axes)
    value = scaled(
        made, call, signal=source, gate=name, rule="1/rms of a normalisation", gate_shape=shape
    )
    if gain is not None:
        if not isinstance(value, At):
            raise Refused("on windows, with a gain")
        own = made.shape(value.position)
        value = made.append(Affine(own, made.label(call), (value.position,), gain.double(), None))
    return Parts((value, None)) if "fused" in call.target else value


NORMS: dict[str, Builder] = {
    **SINGLE,
    "aten.layer_norm.default": _layer_norm,
    "aten.native_layer_norm.default": _layer_norm,
    "aten.group_norm.default": _group_norm,
    "aten.native_group_norm.default": _native_group_norm,
    "aten.instance_norm.default": _instance_norm,
    "aten.rms_norm.default": _rms_norm,
    "aten._fused_rms_norm.default": _rms_norm,
}
