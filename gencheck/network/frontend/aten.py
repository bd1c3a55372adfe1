"""A traced model as a list of ATen calls, the same whether it was exported here or read from a file.

Running it calls only operators that the caller lets pass; that is what makes a graph from a file
harmless.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ref:
    """A reference to the value of another call, the input, or a constant."""

    name: str


_RMS_NORM = "aten.rms_norm.default"

# Of an RMSNorm that states none, as torch takes it for float32.
RMS_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Call:
    """One operator applied to arguments.

    Attributes
    ----------
    name
        The name of the value it makes.
    target
        The operator with its overload, such as ``aten.linear.default``.
    args, kwargs
        Numbers, lists, None and `Ref`s.
    module
        The path of the module that the call came from; empty for the model itself.
    """

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: str

    def __post_init__(self) -> None:
        """State what torch would take from the precision of a run, which changes the function."""
        given = *self.args[3:], self.kwargs.get("eps")
        if self.target == _RMS_NORM and all(eps is None for eps in given):
            object.__setattr__(self, "args", self.args[:3])
            object.__setattr__(self, "kwargs", self.kwargs | {"eps": RMS_EPS})

    def references(self) -> tuple[Ref, ...]:
        """Every `Ref` among the arguments, nested lists included."""
        return self._references

    @cached_property
    def _references(self) -> tuple[Ref, ...]:
        # asked for at every run of the call
        return tuple(_references([*self.args, *self.kwargs.values()]))


def _references(values: Iterable[Any]) -> Iterable[Ref]:
    for value in values:
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, list | tuple):
            yield from _references(value)


@dataclass(frozen=True)
class AtenGraph:
    """A traced model.

    Attributes
    ----------
    input_name, input_shape
        The one input and the shape of one item.
    batch
        The batch size that the graph is fixed to, or None where it takes any.
    whole_numbers
        True where items are whole numbers, such as the tokens of a text.
    constants
        Parameters and buffers by the name that calls refer to.
    calls
        In execution order.
    output
        The name of the value returned.
    origins
        The qualified name in the module of each constant that has one, where the module is at hand.
    parameters
        The names of those constants that are parameters; the others are buffers and numbers.
    taken_off
        What stood behind `output` in the model and is no part of the graph, for the record.
    part_of_output
        True where the model returns `output` in a container, beside others or alone.
    """

    input_name: str
    input_shape: tuple[int, ...]
    batch: int | None
    constants: dict[str, Tensor]
    calls: tuple[Call, ...]
    output: str
    whole_numbers: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    taken_off: tuple[str, ...] = ()
    part_of_output: bool = False

    @property
    def parameter_count(self) -> int:
        """The number of entries of all parameters; one that two modules share counts once."""
        own = {id(self.constants[name]): self.constants[name].numel() for name in self.parameters}
        return sum(own.values())


# Arithmetic on sizes that depend on the batch.
ON_SIZES: dict[str, Callable[..., Any]] = {
    "operator.mul": operator.mul,
    "operator.add": operator.add,
    "operator.sub": operator.sub,
    "operator.floordiv": operator.floordiv,
}

Note: TypeAlias = Callable[[str, Any], None]


def _unnoted(name: str, value: Any) -> None:
    return None


def run(
    graph: AtenGraph,
    items: Tensor,
    may_run: Callable[[str], bool],
    note: Note = _unnoted,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The traced model's own output on `items`, call by call with torch's own kernels.

    Parameters
    ----------
    items
        Shape (N, *input_shape). A graph with a fixed batch is run on chunks of that size, the last
        one padded with its first item.
    may_run
        Which operators may be called; another one is a programming error, since it has been refused
        before.
    note
        Called with the name and the value of each call.
    dtype
        Of the parameters; by default the items'.
    """
    dtype = items.dtype if dtype is None else dtype

    def once(batch: Tensor) -> Tensor:
        output = run_batch(graph, batch, may_run, note, dtype)
        assert isinstance(output, Tensor)
        return output

    return in_batches(graph, items, once)


def in_batches(graph: AtenGraph, items: Tensor, once: Callable[[Tensor], Tensor]) -> Tensor:
    """`once` on all items; on chunks of the graph's batch where it is fixed to one."""
    if graph.batch is None:
        return once(items)
    return torch.cat([once(batch) for batch in full_batches(items, graph.batch)])[: len(items)]


def full_batches(items: Tensor, size: int) -> Iterable[Tensor]:
    """The items in batches of one size, the last one padded with its first item."""
    for chunk in items.split(size):
        padding = chunk[:1].expand(size - len(chunk), *chunk.shape[1:])
        yield torch.cat([chunk, padding])


def run_batch(
    graph: AtenGraph,
    items: Tensor,
    may_run: Callable[[str], bool],
    note: Note,
    dtype: torch.dtype,
    *,
    operators: Callable[[str], Any] | None = None,
) -> Any:
    """The last value of one run on a batch that suits the graph; see `run`.

    Parameters
    ----------
    operators
        What each target calls; by default the operator of that name.
    """
    # a clone, because an in-place operator may write into the input; contiguous, because the graph
    # was traced on such items and may take views of them
    own_items = items.clone(memory_format=torch.contiguous_format)
    operators = operators or operator_of
    values: dict[str, Any] = {graph.input_name: own_items}
    for name, constant in graph.constants.items():
        own = dtype if constant.is_floating_point() and dtype.is_floating_point else constant.dtype
        values[name] = constant.to(items.device, own)
    last_read = {ref.name: n for n, call in enumerate(graph.calls) for ref in call.references()}
    for number, call in enumerate(graph.calls):
        if not may_run(call.target):
            raise RuntimeError(f"{call.target} may not be run")
        args = filled_arguments(call.args, values, items.device, dtype)
        filled = filled_arguments(call.kwargs.values(), values, items.device, dtype)
        kwargs = dict(zip(call.kwargs, filled, strict=True))
        values[call.name] = operators(call.target)(*args, **kwargs)
        note(call.name, values[call.name])
        for ref in call.references():
            if last_read[ref.name] == number and ref.name != graph.output:
                values.pop(ref.name, None)
    return values[graph.output]


def needed_calls(graph: AtenGraph, names: set[str]) -> tuple[Call, ...]:
    """The calls that make the values `names`, in order.

    Where an operator writes in place, all calls before the last of them are kept: what it writes into
    may be read under another name.
    """
    last = max(n for n, call in enumerate(graph.calls) if call.name in names)
    calls = graph.calls[: last + 1]
    if any(call.target.rsplit(".", 1)[0].endswith("_") for call in calls):
        return calls
    wanted, kept = set(names), []
    for call in reversed(calls):
        if call.name in wanted:
            kept.append(call)
            wanted.update(ref.name for ref in call.references())
    return tuple(reversed(kept))


def operator_of(target: str) -> Any:
    """What a target calls: an operator of ATen, or arithmetic on sizes."""
    if target == "getitem":
        return lambda values, index: values[index]
    if target in ON_SIZES:
        return ON_SIZES[target]
    _, name, overload = target.split(".")
    return getattr(getattr(torch.ops.aten, name), overload)


def filled_arguments(
    arguments: Iterable[Any],
    values: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> list[Any]:
    """Arguments with references filled in; what a trace recorded gives way to the run's own.

    That is the device and, where a floating-point `dtype` is given, the precision.
    """
    filled: list[Any] = []
    for argument in arguments:
        if isinstance(argument, Ref):
            filled.append(values[argument.name])
        elif isinstance(argument, list | tuple):
            filled.append(filled_arguments(argument, values, device, dtype))
        elif isinstance(argument, torch.device):
            filled.append(device)
        elif isinstance(argument, torch.dtype) and argument.is_floating_point and dtype:
            filled.append(dtype if dtype.is_floating_point else argument)
        else:
            filled.append(argument)
    return filled
