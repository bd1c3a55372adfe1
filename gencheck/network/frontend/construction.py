"""The state in which a graph of ATen calls becomes nodes: values so far, and what was refused."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gencheck.network.frontend.aten import AtenGraph, Call, Ref
from gencheck.network.ir import Input, Node, Reshape, Select, Shape
from gencheck.network.windows import Index


@dataclass(frozen=True)
class At:
    """The value of a call is the node at this position."""

    position: int


@dataclass(frozen=True)
class Parts:
    """The value of a call that makes several tensors."""

    parts: tuple[Any, ...]


class Symbol:
    """A size that depends on the batch."""


class Unknown:
    """The value of an offender: whatever reads it is not blamed for it."""


Value: TypeAlias = At | Parts | Symbol | Unknown | Tensor


class Refused(Exception):  # noqa: N818 - caught by the loop that called the builder
    """The operator is known and this use of it is not covered."""


class Construction:
    """Nodes so far, the value of each call, and the calls that are outside the path view."""

    def __init__(self, graph: AtenGraph) -> None:
        self.graph = graph
        self.nodes: list[Node] = [Input(graph.input_shape, "input", ())]
        self.values: dict[str, Value] = {**graph.constants, graph.input_name: At(0)}
        self.offenders: list[str] = []
        self.overwritten: dict[int, str] = {}

    def read(self, call: Call) -> list[Value]:
        """What the call's references mean."""
        return [self.values.get(ref.name, Unknown()) for ref in call.references()]

    def refuse(self, call: Call, reason: str) -> None:
        """Name the call as an offender."""
        where = f"{call.target} at {call.module or 'the model itself'}"
        self.offenders.append(f"{where} ({reason})" if reason else where)
        self.values[call.name] = Unknown()

    def refuse_overwritten(self, read: list[Value]) -> None:
        """An in-place operator changes every view of its tensor: reading one later is refused."""
        for value in read:
            if isinstance(value, At) and value.position in self.overwritten:
                operator = self.overwritten[value.position]
                raise Refused(f"reads a tensor that {operator} has overwritten in place")

    def folded_constant(self, call: Call) -> Tensor:
        """The result of a call on constants alone."""
        _, name, overload = call.target.split(".")
        args = [self.plain(a) for a in call.args]
        kwargs = {key: self.plain(a) for key, a in call.kwargs.items()}
        result = getattr(getattr(torch.ops.aten, name), overload)(*args, **kwargs)
        if not isinstance(result, Tensor):
            raise Refused("on constants")
        return result

    def plain(self, argument: Any) -> Any:
        """An argument with references to constants filled in."""
        if isinstance(argument, list | tuple):
            return [self.plain(item) for item in argument]
        return self.constant(argument) if isinstance(argument, Ref) else argument

    def is_constant(self, argument: Any) -> bool:
        """True for a number, and for a reference to a constant tensor."""
        if isinstance(argument, Ref):
            return isinstance(self.values[argument.name], Tensor)
        return isinstance(argument, int | float)

    def constant(self, argument: Any) -> Tensor:
        """The constant that an argument refers to; a number as a float64 tensor."""
        value = self.values[argument.name] if isinstance(argument, Ref) else argument
        if isinstance(value, int | float):
            return torch.tensor(float(value), dtype=torch.float64)
        if not isinstance(value, Tensor):
            raise Refused("with a weight that is computed from the input")
        return value.detach()

    def optional(self, argument: Any) -> Tensor | None:
        """The constant that an argument refers to, or None."""
        return None if argument is None else self.constant(argument)

    def position(self, argument: Any) -> int:
        """The position of the node that an argument refers to."""
        value = self.values[argument.name] if isinstance(argument, Ref) else argument
        if not isinstance(value, At):
            raise Refused("on something other than a tensor computed from the input")
        return value.position

    def shape(self, position: int) -> Shape:
        """The item shape of a node's tensor."""
        return self.nodes[position].shape

    def append(self, node: Node) -> At:
        """Add a node."""
        self.nodes.append(node)
        return At(len(self.nodes) - 1)

    def reshaped(self, call: Call, source: int, shape: Shape) -> At:
        """The node's tensor under another shape; the node itself where it has that shape."""
        if shape == self.shape(source):
            return At(source)
        return self.append(Reshape(shape, self.label(call), (source,)))

    def selected(self, call: Call, source: int, units: Index) -> At:
        """The units of a node's tensor that `units`, of the new shape, names; −1 for a zero."""
        if units.shape == self.shape(source) and np.array_equal(
            units.ravel(), np.arange(units.size)
        ):
            return At(source)
        shape = tuple(int(extent) for extent in units.shape)
        return self.append(Select(shape, self.label(call), (source,), units.ravel()))

    def units(self, source: int) -> Index:
        """The flat units of a node's tensor in its shape."""
        shape = self.shape(source)
        return np.arange(prod(shape)).reshape(shape)

    def overwrite(self, call: Call, source: int, value: At) -> At:
        """Record an in-place operator: its tensor's name now means `value`, its views are stale."""
        if not call.target.split(".")[1].endswith("_"):
            return value
        base = source
        while isinstance(node := self.nodes[base], Reshape | Select):
            base = node.sources[0]
        views = {base}
        for i, node in enumerate(self.nodes):
            if isinstance(node, Reshape | Select) and node.sources[0] in views:
                views.add(i)
        self.overwritten.update(dict.fromkeys(views - {value.position}, call.target))
        self.values[call.args[0].name] = value
        return value

    def label(self, call: Call) -> str:
        """The name of a node in messages and paths: its module, else the call's own name."""
        return call.module or call.name


Builder: TypeAlias = Callable[[Construction, Call], Value]


def argument(call: Call, index: int, name: str, default: Any = None) -> Any:
    """An argument by position or by name."""
    return call.args[index] if len(call.args) > index else call.kwargs.get(name, default)


def axis_of(value: int, shape: Shape, what: str = "") -> int:
    """The item axis that a batched axis number means.

    Raises
    ------
    Refused
        It is the batch axis.
    """
    axis = int(value) % (len(shape) + 1) - 1
    if axis < 0:
        raise Refused(what or "mixes items of the batch")
    return axis
