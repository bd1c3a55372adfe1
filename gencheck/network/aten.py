"""A traced model as a list of ATen calls, the same whether it was exported here or read from a file.

Running it calls only operators of `RUNNABLE`; that is what makes a graph from a file harmless.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ref:
    """A reference to the value of another call, the input, or a constant."""

    name: str


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

    def references(self) -> Iterable[Ref]:
        """Every `Ref` among the arguments, nested lists included."""
        yield from _references([*self.args, *self.kwargs.values()])


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
    constants
        Parameters and buffers by the name that calls refer to.
    calls
        In execution order.
    output
        The name of the value returned.
    """

    input_name: str
    input_shape: tuple[int, ...]
    batch: int | None
    constants: dict[str, Tensor]
    calls: tuple[Call, ...]
    output: str

    @property
    def parameter_count(self) -> int:
        """The number of floating-point constants: parameters, and statistics of normalisation."""
        return sum(c.numel() for c in self.constants.values() if c.is_floating_point())


def run(graph: AtenGraph, items: Tensor, runnable: frozenset[str]) -> Tensor:
    """The traced model's own output on `items`, call by call with torch's own kernels.

    Parameters
    ----------
    items
        Shape (N, *input_shape). A graph with a fixed batch is run on chunks of that size, the last
        one padded with its first item.
    runnable
        The operators that may be called; another one is a programming error, since lowering has
        refused it before.
    """
    if graph.batch is None:
        return _run_once(graph, items, runnable)
    outputs = []
    for chunk in items.split(graph.batch):
        padding = chunk[:1].expand(graph.batch - len(chunk), *chunk.shape[1:])
        outputs.append(_run_once(graph, torch.cat([chunk, padding]), runnable)[: len(chunk)])
    return torch.cat(outputs)


def _run_once(graph: AtenGraph, items: Tensor, runnable: frozenset[str]) -> Tensor:
    # a clone, because an in-place operator may write into the input
    values: dict[str, Any] = {graph.input_name: items.clone()}
    values.update(
        (name, constant.to(items) if constant.is_floating_point() else constant)
        for name, constant in graph.constants.items()
    )
    for call in graph.calls:
        if call.target not in runnable:
            raise RuntimeError(f"{call.target} may not be run")
        args = _filled(call.args, values)
        kwargs = dict(zip(call.kwargs, _filled(call.kwargs.values(), values), strict=True))
        values[call.name] = _operator(call.target)(*args, **kwargs)
    output = values[graph.output]
    assert isinstance(output, Tensor)
    return output


def _operator(target: str) -> Any:
    if target == "getitem":
        return lambda values, index: values[index]
    _, name, overload = target.split(".")
    return getattr(getattr(torch.ops.aten, name), overload)


def _filled(arguments: Iterable[Any], values: dict[str, Any]) -> list[Any]:
    return [
        values[a.name]
        if isinstance(a, Ref)
        else (_filled(a, values) if isinstance(a, list | tuple) else a)
        for a in arguments
    ]
