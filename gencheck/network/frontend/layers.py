"""Builders of the layers with weights: dense, convolution, normalisation, constant factors."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import Tensor

from gencheck.network.frontend.aten import ON_SIZES, Call
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Off,
    Parts,
    Refused,
    Value,
    argument,
    per_item,
)
from gencheck.network.ir import Affine, Conv, Dense
from gencheck.network.windows import Extent, by_axis, sliding


def _dense(
    made: Construction, call: Call, source: int, weight: Tensor, bias: Tensor | None
) -> Value:
    shape = made.shape(source)
    out = int(weight.shape[0])
    bias = None if bias is None else bias.expand(out)
    if len(shape) == 1:
        return made.append(Dense((out,), made.label(call), (source,), weight, bias))
    # a layer on the last axis alone is a convolution of width 1 along the others
    places = prod(shape[:-1])
    units = made.units(source).reshape(places, shape[-1]).T
    turned = made.selected(call, source, np.ascontiguousarray(units))
    windows = sliding((places,), (1,), (1,), (0,), (1,))
    layer = Conv(
        shape=(out, places),
        label=made.label(call),
        sources=(turned.position,),
        weight=weight[:, :, None],
        bias=bias,
        windows=windows,
        groups=1,
    )
    conv = made.append(layer)
    back = np.ascontiguousarray(np.arange(out * places).reshape(out, places).T)
    return made.selected(call, conv.position, back.reshape(*shape[:-1], out))


def _linear(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    weight = made.constant(call.args[1])
    return _dense(made, call, source, weight, made.optional(argument(call, 2, "bias")))


def _addmm(made: Construction, call: Call) -> Value:
    if call.kwargs.get("alpha", 1) != 1 or call.kwargs.get("beta", 1) != 1:
        raise Refused("with alpha or beta")
    bias, items, weight = call.args
    source = made.position(items)
    return _dense(made, call, source, made.constant(weight).T, made.constant(bias))


def _mm(made: Construction, call: Call) -> Value:
    weight = made.constant(call.args[1])
    if weight.ndim != 2:
        raise Refused(f"with a weight of shape {tuple(weight.shape)}")
    return _dense(made, call, made.position(call.args[0]), weight.T, None)


def _conv(made: Construction, call: Call, rank: int, groups: int) -> Value:
    source, weight = made.position(call.args[0]), made.constant(call.args[1])
    shape = made.shape(source)
    if len(shape) != rank + 1:
        raise Refused(f"on items of shape {shape}")
    extent, kernel = shape[1:], tuple(weight.shape[2:])
    stride = by_axis(argument(call, 3, "stride", [1]), rank)
    dilation = by_axis(argument(call, 5, "dilation", [1]), rank)
    before, after = _padding(argument(call, 4, "padding", [0]), kernel, dilation)
    windows = sliding(extent, kernel, stride, before, dilation, after=after)
    bias = made.optional(argument(call, 2, "bias"))
    out = (int(weight.shape[0]), *windows.out)
    return made.append(
        Conv(
            shape=out,
            label=made.label(call),
            sources=(source,),
            weight=weight,
            bias=bias,
            windows=windows,
            groups=groups,
        )
    )


def _padding(padding: object, kernel: Extent, dilation: Extent) -> tuple[Extent, Extent]:
    """The zeros before and after each axis."""
    if padding == "valid":
        padding = [0]
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        # torch puts the odd one behind
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    before = by_axis(padding, len(kernel))
    return before, before


def _conv_of(rank: int) -> Builder:
    def build(made: Construction, call: Call) -> Value:
        return _conv(made, call, rank, int(argument(call, 6, "groups", 1)))

    return build


def _convolution(made: Construction, call: Call) -> Value:
    if argument(call, 6, "transposed", False):
        raise Refused("transposed; covered: convolutions that are not")
    rank = made.constant(call.args[1]).ndim - 2
    return _conv(made, call, rank, int(argument(call, 8, "groups", 1)))


def _normalisation(made: Construction, call: Call, epsilon: float) -> Value:
    source = made.position(call.args[0])
    weight, bias, mean, variance = (made.optional(a) for a in call.args[1:5])
    if mean is None or variance is None:
        raise Refused("without running statistics")
    # in float64, so that folding costs no accuracy whatever the run's own dtype is
    deviation = (variance.double() + epsilon).sqrt()
    scale = torch.ones_like(deviation) if weight is None else weight.double()
    scale = scale / deviation
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    shape = made.shape(source)
    if len(scale) != shape[0]:
        raise Refused(f"on items of shape {shape}")
    by_channel = (-1, *[1] * (len(shape) - 1))
    scale, shift = scale.reshape(by_channel), shift.reshape(by_channel)
    return made.append(Affine(shape, made.label(call), (source,), scale, shift))


def _batch_norm(made: Construction, call: Call) -> Value:
    if argument(call, 5, "training", False):
        raise Refused("in training mode; call model.eval() before exporting")
    return _normalisation(made, call, float(argument(call, 7, "eps", 1e-5)))


def _batch_norm_parts(made: Construction, call: Call) -> Value:
    # the other parts are the statistics that training would have saved
    whole = _normalisation(made, call, float(call.args[6]))
    return Parts((whole, None, None))


def _scaled(change: Callable[[Tensor], Tensor]) -> Builder:
    """The builder of a product with a constant, which `change` makes from the argument."""

    def build(made: Construction, call: Call) -> Value:
        operands = list(call.args[:2])
        if made.is_constant(operands[0]) and call.target.startswith("aten.mul"):
            operands.reverse()
        if not made.is_constant(operands[1]):
            raise Refused(UNDECIDED)
        source = made.position(operands[0])
        factor = change(made.constant(operands[1]).double())
        shape = made.shape(source)
        scale = per_item(factor, shape)
        node = Affine(shape, made.label(call), (source,), scale, None)
        return made.overwrite(call, source, made.append(node))

    return build


def _negated(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    minus = torch.tensor(-1.0, dtype=torch.float64)
    return made.append(Affine(shape, made.label(call), (source,), minus, None))


def _same(made: Construction, call: Call) -> Value:
    return At(made.position(call.args[0]))


def _cast(made: Construction, call: Call) -> Value:
    kinds = [a for a in (*call.args[1:], *call.kwargs.values()) if isinstance(a, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds):
        raise Refused(f"to {kinds[0]}")
    return _same(made, call)


def _dropout(made: Construction, call: Call) -> Value:
    if argument(call, 2, "train", True):
        raise Refused("in training mode; call model.eval() before exporting")
    return _same(made, call)


def _getitem(made: Construction, call: Call) -> Value:
    whole = made.values[call.args[0].name]
    if isinstance(whole, Off):
        return Off(call.name)
    if not isinstance(whole, Parts):
        raise Refused("on something other than the parts of a call")
    part: Value = whole.parts[int(call.args[1])]
    return part


def _size(made: Construction, call: Call) -> Value:
    return made.traced_shape(call.args[0])[int(call.args[1])]


def _on_sizes(made: Construction, call: Call) -> Value:
    size: int = ON_SIZES[call.target](*call.args)
    return size


UNDECIDED = (
    "of two tensors computed from the input, neither of which ends in an activation; covered: by a "
    "constant, or by a gate"
)

LAYERS: dict[str, Builder] = {
    "aten.linear.default": _linear,
    "aten.addmm.default": _addmm,
    "aten.mm.default": _mm,
    "aten.matmul.default": _mm,
    "aten.conv1d.default": _conv_of(1),
    "aten.conv2d.default": _conv_of(2),
    "aten.conv3d.default": _conv_of(3),
    "aten.conv1d.padding": _conv_of(1),
    "aten.conv2d.padding": _conv_of(2),
    "aten.conv3d.padding": _conv_of(3),
    "aten.convolution.default": _convolution,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm_parts,
    "aten.mul.Tensor": _scaled(lambda factor: factor),
    "aten.mul_.Tensor": _scaled(lambda factor: factor),
    "aten.mul.Scalar": _scaled(lambda factor: factor),
    "aten.div.Tensor": _scaled(torch.reciprocal),
    "aten.div_.Tensor": _scaled(torch.reciprocal),
    "aten.div.Scalar": _scaled(torch.reciprocal),
    "aten.neg.default": _negated,
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.alpha_dropout.default": _dropout,
    "aten._to_copy.default": _cast,
    "aten.to.dtype": _cast,
    "aten.to.device": _cast,
    "aten.to.dtype_layout": _cast,
    "aten.alias.default": _same,
    "aten.clone.default": _same,
    "aten.contiguous.default": _same,
    "aten.detach.default": _same,
    "getitem": _getitem,
    "aten.sym_size.int": _size,
    **dict.fromkeys(ON_SIZES, _on_sizes),
}
