"""Calls that write into a tensor, replaced by calls that make a new one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from gencheck.network.frontend.aten import ON_SIZES, Call, Ref, operator_of

# Operators whose result never shares memory with an argument; schemas do not tell.
_FRESH = frozenset(
    f"aten.{name}"
    for name in (
        *("conv1d", "conv2d", "conv3d", "linear", "matmul", "mm", "bmm", "addmm"),
        *("batch_norm", "layer_norm", "group_norm", "instance_norm"),
        *("add", "sub", "mul", "div", "cat", "stack", "mean", "sum"),
        *("relu", "relu6", "hardtanh", "clamp", "clamp_min", "leaky_relu", "prelu", "elu"),
        *("silu", "gelu", "hardswish", "hardsigmoid", "sigmoid", "tanh"),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    )
)

_DROPOUT = frozenset({"aten.dropout", "aten.dropout_"})


def without_writes(
    calls: Sequence[Call], output: Any, dtype_of: Callable[[str], torch.dtype | None]
) -> tuple[tuple[Call, ...], Any] | None:
    """The calls and what they return, without operators in place; None where that takes more thought.

    ``y.add_(x)`` becomes ``y' = y + x``, and whoever reads y afterwards reads y'. That is the same
    where nothing else shares y's memory: y was made by an operator known to allocate, and so far only
    such operators have read it. torch's own way, which also follows views, traces the model again.

    Parameters
    ----------
    output
        A `Ref` or nested lists of them.
    dtype_of
        The dtype of a tensor by its name.
    """
    # tensors that no argument shares memory with: by name, by the call that made them, whose name the
    # call has that holds its value now
    tensors: dict[str, str] = {}
    holders: dict[str, str] = {}
    shared = set[str]()

    def now(value: Any) -> Any:
        if isinstance(value, Ref) and value.name in tensors:
            return Ref(holders[tensors[value.name]])
        return [now(each) for each in value] if isinstance(value, list) else value

    made = []
    for call in calls:
        if not _is_plain(call.target):
            return None
        operator, read = call.target.rpartition(".")[0], call.references()
        args = tuple(now(list(call.args)))
        new = replace(call, args=args, kwargs={name: now(v) for name, v in call.kwargs.items()})
        tensor = tensors.get(read[0].name) if read and read[0] == call.args[0] else None
        if tensor is not None and operator in _DROPOUT and args[2:] == (False,):
            # in eval mode the result is the argument itself, whatever the schema says
            tensors[call.name] = tensor
            continue
        if operator.endswith("_"):
            same_dtype = len({dtype_of(ref.name) for ref in read}) == 1
            if tensor is None or tensor in shared or operator[:-1] not in _FRESH or not same_dtype:
                return None
            new = replace(new, target=call.target.replace("_.", ".", 1))
            tensors[call.name], holders[tensor] = tensor, call.name
        elif operator in _FRESH:
            tensors[call.name] = holders[call.name] = call.name
        else:
            # what it makes may be a view of what it read
            shared.update(tensors[ref.name] for ref in read if ref.name in tensors)
        made.append(new)
    return tuple(made), now(output)


def _is_plain(target: str) -> bool:
    """True of an operator of ATen that writes into its first argument, as its name says, or nowhere.

    Not of one that writes into ``out=``, nor of one that holds a graph of its own.
    """
    if target == "getitem" or target in ON_SIZES:
        return True
    library, _, name = target.partition(".")
    if library != "aten":
        return False
    return name.split(".")[0].endswith("_") or not operator_of(target)._schema.is_mutable
