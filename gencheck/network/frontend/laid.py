"""Builders for tensors whose first axis is not the batch: each works on rows of an item instead."""

from dataclasses import replace

import torch
from torch import Tensor

from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Laid,
    Refused,
    Value,
    argument,
)
from gencheck.network.frontend.gating import GATING
from gencheck.network.frontend.layout import Rows, codes_of, node_of, rows_of, value_of
from gencheck.network.ir import Concat

_POINTWISE = frozenset(
    target for target in GATING if "pool" not in target and "prelu" not in target
) | {
    "aten.neg.default",
    "aten.dropout.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
}
_DENSE = {"aten.linear.default": 0, "aten.mm.default": 0, "aten.matmul.default": 0}
_DENSE |= {"aten.addmm.default": 1}
_BINARY = frozenset(
    f"aten.{name}"
    for name in (
        *("add.Tensor", "add_.Tensor", "sub.Tensor", "sub_.Tensor", "mul.Tensor", "mul_.Tensor"),
        *("div.Tensor", "div_.Tensor", "add.Scalar", "mul.Scalar", "div.Scalar", "rsub.Scalar"),
    )
)
_JOINED = frozenset({"aten.cat.default", "aten.stack.default"})
_REDUCED = frozenset({"aten.mean.dim", "aten.sum.dim_IntList"})


def suits_rows(target: str) -> bool:
    """True for operators that can be carried out on rows where the builder refused the shapes."""
    return target in _BINARY or target in _DENSE or target in _JOINED


def on_laid(made: Construction, call: Call, build: Builder | None) -> Value:
    """The value of a call that reads tensors whose first axis is not the batch.

    Raises
    ------
    Refused
        The operator is not among those that work on rows.
    """
    if call.target in _JOINED:
        return _joined(made, call)
    if build is None:
        raise Refused("on a tensor that merges the batch with another axis")
    if call.target in _POINTWISE:
        return _by_rows(made, call, build, 0, 0)
    if call.target in _DENSE:
        return _by_rows(made, call, build, _DENSE[call.target], 1)
    if call.target in _BINARY:
        return _binary(made, call, build)
    if call.target in _REDUCED:
        return _reduced(made, call, build)
    raise Refused("on a tensor that merges the batch with another axis")


def _built_on(made: Construction, call: Call, build: Builder, arguments: dict[int, Value]) -> int:
    """The position of what the builder makes with some arguments replaced."""
    args = list(call.args)
    for at, value in arguments.items():
        name = f"{call.name}+{at}"
        made.values[name] = value
        args[at] = Ref(name)
    target = call.target.replace("_.", ".") if call.target in _BINARY else call.target
    return node_of(build(made, replace(call, target=target, args=tuple(args))))


def _by_rows(made: Construction, call: Call, build: Builder, at: int, keep: int) -> Value:
    value = made.values[call.args[at].name]
    rows = rows_of(made, call, node_of(value), codes_of(made, value), keep)
    position = _built_on(made, call, build, {at: At(rows.position)})
    return rows.back(made, call, position, made.shape(position)[1:])


def _binary(made: Construction, call: Call, build: Builder) -> Value:
    values = [made.values[a.name] if isinstance(a, Ref) else a for a in call.args[:2]]
    laid = [at for at, value in enumerate(values) if isinstance(value, At | Laid)]
    tensors = {at: codes_of(made, values[at]) for at in laid}
    tensors |= {at: v for at, v in enumerate(values) if isinstance(v, Tensor)}
    shape = torch.broadcast_shapes(*(t.shape for t in tensors.values()))
    rows = [rows_of(made, call, node_of(values[at]), tensors[at].expand(shape), 0) for at in laid]
    if len(rows) == 2 and not torch.equal(rows[0].codes, rows[1].codes):
        raise Refused("of tensors whose items are laid out differently")
    arguments: dict[int, Value] = {at: At(row.position) for at, row in zip(laid, rows, strict=True)}
    for at, tensor in tensors.items():
        if at not in laid:
            arguments[at] = _of_an_item(made, tensor.expand(shape), rows[0])
    position = _built_on(made, call, build, arguments)
    return rows[0].back(made, call, position, ())


def _of_an_item(made: Construction, tensor: Tensor, rows: Rows) -> Tensor:
    """A constant of the traced shape as one of each item's rows."""
    own = tensor.reshape(-1)[rows.by_item(made.batch)]
    if bool((own != own[:1]).any()):
        raise Refused("with a constant that differs between items")
    return own[0]


def _reduced(made: Construction, call: Call, build: Builder) -> Value:
    value = made.values[call.args[0].name]
    codes = codes_of(made, value)
    asked = argument(call, 1, "dim")
    axes = sorted({a % codes.dim() for a in ([asked] if isinstance(asked, int) else asked)})
    kept = [axis for axis in range(codes.dim()) if axis not in axes]
    turned = codes.permute(*kept, *axes).reshape(*(codes.shape[a] for a in kept), -1)
    rows = rows_of(made, call, node_of(value), turned, 1)
    plain = replace(call, args=(call.args[0], [-1]), kwargs={})
    position = _built_on(made, plain, build, {0: At(rows.position)})
    back = rows.back(made, call, position, ())
    if not argument(call, 2, "keepdim", False):
        return back
    shape = [1 if axis in axes else n for axis, n in enumerate(codes.shape)]
    return value_of(made, call, node_of(back), codes_of(made, back).reshape(shape))


def _joined(made: Construction, call: Call) -> Value:
    values = [made.values.get(ref.name) for ref in call.args[0]]
    positions = [node_of(value) for value in values]
    widths = [made.nodes[p].shape for p in positions]
    sizes = [int(torch.tensor(shape).prod()) for shape in widths]
    flat = tuple(
        made.reshaped(call, p, (n,)).position for p, n in zip(positions, sizes, strict=True)
    )
    total, first, parts = sum(sizes), 0, []
    node = made.append(Concat((total,), made.label(call), flat, 0, tuple(sizes)))
    for value, size in zip(values, sizes, strict=True):
        codes = codes_of(made, value) - 1
        moved = codes // size * total + first + codes % size + 1
        parts.append(torch.where(codes < 0, torch.zeros_like(codes), moved))
        first += size
    join = torch.stack if call.target == "aten.stack.default" else torch.cat
    joined = join(parts, int(argument(call, 1, "dim", 0)))
    return value_of(made, call, node.position, joined)
