"""ATen calls lowered to the nodes of a `Network`, or one error that names every offender."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.aten import AtenGraph, Call, Ref
from gencheck.network.ir import Add, Affine, Dense, Gate, Input, Network, Node, Reshape, folded


@dataclass(frozen=True)
class _At:
    """The value of a call is the node at this position."""

    position: int


@dataclass(frozen=True)
class _Parts:
    """The value of a call that makes several tensors."""

    parts: tuple[Any, ...]


class _Symbol:
    """A size that depends on the batch."""


class _Unknown:
    """The value of an offender: whatever reads it is not blamed for it."""


_Value: TypeAlias = _At | _Parts | _Symbol | _Unknown | Tensor


class _Refused(Exception):  # noqa: N818 - caught two functions further up
    """The operator is known and this use of it is not covered."""


def lowered(graph: AtenGraph) -> Network:
    """The network of a traced model: normalisation folded, what does nothing left out.

    Raises
    ------
    UnsupportedModel
        Names every operation outside the path view with the module that it came from.
    """
    lowering = _Lowering(graph)
    for call in graph.calls:
        lowering.lower(call)
    output = lowering.values.get(graph.output)
    if not lowering.offenders and not isinstance(output, _At):
        lowering.offenders.append("an output that does not depend on the input")
    if lowering.offenders or not isinstance(output, _At):
        raise UnsupportedModel(lowering.offenders)
    network = folded(lowering.nodes, output.position)
    if not isinstance(network.nodes[-1], Dense):
        last = network.nodes[-1]
        raise UnsupportedModel(
            [
                f"{type(last).__name__.lower()} at {last.label} as the last layer "
                "(the last layer must be a dense Linear, so that all outputs share one z)"
            ]
        )
    return network


class _Lowering:
    """The state of one lowering: nodes so far, the value of each call, the offenders."""

    def __init__(self, graph: AtenGraph) -> None:
        self.graph = graph
        self.nodes: list[Node] = [Input(graph.input_shape)]
        self.shapes: list[tuple[int, ...]] = [graph.input_shape]
        self.values: dict[str, _Value] = {**graph.constants, graph.input_name: _At(0)}
        self.offenders: list[str] = []
        self.overwritten: dict[int, str] = {}

    def lower(self, call: Call) -> None:
        build = BUILDERS.get(call.target)
        read = [self.values.get(ref.name, _Unknown()) for ref in call.references()]
        try:
            if build is None:
                raise _Refused("")
            if any(isinstance(value, _Unknown) for value in read):
                self.values[call.name] = _Unknown()
                return
            self._refuse_overwritten(read)
            if call.target in FOLDABLE and all(isinstance(v, Tensor) for v in read):
                self.values[call.name] = self._folded_constant(call)
                return
            self.values[call.name] = build(self, call)
        except _Refused as refusal:
            where = f"{call.target} at {call.module or 'the model itself'}"
            self.offenders.append(f"{where} ({refusal})" if str(refusal) else where)
            self.values[call.name] = _Unknown()

    def _refuse_overwritten(self, read: list[_Value]) -> None:
        """An in-place operator changes every view of its tensor: reading one later is refused."""
        for value in read:
            if isinstance(value, _At) and value.position in self.overwritten:
                operator = self.overwritten[value.position]
                raise _Refused(f"reads a tensor that {operator} has overwritten in place")

    def _folded_constant(self, call: Call) -> Tensor:
        _, name, overload = call.target.split(".")
        args = [self.constant(a) if isinstance(a, Ref) else a for a in call.args]
        result = getattr(getattr(torch.ops.aten, name), overload)(*args, **call.kwargs)
        if not isinstance(result, Tensor):
            raise _Refused("on constants")
        return result

    def constant(self, argument: Any) -> Tensor:
        """The constant that an argument refers to."""
        value = self.values[argument.name] if isinstance(argument, Ref) else argument
        if not isinstance(value, Tensor):
            raise _Refused("with a weight that is computed from the input")
        return value.detach()

    def position(self, argument: Any) -> int:
        """The position of the node that an argument refers to."""
        value = self.values[argument.name] if isinstance(argument, Ref) else argument
        if not isinstance(value, _At):
            raise _Refused("on something other than a tensor computed from the input")
        return value.position

    def append(self, node: Node, shape: tuple[int, ...]) -> _At:
        """Add a node whose tensor has `shape`."""
        self.nodes.append(node)
        self.shapes.append(shape)
        return _At(len(self.nodes) - 1)

    def overwrite(self, position: int, call: Call, value: _Value) -> None:
        """Record an in-place operator: its tensor's name now means `value`, its views are stale."""
        base = position
        while isinstance(node := self.nodes[base], Reshape):
            base = node.source
        views = {base}
        for i, node in enumerate(self.nodes):
            if isinstance(node, Reshape) and node.source in views:
                views.add(i)
        self.overwritten.update(dict.fromkeys(views, call.target))
        self.values[call.args[0].name] = value

    def label(self, call: Call) -> str:
        """The name of a node in messages and paths: its module, else the call's own name."""
        return call.module or call.name


Builder: TypeAlias = Callable[[_Lowering, Call], _Value]


def _argument(call: Call, index: int, name: str, default: Any = None) -> Any:
    return call.args[index] if len(call.args) > index else call.kwargs.get(name, default)


def _dense(low: _Lowering, call: Call, source: int, weight: Tensor, bias: Tensor | None) -> _Value:
    shape = low.shapes[source]
    if len(shape) != 1:
        raise _Refused(f"on items of shape {shape}; a dense layer reads flat items here")
    out = int(weight.shape[0])
    if bias is not None:
        bias = bias.expand(out)
    return low.append(Dense(source, weight, bias, low.label(call)), (out,))


def _linear(low: _Lowering, call: Call) -> _Value:
    bias = _argument(call, 2, "bias")
    return _dense(
        low,
        call,
        low.position(call.args[0]),
        low.constant(call.args[1]),
        None if bias is None else low.constant(bias),
    )


def _addmm(low: _Lowering, call: Call) -> _Value:
    if call.kwargs.get("alpha", 1) != 1 or call.kwargs.get("beta", 1) != 1:
        raise _Refused("with alpha or beta")
    bias, items, weight = call.args
    return _dense(low, call, low.position(items), low.constant(weight).T, low.constant(bias))


def _mm(low: _Lowering, call: Call) -> _Value:
    return _dense(low, call, low.position(call.args[0]), low.constant(call.args[1]).T, None)


def _gate(low: _Lowering, call: Call, slope: float) -> _Value:
    source = low.position(call.args[0])
    if not 0 <= slope <= 1:
        raise _Refused(f"with slope {slope}; covered: 0 to 1")
    value = low.append(Gate(source, slope, low.label(call)), low.shapes[source])
    if call.target.split(".")[1].endswith("_"):
        low.overwrite(source, call, value)
    return value


def _relu(low: _Lowering, call: Call) -> _Value:
    return _gate(low, call, 0.0)


def _leaky_relu(low: _Lowering, call: Call) -> _Value:
    return _gate(low, call, float(_argument(call, 1, "negative_slope", 0.01)))


def _same(low: _Lowering, call: Call) -> _Value:
    return _At(low.position(call.args[0]))


def _dropout(low: _Lowering, call: Call) -> _Value:
    if _argument(call, 2, "train", True):
        raise _Refused("in training mode; call model.eval() before exporting")
    return _same(low, call)


def _affine(low: _Lowering, call: Call, epsilon: float) -> _Value:
    source = low.position(call.args[0])
    weight, bias, mean, variance = (
        None if argument is None else low.constant(argument) for argument in call.args[1:5]
    )
    if mean is None or variance is None:
        raise _Refused("without running statistics")
    # in float64, so that folding costs no accuracy whatever the run's own dtype is
    deviation = (variance.double() + epsilon).sqrt()
    scale = torch.ones_like(deviation) if weight is None else weight.double()
    scale = scale / deviation
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    if low.shapes[source] != tuple(scale.shape):
        raise _Refused(f"on items of shape {low.shapes[source]}")
    return low.append(Affine(source, scale, shift, low.label(call)), low.shapes[source])


def _batch_norm(low: _Lowering, call: Call) -> _Value:
    if _argument(call, 5, "training", False):
        raise _Refused("in training mode; call model.eval() before exporting")
    return _affine(low, call, float(_argument(call, 7, "eps", 1e-5)))


def _batch_norm_parts(low: _Lowering, call: Call) -> _Value:
    return _Parts((_affine(low, call, float(call.args[6])),))


def _getitem(low: _Lowering, call: Call) -> _Value:
    whole = low.values[call.args[0].name]
    if not isinstance(whole, _Parts):
        raise _Refused("on something other than the parts of a normalisation")
    # the other parts are the statistics that training would have saved
    return whole.parts[0] if call.args[1] == 0 else _Unknown()


def _add(low: _Lowering, call: Call) -> _Value:
    if _argument(call, 2, "alpha", call.kwargs.get("alpha", 1)) != 1:
        raise _Refused("with a factor alpha")
    operands = call.args[:2]
    for operand in operands:
        value = low.values[operand.name] if isinstance(operand, Ref) else operand
        if not isinstance(value, _At):
            raise _Refused("adds a bare parameter or number; covered: the sum of two layers")
    left, right = (low.position(operand) for operand in operands)
    if low.shapes[left] != low.shapes[right]:
        raise _Refused(f"adds shapes {low.shapes[left]} and {low.shapes[right]}")
    value = low.append(Add(left, right, low.label(call)), low.shapes[left])
    if call.target == "aten.add_.Tensor":
        low.overwrite(left, call, value)
    return value


def _reshaped(low: _Lowering, call: Call, shape: tuple[int, ...]) -> _Value:
    source = low.position(call.args[0])
    if shape == low.shapes[source]:
        return _At(source)
    return low.append(Reshape(source, shape, low.label(call)), shape)


def _view(low: _Lowering, call: Call) -> _Value:
    size = prod(low.shapes[low.position(call.args[0])])
    leading, *rest = call.args[1]
    if any(isinstance(extent, Ref) for extent in rest):
        raise _Refused("to a shape that depends on the batch")
    if rest.count(-1) == 1 and leading != -1:
        others = prod(extent for extent in rest if extent != -1)
        rest = [size // others if extent == -1 else extent for extent in rest]
    # a batch axis is symbolic, -1, or the traced batch size; in each case the rest is one item
    fixed = isinstance(leading, Ref) or leading in (-1, low.graph.batch)
    if not fixed or prod(rest) != size:
        raise _Refused("mixes items of the batch")
    return _reshaped(low, call, tuple(int(extent) for extent in rest))


def _flatten(low: _Lowering, call: Call) -> _Value:
    shape = low.shapes[low.position(call.args[0])]
    start, end = (
        int(_argument(call, 1, "start_dim", 0)),
        int(_argument(call, 2, "end_dim", -1)),
    )
    rank = len(shape) + 1
    start, end = start % rank, end % rank
    if start == 0:
        if end == 0:
            return _same(low, call)
        raise _Refused("mixes items of the batch")
    merged = prod(shape[start - 1 : end])
    return _reshaped(low, call, (*shape[: start - 1], merged, *shape[end:]))


def _symbol(low: _Lowering, call: Call) -> _Value:
    return _Symbol()


def _only_constants(low: _Lowering, call: Call) -> _Value:
    raise _Refused("on a tensor computed from the input")


# Operators on constants alone (weight parametrisations, transposed weights) are computed once.
FOLDABLE = frozenset(
    f"aten.{name}"
    for name in (
        "t.default",
        "permute.default",
        "transpose.int",
        "view.default",
        "reshape.default",
        "clone.default",
        "mul.Tensor",
        "div.Tensor",
        "add.Tensor",
        "linalg_vector_norm.default",
        "_weight_norm.default",
    )
)

BUILDERS: dict[str, Builder] = {
    "aten.linear.default": _linear,
    "aten.addmm.default": _addmm,
    "aten.mm.default": _mm,
    "aten.relu.default": _relu,
    "aten.relu_.default": _relu,
    "aten.leaky_relu.default": _leaky_relu,
    "aten.leaky_relu_.default": _leaky_relu,
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.alpha_dropout.default": _dropout,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm_parts,
    "getitem": _getitem,
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.view.default": _view,
    "aten.reshape.default": _view,
    "aten._unsafe_view.default": _view,
    "aten.flatten.using_ints": _flatten,
    "aten.alias.default": _same,
    "aten.clone.default": _same,
    "aten.contiguous.default": _same,
    "aten.detach.default": _same,
    "aten.sym_size.int": _symbol,
    "aten.t.default": _only_constants,
    "aten.permute.default": _only_constants,
    "aten.transpose.int": _only_constants,
    "aten.mul.Tensor": _only_constants,
    "aten.div.Tensor": _only_constants,
    "aten.linalg_vector_norm.default": _only_constants,
    "aten._weight_norm.default": _only_constants,
}

RUNNABLE = frozenset(BUILDERS)
