"""The state in which a graph of ATen calls becomes nodes: values so far, and what was refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gencheck.network.frontend.aten import AtenGraph, Call, Ref, operator_of, run_batch
from gencheck.network.frontend.runnable import computes_on_tensors, makes_gates
from gencheck.network.gate_program import GateRead
from gencheck.network.ir import Input, Reshape, Select
from gencheck.network.node import Node, Shape
from gencheck.network.windows import Index


@dataclass(frozen=True)
class At:
    """The value of a call is the node at this position."""

    position: int


@dataclass(frozen=True)
class Parts:
    """The value of a call that makes several tensors."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Laid:
    """The value of a call whose first axis is not the batch: see `gencheck.network.frontend.layout`."""

    position: int
    codes: Tensor


@dataclass(frozen=True)
class Off:
    """The value of a call is off the path: the input decides it, and it can only make gates."""

    name: str


Value: TypeAlias = At | Laid | Parts | Off | Tensor | int | None

# The batch that a graph which takes any is lowered for; an odd prime is unlikely to be taken for one
# of the model's own sizes.
ANY_BATCH = 3


class Refused(Exception):  # noqa: N818 - caught by the loop that called the builder
    """The operator is known and this use of it is not covered."""


class Construction:
    """Nodes so far, the value of each call, and the calls that are outside the path view."""

    def __init__(self, graph: AtenGraph) -> None:
        self.batch = graph.batch or ANY_BATCH
        self.graph = replace(graph, batch=self.batch)
        self.nodes: list[Node] = [Input(graph.input_shape, "input", ())]
        # the tokens of a text are no coordinates: they can only be looked up
        start = Off(graph.input_name) if graph.whole_numbers else At(0)
        self.values: dict[str, Value] = {**graph.constants, graph.input_name: start}
        self.refusals: dict[str, str] = {}
        self.overwritten: dict[int, str] = {}
        self.reads: dict[int, GateRead] = {}
        self.inserted: dict[str, list[Call]] = {}

    @cached_property
    def traced_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors, from one run on a batch of zeros."""
        kind = torch.int64 if self.graph.whole_numbers else torch.float32
        probe = torch.zeros((self.batch, *self.graph.input_shape), dtype=kind)
        shapes = {self.graph.input_name: tuple(probe.shape)}

        def note(name: str, value: Any) -> None:
            if isinstance(value, Tensor):
                shapes[name] = tuple(value.shape)

        runnable = tuple(takewhile(lambda call: makes_gates(call.target), self.graph.calls))
        if not runnable:
            return shapes
        graph = self.program_graph(runnable)
        with torch.no_grad():
            run_batch(graph, probe, makes_gates, note, torch.float32)
        return shapes

    def traced_shape(self, argument: Any) -> tuple[int, ...]:
        """The shape of a tensor with its batch."""
        value = self.values.get(argument.name)
        match value:
            case At():
                return (self.batch, *self.shape(value.position))
            case Laid():
                return tuple(value.codes.shape)
            case Tensor():
                return tuple(value.shape)
        if argument.name not in self.traced_shapes:
            unknown = (c.target for c in self.graph.calls if not makes_gates(c.target))
            raise Refused(
                f"with a gate behind {next(unknown, 'an unknown call')}, which is not run"
            )
        return self.traced_shapes[argument.name]

    def insert(self, call: Call, target: str, *args: Any, **kwargs: Any) -> str:
        """Have a further call run right before `call`, to make a gate; its name."""
        added = self.inserted.setdefault(call.name, [])
        name = f"{call.name}+{len(added)}"
        added.append(Call(name, target, args, kwargs, call.module))
        return name

    def program_graph(self, calls: tuple[Call, ...]) -> AtenGraph:
        """The traced graph with what has been inserted, up to the last of `calls`."""
        joined = [c for call in calls for c in (*self.inserted.get(call.name, ()), call)]
        return replace(self.graph, calls=tuple(joined), output=joined[-1].name)

    def read(self, call: Call) -> list[Value]:
        """What the call's references mean."""
        return [self.values.get(ref.name, Off(ref.name)) for ref in call.references()]

    def refuse_overwritten(self, read: list[Value]) -> None:
        """An in-place operator changes every view of its tensor: reading one later is refused."""
        for value in read:
            if isinstance(value, At) and value.position in self.overwritten:
                operator = self.overwritten[value.position]
                raise Refused(f"reads a tensor that {operator} has overwritten in place")

    def folded_constant(self, call: Call) -> Value:
        """The result of a call on constants alone."""
        if not computes_on_tensors(call.target) and call.target != "getitem":
            raise Refused("on constants")
        args = [self.plain(a) for a in call.args]
        if call.target.split(".")[1].endswith("_") and call.args[0].name in self.graph.constants:
            args[0] = args[0].clone()
        kwargs = {key: self.plain(a) for key, a in call.kwargs.items()}
        result = carried_out(call, *args, **kwargs)
        if isinstance(result, list | tuple):
            return Parts(tuple(result))
        return result if isinstance(result, Tensor) else None

    def made_alike(self, call: Call) -> Tensor:
        """What is made after the shape of another tensor, whatever stands in that one."""
        floats = (c for c in self.graph.constants.values() if c.is_floating_point())
        kind = next(floats, torch.zeros(())).dtype
        like = torch.zeros(self.traced_shape(call.args[0]), dtype=kind)
        kwargs = {key: self.plain(a) for key, a in call.kwargs.items()}
        made = carried_out(call, like, *(self.plain(a) for a in call.args[1:]), **kwargs)
        assert isinstance(made, Tensor)
        return made

    def plain(self, argument: Any) -> Any:
        """An argument with references to constants filled in."""
        if isinstance(argument, list | tuple):
            return [self.plain(item) for item in argument]
        if not isinstance(argument, Ref):
            return argument
        value = self.values[argument.name]
        return list(value.parts) if isinstance(value, Parts) else self.constant(argument)

    def is_constant(self, argument: Any) -> bool:
        """True for a number, and for a reference to a constant tensor."""
        if isinstance(argument, Ref):
            return isinstance(self.values.get(argument.name), Tensor)
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
        value = self.values.get(argument.name) if isinstance(argument, Ref) else argument
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

    def selected_or_reshaped(self, call: Call, source: int, units: Index) -> int:
        """The position of the node with these units of another, in the shape of `units`."""
        size = prod(self.shape(source))
        if units.size == size and np.array_equal(units.ravel(), np.arange(size)):
            return self.reshaped(call, source, tuple(int(n) for n in units.shape)).position
        return self.selected(call, source, units).position

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


def carried_out(call: Call, *args: Any, **kwargs: Any) -> Any:
    """What the call's operator makes of these arguments.

    Raises
    ------
    Refused
        Torch does not carry it out.
    """
    try:
        with torch.no_grad():
            return operator_of(call.target)(*args, **kwargs)
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"torch refuses it: {reason}") from error


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


def per_item(factor: Tensor, shape: Shape) -> Tensor:
    """A factor of a batch as a factor of each item."""
    if factor.ndim == len(shape) + 1:
        if bool((factor != factor[:1]).any()):
            raise Refused("by a constant that differs between items")
        factor = factor[0]
    if factor.ndim > len(shape) or torch.broadcast_shapes(factor.shape, shape) != shape:
        raise Refused(f"by a constant of shape {tuple(factor.shape)} on items of shape {shape}")
    return factor
