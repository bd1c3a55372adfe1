"""A traced model from a file looked through for tensors larger than any that is held."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph, operator_of, run_batch
from gencheck.network.frontend.lowering import may_run
from gencheck.network.windows import MOST_UNITS, sliding

# What torch itself computes the shapes of these with loads its compiler first, or the library of symbols
# that it computes unknown sizes with, which takes a second or more.
_LIKE_THEIR_FIRST = {
    *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_"),
    *("gelu", "elu", "elu_", "clamp", "clamp_"),
    *("hardswish", "hardswish_", "hardsigmoid", "hardsigmoid_"),
    *("batch_norm", "layer_norm", "group_norm", "instance_norm"),
}
_BROADCAST = frozenset(["add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_"])


class _TooLarge(Exception):  # noqa: N818 - a result, not an error
    """The call that makes the tensor, and how many numbers an item that is."""


def require_bounded(graph: AtenGraph) -> None:
    """Do nothing where no call is seen to make more than `MOST_UNITS` numbers an item.

    Shapes alone are computed, on torch's meta device, so that a file that names a huge tensor costs
    nothing. An operator that has no such form, or may not be run, ends the look.

    Raises
    ------
    UnsupportedModel
        Names the call.
    """
    kind = torch.int64 if graph.whole_numbers else torch.float32
    probe = torch.zeros((graph.batch or 2, *graph.input_shape), dtype=kind, device="meta")

    def note(name: str, value: object) -> None:
        if isinstance(value, Tensor) and value.numel() > MOST_UNITS * max(len(probe), 1):
            raise _TooLarge(name, value.numel() // max(len(probe), 1))

    try:
        # the batch is the graph's own, so that nothing need be cut or padded
        run_batch(graph, probe, may_run, note, kind, operators=_shapes_of)
    except _TooLarge as found:
        name, count = found.args
        call = next(call for call in graph.calls if call.name == name)
        raise UnsupportedModel(
            [
                f"{call.target} at {call.module or 'the model itself'} "
                f"({count} numbers an item, more than can be held)"
            ]
        ) from found
    except Exception:
        # what does not fit together is said by the run that computes
        return


def _shapes_of(target: str) -> Callable[..., Any]:
    """What makes a tensor of the shape that an operator's would have, from tensors without entries."""
    name = target.split(".")[1] if target.startswith("aten.") else ""
    if name in _LIKE_THEIR_FIRST:
        return _like_its_first
    if name in _BROADCAST:
        return _broadcast
    return _SHAPES.get(name) or operator_of(target)


def _shaped(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor without entries; `like.new_empty` would load torch's symbolic shapes first."""
    return torch.empty(shape, dtype=like.dtype, device="meta")


def _like_its_first(first: Tensor, *others: Any, **named: Any) -> Tensor:
    return _shaped(first, first.shape)


def _broadcast(*values: Any, **named: Any) -> Tensor:
    tensors = [value for value in values if isinstance(value, Tensor)]
    return _shaped(tensors[0], np.broadcast_shapes(*(each.shape for each in tensors)))


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return _shaped(tensors[0], shape)


def _pooled(first: Tensor, size: Sequence[int]) -> Tensor:
    return _shaped(first, (*first.shape[:-2], *size))


def _mapped(first: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _shaped(first, (*first.shape[:-1], weight.shape[0]))


def _convolved(
    first: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    kernel = tuple(weight.shape[2:])
    steps, spread = (_on_all(each, len(kernel)) for each in (stride, dilation))
    if isinstance(padding, str):
        reach = [d * (k - 1) * (padding == "same") for d, k in zip(spread, kernel, strict=True)]
        before = tuple(each // 2 for each in reach)
        after = tuple(each - half for each, half in zip(reach, before, strict=True))
    else:
        before = after = _on_all(padding, len(kernel))
    found = sliding(tuple(first.shape[2:]), kernel, steps, before, spread, after=after)
    return _shaped(first, (len(first), weight.shape[0], *found.out))


def _windowed(
    first: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Tensor:
    sizes, steps, zeros, spread = (
        _on_all(each, 2) for each in (kernel, stride or kernel, padding, dilation)
    )
    found = sliding(tuple(first.shape[-2:]), sizes, steps, zeros, spread, ceil_mode=ceil_mode)
    return _shaped(first, (*first.shape[:-2], *found.out))


def _averaged(
    first: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    *others: Any,
) -> Tensor:
    return _windowed(first, kernel, stride, padding, ceil_mode=ceil_mode)


def _on_all(sizes: Sequence[int], axes: int) -> tuple[int, ...]:
    """One number stands for all axes, as operators have it."""
    return tuple(sizes) if len(sizes) == axes else tuple(sizes) * axes


_SHAPES: dict[str, Callable[..., Any]] = {
    "cat": _joined,
    "adaptive_avg_pool2d": _pooled,
    "linear": _mapped,
    "conv1d": _convolved,
    "conv2d": _convolved,
    "conv3d": _convolved,
    "max_pool2d": _windowed,
    "avg_pool2d": _averaged,
}
