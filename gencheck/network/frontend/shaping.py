"""Builders of what moves units about or averages them: shapes, slices, sums, concatenation."""

from math import prod
from typing import Any

import numpy as np
import torch

from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Parts,
    Refused,
    Value,
    argument,
    axis_of,
)
from gencheck.network.ir import AvgPool
from gencheck.network.node import Shape
from gencheck.network.windows import MOST_UNITS, Index, adaptive_sources, by_axis, sliding


def _view(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    size = prod(made.shape(source))
    leading, *rest = call.args[1]
    if any(isinstance(extent, Ref) for extent in rest):
        raise Refused("to a shape that depends on the batch")
    if rest.count(-1) == 1 and leading != -1:
        others = prod(extent for extent in rest if extent != -1)
        rest = [size // max(others, 1) if extent == -1 else extent for extent in rest]
    # a batch axis is symbolic, -1, or the traced batch size; in each case the rest is one item
    fixed = isinstance(leading, Ref) or leading in (-1, made.graph.batch)
    if not fixed or prod(rest) != size:
        raise Refused("mixes items of the batch")
    return made.reshaped(call, source, tuple(int(extent) for extent in rest))


def _flatten(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    rank = len(shape) + 1
    start = int(argument(call, 1, "start_dim", 0)) % rank
    end = int(argument(call, 2, "end_dim", -1)) % rank
    if start == 0:
        if end == 0:
            return At(source)
        raise Refused("mixes items of the batch")
    merged = prod(shape[start - 1 : end])
    return made.reshaped(call, source, (*shape[: start - 1], merged, *shape[end:]))


def _unflatten(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    axis = axis_of(call.args[1], shape)
    sizes = [int(size) for size in call.args[2]]
    known = prod(size for size in sizes if size != -1)
    sizes = [shape[axis] // known if size == -1 else size for size in sizes]
    if prod(sizes) != shape[axis]:
        raise Refused(f"of an axis of {shape[axis]} into {sizes}")
    return made.reshaped(call, source, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def _squeeze(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    asked = argument(call, 1, "dim")
    axes = {axis_of(a, shape) for a in ([asked] if isinstance(asked, int) else asked)}
    kept = tuple(e for axis, e in enumerate(shape) if axis not in axes or e != 1)
    return made.reshaped(call, source, kept)


def _unsqueeze(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    axis = axis_of(call.args[1], (*shape, 1))
    return made.reshaped(call, source, (*shape[:axis], 1, *shape[axis:]))


def _permute(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    rank = len(made.shape(source)) + 1
    order = [int(axis) % rank for axis in call.args[1]]
    if order[0] != 0:
        raise Refused("mixes items of the batch")
    return made.selected(
        call, source, made.units(source).transpose([axis - 1 for axis in order[1:]])
    )


def _transpose(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    first, second = (axis_of(a, made.shape(source)) for a in call.args[1:3])
    return made.selected(call, source, made.units(source).swapaxes(first, second))


def _slice(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    dim = int(argument(call, 1, "dim", 0)) % (len(shape) + 1)
    start, stop, step = (argument(call, i, n) for i, n in ((2, "start"), (3, "end"), (4, "step")))
    if dim == 0:
        if not start and (stop is None or stop >= 2**62) and step in (None, 1):
            return At(source)
        raise Refused("of the batch")
    index = (*[slice(None)] * (dim - 1), slice(start, stop, step))
    return made.selected(call, source, made.units(source)[index])


def _select(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    axis = axis_of(call.args[1], made.shape(source))
    units = np.take(made.units(source), [int(call.args[2])], axis).squeeze(axis)
    return made.selected(call, source, units)


def _split(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    axis = axis_of(argument(call, 2, "dim", 0), shape)
    asked = argument(call, 1, "split_size")
    if isinstance(asked, list | tuple):
        cuts = np.cumsum(asked)[:-1].tolist()
    elif call.target.startswith("aten.chunk"):
        size = -(-shape[axis] // int(asked))
        cuts = list(range(size, shape[axis], size))
    else:
        cuts = list(range(int(asked), shape[axis], int(asked)))
    parts = np.split(made.units(source), cuts, axis)
    return Parts(tuple(made.selected(call, source, part) for part in parts))


def _pad(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape, amounts = made.shape(source), [int(n) for n in call.args[1]]
    padded = call.target == "aten.pad.default"
    mode = argument(call, 2, "mode", "constant") if padded else "constant"
    value = argument(call, 3 if padded else 2, "value", 0)
    if mode != "constant" or value not in (None, 0):
        raise Refused(f"with mode {mode!r} and value {value}; covered: zeros")
    units = made.units(source)
    for count in range(len(amounts) // 2):
        axis = len(shape) - 1 - count
        if axis < 0:
            raise Refused("of the batch")
        extent = units.shape[axis] + sum(amounts[2 * count : 2 * count + 2])
        if extent < 1:
            raise Refused(f"that crops {units.shape[axis]} positions to {extent}")
        if units.size * extent > MOST_UNITS * max(units.shape[axis], 1):
            raise Refused(f"to {extent} positions on an axis, more than can be held")
        units = _padded(units, axis, amounts[2 * count], amounts[2 * count + 1])
    return made.selected(call, source, units)


def _padded(units: Index, axis: int, before: int, after: int) -> Index:
    widths = [(0, 0)] * units.ndim
    widths[axis] = (max(before, 0), max(after, 0))
    stop = units.shape[axis] + min(after, 0)
    cropped = units[(*[slice(None)] * axis, slice(max(-before, 0), stop))]
    return np.pad(cropped, widths, constant_values=-1)


def _avg_pool(rank: int) -> Builder:
    def build(made: Construction, call: Call) -> Value:
        source = made.position(call.args[0])
        shape = made.shape(source)
        if len(shape) != rank + 1:
            raise Refused(f"on items of shape {shape}")
        kernel = by_axis(argument(call, 1, "kernel_size"), rank)
        stride = by_axis(argument(call, 2, "stride") or kernel, rank)
        padding = by_axis(argument(call, 3, "padding", [0]), rank)
        ceil_mode = bool(argument(call, 4, "ceil_mode", False))
        windows = sliding(
            shape[1:],
            kernel,
            stride=stride,
            padding=padding,
            dilation=(1,) * rank,
            ceil_mode=ceil_mode,
        )
        divisor = argument(call, 6, "divisor_override")
        counts = (windows.sources >= 0).sum(0)
        if divisor is not None:
            counts = np.full_like(counts, int(divisor))
        elif argument(call, 5, "count_include_pad", True):
            counts = _with_padding(windows.extent, kernel, stride, padding, windows.out)
        return _averaged(
            made,
            call,
            source=source,
            reads=windows.sources,
            counts=counts,
            shape=(shape[0], *windows.out),
        )

    return build


def _with_padding(extent: Shape, kernel: Shape, stride: Shape, padding: Shape, out: Shape) -> Index:
    """How many positions of each window lie in the grid or its padding; ceil_mode reaches beyond."""
    counts = np.ones((), np.int64)
    for size, k, s, p, n in zip(extent, kernel, stride, padding, out, strict=True):
        first = np.arange(n) * s - p
        counts = np.multiply.outer(counts, np.minimum(first + k, size + p) - first)
    return counts.ravel()


def _averaged(
    made: Construction, call: Call, source: int, reads: Index, counts: Index, shape: Shape
) -> At:
    constants = 1 / torch.from_numpy(np.asarray(counts)).double()
    return made.append(AvgPool(shape, made.label(call), (source,), reads, constants))


def _adaptive_avg_pool(made: Construction, call: Call) -> Value:
    source = made.position(call.args[0])
    shape = made.shape(source)
    rank = len(shape) - 1
    asked = call.args[1] if isinstance(call.args[1], list | tuple) else [call.args[1]]
    wanted = list(asked) * rank if len(asked) == 1 else list(asked)
    out = tuple(size if n is None else int(n) for n, size in zip(wanted, shape[1:], strict=True))
    reads = adaptive_sources(shape[1:], out)
    return _averaged(
        made, call, source=source, reads=reads, counts=(reads >= 0).sum(0), shape=(shape[0], *out)
    )


def _reduced(divide: bool) -> Builder:
    """The builder of a mean or a sum over axes of an item."""

    def build(made: Construction, call: Call) -> Value:
        source = made.position(call.args[0])
        shape = made.shape(source)
        asked: Any = argument(call, 1, "dim")
        if not asked and asked != 0:
            raise Refused("mixes items of the batch")
        axes = {axis_of(a, shape) for a in ([asked] if isinstance(asked, int) else asked)}
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        turned = made.selected(call, source, made.units(source).transpose([*kept, *sorted(axes)]))
        rows, positions = (prod(shape[axis] for axis in part) for part in (kept, axes))
        reads = np.arange(positions)[:, None]
        count = np.array([positions if divide else 1])
        pooled = _averaged(
            made, call, source=turned.position, reads=reads, counts=count, shape=(rows, 1)
        )
        keep = bool(argument(call, 2, "keepdim", False))
        out = [1 if axis in axes else e for axis, e in enumerate(shape) if keep or axis in kept]
        return made.reshaped(call, pooled.position, tuple(out))

    return build


SHAPING: dict[str, Builder] = {
    "aten.view.default": _view,
    "aten.reshape.default": _view,
    "aten._unsafe_view.default": _view,
    "aten.flatten.using_ints": _flatten,
    "aten.unflatten.int": _unflatten,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.split.Tensor": _split,
    "aten.split_with_sizes.default": _split,
    "aten.chunk.default": _split,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.avg_pool1d.default": _avg_pool(1),
    "aten.avg_pool2d.default": _avg_pool(2),
    "aten.avg_pool3d.default": _avg_pool(3),
    "aten.adaptive_avg_pool1d.default": _adaptive_avg_pool,
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool,
    "aten.adaptive_avg_pool3d.default": _adaptive_avg_pool,
    "aten.mean.dim": _reduced(divide=True),
    "aten.sum.dim_IntList": _reduced(divide=False),
}
