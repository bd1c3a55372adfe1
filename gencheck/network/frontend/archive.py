"""The graph inside a saved torch.export program, read as data.

torch's own loader can run code that a file brings along (pickled fallbacks, expressions that are
evaluated, generated guards). Nothing here does: operators are names, arguments are numbers, and an
operator that lowering does not know is refused before anything runs.
"""

import json
from collections.abc import Callable
from math import inf, nan
from typing import Any

import torch
from torch import Tensor

from gencheck.element_types import ELEMENT_TYPES
from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import ON_SIZES, AtenGraph, Call, Ref
from gencheck.network.frontend.hoisting import with_positions_chosen_first
from gencheck.network.frontend.outputs import (
    OutputSpec,
    audited_graph,
    chosen_output,
    output_spec,
)

_PREFIX = "torch.ops."

_UNREADABLE = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration),
)

# Those that an operator may name to compute in.
_SCALAR_TYPES = {n: t for n, t in ELEMENT_TYPES.items() if t not in (torch.int8, torch.int16)}
_WHOLE = frozenset({4, 5})


def from_archive(
    document: dict[str, Any], weights: dict[str, Tensor], where: str, output: str | None = None
) -> AtenGraph:
    """The ATen calls of the program in `document`, the JSON of a ``.pt2`` archive.

    Parameters
    ----------
    weights
        Parameters, buffers and constants by their fully qualified names.
    where
        The file, for messages.
    output
        The name or number of the output to audit, where the program has several.

    Raises
    ------
    InputError
        The document is not a program of one input tensor, a weight is missing, or it is not decided
        which output is meant.
    UnsupportedModel
        The program has control flow or an operator outside ATen.
    """
    try:
        return _graph(document["graph_module"], weights, where, output)
    except (*_UNREADABLE, RecursionError) as error:
        raise InputError(
            where=where,
            found=f"a program that cannot be read ({type(error).__name__}: {error})",
            required="an archive written by torch.export.save",
            remedy="Save the model again with torch.export.save.",
        ) from error


def _graph(
    module: dict[str, Any], weights: dict[str, Tensor], where: str, output: str | None
) -> AtenGraph:
    graph, signature = module["graph"], module["signature"]
    constants: dict[str, Tensor] = {}
    inputs: list[str] = []
    parameters: set[str] = set()
    for spec in signature["input_specs"]:
        kind, value = _only(spec)
        if kind == "user_input":
            inputs.append(_only(value["arg"])[1]["name"])
        else:
            fqn = _fqn(value)
            constants[value["arg"]["name"]] = _weight(weights, fqn, where)
            if kind == "parameter":
                parameters.add(value["arg"]["name"])
                _require_real(weights[fqn], fqn, where)
    if len(inputs) != 1:
        raise InputError(
            where=where,
            found=f"a program with {len(inputs)} inputs",
            required="one input tensor",
        )
    leaves = [
        _tensor_name(spec["user_output"]["arg"])
        for spec in signature["output_specs"]
        if "user_output" in spec
    ]
    chosen = chosen_output(_output_spec(module), leaves, output, where)
    meta = graph["tensor_values"][inputs[0]]
    batch, shape = _sizes(meta["sizes"], where)
    calls = tuple(call for node in graph["nodes"] for call in _calls(node))
    made = AtenGraph(
        input_name=inputs[0],
        input_shape=shape,
        batch=batch,
        constants=constants,
        calls=calls,
        output=chosen,
        whole_numbers=meta["dtype"] in _WHOLE,
        parameters=frozenset(parameters),
    )
    sizes = {
        name: [int(size.get("as_int", 0)) for size in value["sizes"]]
        for name, value in graph["tensor_values"].items()
    }
    made = audited_graph(made, sizes.__getitem__)
    return with_positions_chosen_first(made, lambda name: len(sizes[name]))


def _tensor_name(argument: dict[str, Any]) -> str | None:
    kind, value = _only(argument)
    return str(value["name"]) if kind == "as_tensor" else None


def _output_spec(module: dict[str, Any]) -> OutputSpec:
    """The structure of what the forward returned, from the text in which torch keeps it."""
    whole = next(entry for entry in module["module_call_graph"] if entry["fqn"] == "")
    _, spec = json.loads(whole["signature"]["out_spec"])

    def read(part: dict[str, Any], depth: int = 0) -> OutputSpec:
        if depth > _DEEPEST:
            raise ValueError("outputs nested too deeply")
        context = part["context"]
        known = json.loads(context) if isinstance(context, str) else None
        return output_spec(known, [read(child, depth + 1) for child in part["children_spec"]])

    return read(spec)


# How deeply an output may be nested.
_DEEPEST = 20


def _only(mapping: dict[str, Any]) -> tuple[str, Any]:
    """The one key and value of a tagged union."""
    ((key, value),) = mapping.items()
    return key, value


def _fqn(spec: dict[str, Any]) -> str:
    for key in ("parameter_name", "buffer_name", "tensor_constant_name"):
        if key in spec:
            return str(spec[key])
    raise ValueError(f"an input that is no tensor: {sorted(spec)}")


def _weight(weights: dict[str, Tensor], fqn: str, where: str) -> Tensor:
    if fqn not in weights:
        raise InputError(
            where=where, found=f"no weight {fqn!r}", required="every weight that the graph names"
        )
    return weights[fqn]


def _require_real(weight: Tensor, fqn: str, where: str) -> None:
    if not weight.is_floating_point():
        raise InputError(
            where=f"{where}, {fqn}",
            found=f"a parameter of {str(weight.dtype).removeprefix('torch.')}",
            required="floating-point numbers",
            remedy="Export the model with its parameters as .float() makes them.",
        )


def _sizes(sizes: list[dict[str, Any]], where: str) -> tuple[int | None, tuple[int, ...]]:
    """The fixed batch size, or None, and the item shape."""
    plain = [size.get("as_int") for size in sizes]
    if not plain or None in plain[1:]:
        raise InputError(
            where=where,
            found="an input whose item shape is not fixed",
            required="an input of shape (batch, …) where only the batch may vary",
        )
    return plain[0], tuple(int(size) for size in plain[1:] if size is not None)


def _calls(node: dict[str, Any]) -> list[Call]:
    """The call of one node, and one `getitem` for each part where it makes several tensors."""
    metadata = node.get("metadata", {})
    module = _module_path(metadata.get("nn_module_stack", ""))
    target = _target(str(node["target"]), module)
    unknown = {_only(entry["arg"])[0] for entry in node["inputs"]} - _PLAIN.keys()
    if unknown:
        raise UnsupportedModel(
            [
                f"{target} at {module or 'the model itself'} (an argument {', '.join(sorted(unknown))})"
            ]
        )
    args = tuple(_argument(entry["arg"]) for entry in node["inputs"] if entry.get("kind") != 2)
    kwargs = {
        entry["name"]: _argument(entry["arg"]) for entry in node["inputs"] if entry.get("kind") == 2
    }
    names = [name for output in node["outputs"] for name in _output_names(output)]
    if len(names) == 1:
        return [Call(names[0], target, args, kwargs, module)]
    whole = "+".join(names)
    parts = [
        Call(name, "getitem", (Ref(whole), index), {}, module) for index, name in enumerate(names)
    ]
    return [Call(whole, target, args, kwargs, module), *parts]


def _target(target: str, module: str) -> str:
    if target in {"_operator.getitem", "operator.getitem"}:
        return "getitem"
    if target.lstrip("_") in ON_SIZES:
        return target.lstrip("_")
    if target.startswith(_PREFIX) and target.count(".") == 4:
        return target.removeprefix(_PREFIX)
    raise UnsupportedModel([f"{target} at {module or 'the model itself'}"])


def _module_path(stack: str) -> str:
    """The innermost module of a stack written as ``key,path,class;key,path,class``."""
    last = stack.split(";")[-1].split(",")
    return last[1] if len(last) > 1 else ""


def _output_names(output: dict[str, Any]) -> list[str]:
    kind, value = _only(output)
    if kind == "as_tensors":
        return [str(tensor["name"]) for tensor in value]
    if kind in {"as_tensor", "as_sym_int"}:
        return [str(value.get("name", value.get("as_name")))]
    raise ValueError(f"an output of kind {kind}")


# What the value of each kind of argument becomes.
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "as_none": lambda _value: None,
    "as_tensor": lambda value: Ref(value["name"]),
    "as_tensors": lambda value: [Ref(tensor["name"]) for tensor in value],
    "as_optional_tensors": lambda value: [_argument(tensor) for tensor in value],
    "as_sym_int": lambda value: _symbolic(value),
    "as_sym_ints": lambda value: [_symbolic(item) for item in value],
    "as_string": str,
    "as_scalar_type": lambda value: _SCALAR_TYPES[value],
    # where a trace ran does not matter: a run puts its own device in place of this one
    "as_device": lambda _value: torch.device("cpu"),
    "as_layout": lambda _value: torch.strided,
    "as_memory_format": lambda _value: torch.contiguous_format,
    "as_float": lambda value: _number(value),
    "as_floats": lambda value: [_number(item) for item in value],
    **dict.fromkeys(("as_int", "as_bool", "as_ints", "as_bools"), lambda value: value),
}

# JSON has no words for these, so torch writes them as text.
_NOT_FINITE = {"Infinity": inf, "-Infinity": -inf, "NaN": nan}


def _number(value: Any) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


def _argument(argument: dict[str, Any]) -> Any:
    kind, value = _only(argument)
    if kind not in _PLAIN:
        raise ValueError(f"an argument of kind {kind}")
    return _PLAIN[kind](value)


def _symbolic(value: dict[str, Any]) -> Any:
    kind, item = _only(value)
    return Ref(item) if kind == "as_name" else item
