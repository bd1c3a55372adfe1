"""A traced model from a file looked through for tensors larger than any that is held."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph, operator_of, run
from gencheck.network.frontend.lowering import may_run
from gencheck.network.windows import MOST_UNITS

# What torch itself computes the shapes of these with loads its compiler first, which takes seconds.
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
        run(graph, probe, may_run, note, operators=_shapes_of)
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


def _like_its_first(first: Tensor, *others: Any, **named: Any) -> Tensor:
    return torch.empty_like(first)


def _broadcast(*values: Any, **named: Any) -> Tensor:
    tensors = [value for value in values if isinstance(value, Tensor)]
    return tensors[0].new_empty(torch.broadcast_shapes(*(each.shape for each in tensors)))


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return tensors[0].new_empty(shape)


def _pooled(first: Tensor, size: Sequence[int]) -> Tensor:
    return first.new_empty((*first.shape[:-2], *size))


def _mapped(first: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return first.new_empty((*first.shape[:-1], weight.shape[0]))


_SHAPES: dict[str, Callable[..., Any]] = {
    "cat": _joined,
    "adaptive_avg_pool2d": _pooled,
    "linear": _mapped,
}
