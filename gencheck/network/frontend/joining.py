"""Builders of what brings tensors together: sums, differences, concatenation, parameters added."""

import torch

from gencheck.network.computed import Constant
from gencheck.network.frontend.aten import Call, Ref
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Refused,
    Value,
    argument,
    axis_of,
    per_item,
)
from gencheck.network.ir import Add, Affine, Concat


def _add(made: Construction, call: Call) -> Value:
    if call.kwargs.get("alpha", 1) != 1:
        raise Refused("with a factor alpha")
    constants = [made.is_constant(operand) for operand in call.args[:2]]
    if any(constants):
        return _plus_constant(made, call, constants.index(True))
    left, right = (made.position(operand) for operand in call.args[:2])
    if made.shape(left) != made.shape(right):
        raise Refused(f"adds shapes {made.shape(left)} and {made.shape(right)}")
    value = made.append(Add(made.shape(left), made.label(call), (left, right)))
    return made.overwrite(call, left, value)


def _plus_constant(made: Construction, call: Call, which: int) -> Value:
    """A parameter or a number: a path that starts here at each unit, like a bias."""
    source = made.position(call.args[1 - which])
    number = call.args[which]
    # Python's sum of a list of layers starts at the number 0
    if not isinstance(number, Ref) and number == 0:
        return At(source)
    shape = made.shape(source)
    shift = per_item(made.constant(number).double(), shape)
    node = Affine(shape, made.label(call), (source,), None, shift)
    return made.overwrite(call, source, made.append(node))


def _subtract(made: Construction, call: Call) -> Value:
    if argument(call, 2, "alpha", 1) != 1:
        raise Refused("with a factor alpha")
    left, right = call.args[:2]
    if call.target.startswith("aten.rsub"):
        left, right = right, left
    if made.is_constant(right):
        source = made.position(left)
        shift = -per_item(made.constant(right).double(), made.shape(source))
        node = Affine(made.shape(source), made.label(call), (source,), None, shift)
        return made.overwrite(call, source, made.append(node))
    minus = torch.tensor(-1.0, dtype=torch.float64)
    position = made.position(right)
    shape = made.shape(position)
    turned = made.append(Affine(shape, made.label(call), (position,), minus, None)).position
    if made.is_constant(left):
        shift = per_item(made.constant(left).double(), shape)
        return made.append(Affine(shape, made.label(call), (turned,), None, shift))
    first = made.position(left)
    if made.shape(first) != shape:
        raise Refused(f"subtracts shapes {made.shape(first)} and {shape}")
    return made.append(Add(shape, made.label(call), (first, turned)))


def _addcmul(made: Construction, call: Call) -> Value:
    """A + v · b ⊙ c, where b or c is a constant."""
    start, left, right = call.args[:3]
    if not made.is_constant(left):
        left, right = right, left
    source = made.position(right)
    shape = made.shape(source)
    gain = made.constant(left).double() * float(argument(call, 3, "value", 1))
    shift = made.constant(start).double() if made.is_constant(start) else None
    scale, moved = (None if t is None else per_item(t, shape) for t in (gain, shift))
    value = made.append(Affine(shape, made.label(call), (source,), scale, moved))
    if shift is not None:
        return value
    first = made.position(start)
    if made.shape(first) != shape:
        raise Refused(f"adds shapes {made.shape(first)} and {shape}")
    return made.append(Add(shape, made.label(call), (first, value.position)))


def _cat(made: Construction, call: Call) -> Value:
    # torch takes an empty tensor of one axis beside any other: a cache that holds nothing yet
    operands = [o for o in call.args[0] if not made.is_constant(o) or made.constant(o).numel()]
    sources = tuple(_as_node(made, call, operand) for operand in operands)
    if len(sources) == 1:
        return At(sources[0])
    shapes = [made.shape(source) for source in sources]
    axis = axis_of(argument(call, 1, "dim", 0), shapes[0])
    sizes = tuple(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], sum(sizes), *shapes[0][axis + 1 :])
    return made.append(Concat(shape, made.label(call), sources, axis, sizes))


def _as_node(made: Construction, call: Call, operand: Ref) -> int:
    """The position of a tensor; of a parameter as paths that start there."""
    if not made.is_constant(operand):
        return made.position(operand)
    value = made.constant(operand)
    if value.dim() == 0 or value.shape[0] != made.batch or bool((value != value[:1]).any()):
        raise Refused("with a constant that differs between items")
    shape = tuple(value.shape[1:])
    return made.append(Constant(shape, made.label(call), (), value[0].double())).position


def _stack(made: Construction, call: Call) -> Value:
    sources = [_as_node(made, call, operand) for operand in call.args[0]]
    shape = made.shape(sources[0])
    axis = axis_of(argument(call, 1, "dim", 0), (*shape, 1))
    wide = (*shape[:axis], 1, *shape[axis:])
    parts = tuple(made.reshaped(call, source, wide).position for source in sources)
    out = (*shape[:axis], len(parts), *shape[axis:])
    return made.append(Concat(out, made.label(call), parts, axis, (1,) * len(parts)))


JOINING: dict[str, Builder] = {
    "aten.addcmul.default": _addcmul,
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.add.Scalar": _add,
    "aten.sub.Tensor": _subtract,
    "aten.sub_.Tensor": _subtract,
    "aten.sub.Scalar": _subtract,
    "aten.rsub.Scalar": _subtract,
    "aten.rsub.Tensor": _subtract,
    "aten.stack.default": _stack,
    "aten.cat.default": _cat,
}
