"""What holds for the path features of every input in a range: their norm, and where they start."""

import torch
from torch import Tensor

from gencheck.errors import InputError
from gencheck.network.algebra import NumericAlgebra
from gencheck.network.interpret import interpret
from gencheck.network.ir import Clamp, Gate, MaxPool, Network
from gencheck.network.planes import GatedNode, Planes, decided, gate_values
from gencheck.network.scaled import Scaled


def require_unit_gates(network: Network) -> None:
    """Do nothing where every gate lies in [0, 1].

    Raises
    ------
    InputError
        Names the layers whose gates do not, or may not.
    """
    outside = [
        f"{gate['kind']} {gate['layer']} with computed gates" for gate in network.gate_places()
    ]
    if network.takes_tokens:
        outside.append("items of whole numbers, which have no range")
    outside += [
        f"{node.kind} {node.label} with a slope of {_farthest(node.slope):g}"
        for node in network.nodes
        if isinstance(node, Gate)
        and node.slope is not None
        and bool(((node.slope < 0) | (node.slope > 1)).any())
    ]
    if outside:
        raise InputError(
            where="--certify",
            found=", ".join(outside),
            required="gates in [0, 1], since the bounds rest on gates only shrinking features",
        )


def _farthest(slope: Tensor) -> float:
    """The slope farthest from [0, 1]."""
    flat = slope.reshape(-1)
    return float(flat[(flat - 0.5).abs().argmax()])


def _worst(position: int, node: GatedNode, value: Scaled) -> Planes | None:
    """The gates under which the sum of squared features of each unit is largest.

    All gates open, but one tap of each max-pool's window only, and of a clamp either its inside or
    one of its ends: an input opens no more than that.
    """
    if isinstance(node, MaxPool):
        return [gate_values(node, plane, value.mantissa) for plane in decided(node, value)]
    if isinstance(node, Clamp):
        inside = (value.plain() >= 1).to(value.mantissa)
        return [inside, 1 - inside, torch.zeros_like(inside)][: node.planes]
    return None


def squared_feature_norm(network: Network, largest: float) -> tuple[float, int]:
    """B ≥ ‖z(x)‖² for every input with |x_i| ≤ `largest` and all gates in [0, 1].

    The walk of the path kernel on the diagonal, ‖z‖² = Σ_p z_p², under the worst gates. Attained
    where one input has |x_i| = `largest` everywhere and opens the gates that are taken here.

    Parameters
    ----------
    largest
        Not negative.

    Returns
    -------
    value, exponent
        B = value · 2**exponent.
    """
    start = torch.full((1, *network.input_shape), largest**2, dtype=torch.float64)
    reached = interpret(network, NumericAlgebra(start, torch.ones_like, _worst))
    return float(reached.mantissa[0, 0]), reached.exponent


def starts_at_constants(network: Network) -> bool:
    """True where some path starts at a bias or where a clamp saturates, rather than at the input."""
    start = torch.zeros((1, *network.input_shape), dtype=torch.float64)
    reached = interpret(network, NumericAlgebra(start, torch.ones_like, _all_open))
    return bool(reached.mantissa[0, 0] > 0)


def _all_open(position: int, node: GatedNode, value: Scaled) -> None:
    return None
