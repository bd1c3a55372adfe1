"""Where the units of items stand in a traced tensor, whatever has been done to its axes.

Most tensors have the batch as their first axis. Window attention merges it with the windows, and
`MultiheadAttention` with the heads or behind the tokens; so a value may come with *codes*, a tensor of
the traced shape that says which unit of which item stands in each entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.construction import (
    At,
    Construction,
    Laid,
    Parts,
    Refused,
    Value,
    carried_out,
)
from gencheck.network.node import Shape

# What moves entries about and does nothing else, with any arguments.
_NAMES = """
    alias.default channel_shuffle.default chunk.default clone.default constant_pad_nd.default
    contiguous.default detach.default expand.default expand_as.default flatten.using_ints flip.default
    gather.default im2col.default index.Tensor index_select.default lift_fresh.default movedim.int
    movedim.intlist native_channel_shuffle.default numpy_T.default pad.default permute.default
    pixel_shuffle.default pixel_unshuffle.default repeat.default repeat_interleave.self_int
    reshape.default reshape_as.default roll.default select.int slice.Tensor split.Tensor split.sizes
    split_with_sizes.default squeeze.default squeeze.dim squeeze.dims swapaxes.default t.default
    tensor_split.sections tile.default transpose.int unbind.int unflatten.int unfold.default
    unsafe_split.Tensor unsqueeze.default upsample_nearest1d.vec upsample_nearest2d.vec
    upsample_nearest2d.default view.default view_as.default _unsafe_view.default
    _reshape_alias.default
"""
MOVES = frozenset(f"aten.{name}" for name in _NAMES.split())

# Moves that torch carries out on numbers with a fraction only.
_ON_FLOATS = ("upsample", "im2col", "pad")


def codes_of(made: Construction, value: Value) -> Tensor:
    """1 + item · size + unit for each entry, 0 where nothing stands. Shape: the traced one."""
    if isinstance(value, Laid):
        return value.codes
    if not isinstance(value, At):
        raise Refused("on something other than a tensor computed from the input")
    shape = made.shape(value.position)
    return torch.arange(1, made.batch * prod(shape) + 1).view(made.batch, *shape)


def node_of(value: Value) -> int:
    """The position of the node whose units stand in a value."""
    if not isinstance(value, At | Laid):
        raise Refused("on something other than a tensor computed from the input")
    return value.position


def value_of(made: Construction, call: Call, position: int, codes: Tensor) -> Value:
    """A node with these units where the batch is the first axis; else the units as they are laid."""
    size, batch = prod(made.shape(position)), made.batch
    if codes.dim() and codes.shape[0] == batch:
        own = codes[0]
        offsets = torch.arange(batch).view(-1, *[1] * own.dim()) * size
        expected = torch.where(own > 0, own + offsets, torch.zeros_like(own))
        if bool((own <= size).all()) and torch.equal(codes, expected):
            units = (own - 1).numpy()
            if units.size == size and np.array_equal(units.ravel(), np.arange(size)):
                return made.reshaped(call, position, tuple(units.shape))
            return made.selected(call, position, units)
    return Laid(position, codes)


def moved(made: Construction, call: Call) -> Value:
    """The value of a call that only moves entries about.

    Raises
    ------
    Refused
        The tensor that it moves is not on the path.
    """
    first = made.values.get(call.args[0].name) if isinstance(call.args[0], Ref) else None
    if not isinstance(first, At | Laid):
        raise Refused("on something other than a tensor computed from the input")
    if call.target.endswith(("pad.default", "pad_nd.default")):
        _require_zeros(call)
    floats = call.target.removeprefix("aten.").removeprefix("constant_").startswith(_ON_FLOATS)

    def other(name: str) -> Any:
        value = made.values.get(name)
        return value if isinstance(value, Tensor) else torch.zeros(made.traced_shape(Ref(name)))

    codes = codes_of(made, first).contiguous()
    rest, kwargs = _filled(call.args[1:], other), _filled(call.kwargs, other)
    result = carried_out(call, codes.double() if floats else codes, *rest, **kwargs)
    position = first.position
    if isinstance(result, Tensor):
        return value_of(made, call, position, result.long())
    return Parts(tuple(value_of(made, call, position, part.long()) for part in result))


def _require_zeros(call: Call) -> None:
    padded = call.target == "aten.pad.default"
    rest = [*call.args[2:], *call.kwargs.values()]
    if any(isinstance(v, str) and v != "constant" for v in rest) and padded:
        raise Refused(f"with {rest}; covered: zeros")
    if any(isinstance(v, int | float) and v != 0 for v in rest):
        raise Refused(f"with {rest}; covered: zeros")


def _filled(arguments: Any, of: Callable[[str], Any]) -> Any:
    if isinstance(arguments, Ref):
        return of(arguments.name)
    if isinstance(arguments, dict):
        return {key: _filled(value, of) for key, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return [_filled(value, of) for value in arguments]
    return arguments


@dataclass(frozen=True, eq=False)
class Rows:
    """The entries of a value as rows of an item: a node of shape (rows, *last).

    Attributes
    ----------
    position
        Of that node.
    codes
        1 + item · rows + row for each leading index.
    """

    position: int
    codes: Tensor
    rows: int

    def by_item(self, batch: int) -> Tensor:
        """The flat leading index of each row of each item, shape (batch, rows)."""
        order = torch.argsort(self.codes.reshape(-1))
        return order.view(batch, self.rows)

    def back(self, made: Construction, call: Call, position: int, last: Shape) -> Value:
        """The value whose rows are those of another node of shape (rows, *last)."""
        size = prod(last)
        codes = (self.codes - 1)[..., None] * size + torch.arange(1, size + 1)
        return value_of(made, call, position, codes.reshape(*self.codes.shape, *last))


def rows_of(made: Construction, call: Call, position: int, codes: Tensor, keep: int) -> Rows:
    """The entries as rows over the last `keep` axes.

    Raises
    ------
    Refused
        A row has units of two items, or items differ in what their rows hold.
    """
    lead, last = codes.shape[: codes.dim() - keep], codes.shape[codes.dim() - keep :]
    size, batch = prod(made.shape(position)), made.batch
    flat = codes.reshape(prod(lead), prod(last)) - 1
    if bool((flat < 0).any()):
        raise Refused("on padding between items")
    item = flat[:, 0] // size
    order = torch.argsort(item, stable=True)
    if bool((flat // size != item[:, None]).any()) or len(order) % batch:
        raise Refused("mixes items of the batch")
    rows = len(order) // batch
    owned = flat[order].view(batch, rows, -1)
    offsets = torch.arange(batch)[:, None, None] * size
    if not torch.equal(owned - offsets, owned[:1].expand_as(owned)):
        raise Refused("mixes items of the batch")
    own = torch.empty_like(order)
    own[order] = torch.arange(1, len(order) + 1)
    chosen = made.selected_or_reshaped(call, position, owned[0].view(rows, *last).numpy())
    return Rows(chosen, own.view(lead), rows)
