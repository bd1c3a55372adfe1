"""ATen calls lowered to the nodes of a `Network`, or one error that names every offender."""

from torch import Tensor

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph, Call
from gencheck.network.frontend.construction import (
    At,
    Builder,
    Construction,
    Refused,
    Unknown,
    Value,
)
from gencheck.network.frontend.fold import fold
from gencheck.network.frontend.gating import GATING
from gencheck.network.frontend.layers import LAYERS
from gencheck.network.frontend.shaping import SHAPING
from gencheck.network.ir import Dense, Network


def _constants_alone(made: Construction, call: Call) -> Value:
    raise Refused("on a tensor computed from the input")


# Operators on constants alone (weight parametrisations, transposed weights) are computed once.
_ON_CONSTANTS = (
    "aten.t.default",
    "aten.linalg_vector_norm.default",
    "aten._weight_norm.default",
)

BUILDERS: dict[str, Builder] = {
    **LAYERS,
    **GATING,
    **SHAPING,
    **dict.fromkeys(_ON_CONSTANTS, _constants_alone),
}

FOLDABLE = frozenset(
    {
        *_ON_CONSTANTS,
        "aten.permute.default",
        "aten.transpose.int",
        "aten.view.default",
        "aten.reshape.default",
        "aten.unsqueeze.default",
        "aten.squeeze.dims",
        "aten.clone.default",
        "aten.mul.Tensor",
        "aten.div.Tensor",
        "aten.add.Tensor",
        "aten.neg.default",
    }
)

RUNNABLE = frozenset(BUILDERS)


def lower(graph: AtenGraph) -> Network:
    """The network of a traced model: normalisation folded, what does nothing left out.

    Raises
    ------
    UnsupportedModel
        Names every operation outside the path view with the module that it came from.
    """
    made = Construction(graph)
    for call in graph.calls:
        _lower(made, call)
    output = made.values.get(graph.output)
    if not made.offenders and not isinstance(output, At):
        made.offenders.append("an output that does not depend on the input")
    if made.offenders or not isinstance(output, At):
        raise UnsupportedModel(made.offenders)
    network = fold(made.nodes, output.position)
    last = network.nodes[-1]
    if not isinstance(last, Dense):
        raise UnsupportedModel(
            [
                f"{last.operation} at {last.label} as the last layer "
                "(the last layer must be a dense Linear, so that all outputs share one z)"
            ]
        )
    return network


def _lower(made: Construction, call: Call) -> None:
    build = BUILDERS.get(call.target)
    read = made.read(call)
    try:
        if build is None:
            raise Refused("")
        if any(isinstance(value, Unknown) for value in read):
            made.values[call.name] = Unknown()
            _refuse_regardless(call, read)
            return
        made.refuse_overwritten(read)
        if call.target in FOLDABLE and read and all(isinstance(v, Tensor) for v in read):
            made.values[call.name] = made.folded_constant(call)
            return
        made.values[call.name] = build(made, call)
    except (Refused, ValueError, MemoryError, OverflowError) as refusal:
        made.refuse(call, str(refusal))


def _refuse_regardless(call: Call, read: list[Value]) -> None:
    """Refuse what is not covered whatever it reads: it is to be named beside what stands before it."""
    operator = call.target.removeprefix("aten.").split(".")[0].removesuffix("_")
    constants = sum(isinstance(value, Tensor) for value in read)
    if operator in {"mul", "div"} and len(read) - constants > 1:
        raise Refused("of two tensors computed from the input; covered: by a constant")
    if operator == "add" and constants:
        raise Refused("adds a bare parameter or number; covered: the sum of two layers")
