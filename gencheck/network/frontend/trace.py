"""A live module traced through torch.export into ATen calls."""

import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import ON_SIZES, AtenGraph, Call, Ref
from gencheck.network.frontend.functional import without_writes
from gencheck.network.frontend.hoisting import with_positions_chosen_first
from gencheck.network.frontend.outputs import (
    OutputSpec,
    audited_graph,
    chosen_output,
    output_spec,
)
from gencheck.network.frontend.plain_copy import plain_copy

# Any size above 1 would do (torch.export treats 0 and 1 as special); an odd prime is unlikely to
# be taken for one of the model's own sizes.
_TRACE_BATCH = 3


def trace(
    module: nn.Module,
    input_shape: tuple[int, ...],
    whole_numbers: bool = False,
    any_batch: bool = False,
    *,
    output: str | None = None,
    logits: bool = False,
) -> AtenGraph:
    """The ATen calls that `module`, in eval mode, makes for items of shape `input_shape`.

    The module is copied, never changed.

    Parameters
    ----------
    whole_numbers
        True where items are whole numbers, such as tokens; they are traced as int64.
    any_batch
        True where the graph must take any batch size, as training does.
    output
        The name or number of the output that is meant, where the forward returns several.
    logits
        True where the graph ends at the logits, as an audit does: see `audited_graph`.

    Raises
    ------
    UnsupportedModel
        torch.export cannot trace the module (control flow that depends on data, for instance).
    InputError
        The module takes something other than one tensor, or it is not decided which of its outputs
        is meant.
    """
    module = plain_copy(module)
    like = next((p for p in module.parameters()), torch.zeros(()))
    dtype = torch.int64 if whole_numbers else like.dtype
    items = torch.zeros((_TRACE_BATCH, *input_shape), dtype=dtype, device=like.device)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module(items)
    except Exception as error:
        raise InputError(
            where="model",
            found=f"an error on items of shape {tuple(input_shape)}: {_first_line(error)}",
            required="a model whose forward takes one batch of such items",
            remedy="Bring the items to the model's input shape with --transform or in the file.",
        ) from error
    with _exporting():
        sizes = ({0: torch.export.Dim("batch")},) if any_batch else None
        program = torch.export.export(module, (items,), dynamic_shapes=sizes)
    calls = without_writes(*_calls_of(program), _dtypes(program))
    if calls is None:
        with _exporting():
            program = program.run_decompositions({})
        calls = _calls_of(program)
    batch = None if any_batch else _TRACE_BATCH
    graph = _from_program(program, calls, tuple(input_shape), output=output, logits=logits)
    return replace(graph, whole_numbers=whole_numbers, batch=batch)


def first_traceable(
    module: nn.Module,
    shapes: list[tuple[int, ...]],
    output: str | None = None,
    *,
    logits: bool = False,
) -> AtenGraph:
    """The graph of the module for the first of the item shapes that it runs on, else for tokens.

    Raises
    ------
    InputError
        It runs on none of them; says why not on the first.
    """
    failure: InputError | None = None
    for whole_numbers in (False, True):
        for shape in shapes:
            try:
                return trace(module, shape, whole_numbers, output=output, logits=logits)
            except InputError as error:
                failure = failure or error
    if failure is None:
        raise ValueError("no item shape to try")
    raise failure


@contextmanager
def _exporting() -> Iterator[None]:
    """What torch's exporter cannot do is the model's to answer for."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise UnsupportedModel(
            [f"the model's forward (torch.export: {_first_line(error)})"]
        ) from error


def _calls_of(program: torch.export.ExportedProgram) -> tuple[tuple[Call, ...], list[Any]]:
    """The calls in order, and what the program returns."""
    (returned,) = (_plain(node.args)[0] for node in program.graph.nodes if node.op == "output")
    calls = (_call(node) for node in program.graph.nodes if node.op == "call_function")
    return tuple(calls), list(returned)


def _dtypes(program: torch.export.ExportedProgram) -> Callable[[str], torch.dtype | None]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return lambda name: getattr(values[name], "dtype", None)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = "".join(c for c in lines[0] if c.isprintable()) if lines else ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _from_program(
    program: torch.export.ExportedProgram,
    made: tuple[tuple[Call, ...], list[Any]],
    shape: tuple[int, ...],
    *,
    output: str | None,
    logits: bool,
) -> AtenGraph:
    signature = program.graph_signature
    stored: dict[str, Any] = {**program.state_dict, **program.constants}
    fqns = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants = {name: _detached(stored[fqn]) for name, fqn in fqns.items()}
    calls, outputs = made
    nodes = program.graph.nodes
    inputs = [n.name for n in nodes if n.op == "placeholder" and n.name not in constants]
    if len(inputs) != 1:
        raise InputError(where="model", found=f"{len(inputs)} inputs", required="one input tensor")
    leaves = [
        value.name if isinstance(value, Ref) else None
        for spec, value in zip(signature.output_specs, outputs, strict=True)
        if spec.kind is _RETURNED
    ]
    structure = _output_spec(program.call_spec.out_spec)
    chosen = chosen_output(structure, leaves, output, "model")
    graph = AtenGraph(
        input_name=inputs[0],
        input_shape=shape,
        batch=_TRACE_BATCH,
        constants=constants,
        calls=calls,
        output=chosen,
        origins=fqns,
        parameters=frozenset(signature.inputs_to_parameters),
        part_of_output=bool(structure.parts),
    )
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    if logits:
        graph = audited_graph(graph, lambda name: values[name].shape)
    return with_positions_chosen_first(graph, lambda name: values[name].dim())


_RETURNED = torch.export.graph_signature.OutputKind.USER_OUTPUT


def _output_spec(spec: Any) -> OutputSpec:
    if spec.is_leaf():
        return OutputSpec()
    # `children` is what newer torch has in the place of `children_specs`
    parts = spec.children() if hasattr(spec, "children") else spec.children_specs
    return output_spec(spec.context, [_output_spec(part) for part in parts])


def _detached(tensor: Tensor) -> Tensor:
    return tensor.detach()


def _call(node: torch.fx.Node) -> Call:
    target = str(node.target)
    plain = f"operator.{getattr(node.target, '__name__', '')}"
    if node.target is operator.getitem:
        target = "getitem"
    elif plain in ON_SIZES:
        target = plain
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    module = stack[-1][0] if stack else ""
    return Call(node.name, target, tuple(_plain(node.args)), _plain(node.kwargs), module)


def _plain(value: Any) -> Any:
    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
