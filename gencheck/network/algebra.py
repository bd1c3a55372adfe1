"""The algebras that carry numbers: logits, path norms and path counts, each a few functions.

An algebra says what an input coordinate, a weight, a bias and a gate contribute to a path; sums over
paths follow. Values carry a power of two, so that a hundred wide layers neither overflow nor
underflow; powers of two keep every scaling exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from gencheck.network.interpret import interpret
from gencheck.network.ir import Affine, Dense, Gate, Input, Network, Reshape

# Values are brought back to around 1 once they leave this range of powers of two.
_EXPONENT_RANGE = 32


@dataclass(frozen=True)
class Scaled:
    """The tensor ``mantissa · 2**exponent`` of shape (N, C), C coordinates for each of N items."""

    mantissa: Tensor
    exponent: int

    def log2(self) -> Tensor:
        """Elementwise base-2 logarithm of the magnitude; −inf where zero."""
        return self.mantissa.abs().log2() + self.exponent


def _rescaled(mantissa: Tensor, exponent: int) -> Scaled:
    peak = float(mantissa.abs().max()) if mantissa.numel() else 0.0
    if peak == 0 or not torch.isfinite(torch.tensor(peak)):
        return Scaled(mantissa, exponent)
    shift = int(torch.frexp(torch.tensor(peak, dtype=torch.float64)).exponent)
    if abs(shift) <= _EXPONENT_RANGE:
        return Scaled(mantissa, exponent)
    return Scaled(torch.ldexp(mantissa, torch.tensor(-shift)), exponent + shift)


def _at_exponent(value: Scaled, exponent: int) -> Tensor:
    if value.exponent == exponent:
        return value.mantissa
    return torch.ldexp(value.mantissa, torch.tensor(value.exponent - exponent))


@dataclass(frozen=True)
class NumericAlgebra:
    """Sums over paths of products of contributions.

    Attributes
    ----------
    start
        Shape (N, d): what each input coordinate contributes.
    weight
        What a trainable weight or a bias contributes, elementwise: w, w², |w| or 1.
    gates
        What the gates of a node contribute: from its position, the node and the values that enter
        it, a tensor of their shape, or None for 1.
    """

    start: Tensor
    weight: Callable[[Tensor], Tensor]
    gates: Callable[[int, Gate, Scaled], Tensor | None]

    def _of(self, parameter: Tensor) -> Tensor:
        return self.weight(parameter.to(self.start))

    def input(self, node: Input) -> Scaled:
        """Every path starts here or at a bias."""
        return _rescaled(self.start.reshape(len(self.start), prod(node.shape)), 0)

    def dense(self, node: Dense, value: Scaled) -> Scaled:
        """f(W) x + f(b)."""
        product = value.mantissa @ self._of(node.weight).T
        return self._plus_bias(product, value.exponent, node.bias)

    def affine(self, node: Affine, value: Scaled) -> Scaled:
        """f(s) x + f(t), channel by channel."""
        return self._plus_bias(value.mantissa * self._of(node.scale), value.exponent, node.shift)

    def _plus_bias(self, paths: Tensor, exponent: int, bias: Tensor | None) -> Scaled:
        value = _rescaled(paths, exponent)
        if bias is None:
            return value
        return self.add(value, _rescaled(self._of(bias).expand_as(paths), 0))

    def gate(self, position: int, node: Gate, value: Scaled) -> Scaled:
        """Values times gates."""
        gates = self.gates(position, node, value)
        return value if gates is None else Scaled(value.mantissa * gates, value.exponent)

    def add(self, left: Scaled, right: Scaled) -> Scaled:
        """The sum, at the larger exponent."""
        exponent = max(left.exponent, right.exponent)
        return _rescaled(_at_exponent(left, exponent) + _at_exponent(right, exponent), exponent)

    def reshape(self, node: Reshape, value: Scaled) -> Scaled:
        """Nothing to do: coordinates are kept flat, in row-major order."""
        return value


def _identity(parameter: Tensor) -> Tensor:
    return parameter


def gate_values(node: Gate, active: Tensor, like: Tensor) -> Tensor:
    """σ as numbers from the booleans `active`: 1 where active, the node's slope elsewhere."""
    if node.slope == 0:
        return active.to(like)
    # from numbers of the run's own dtype: a slope rounded to float32 would cost float64 runs digits
    return torch.where(active, like.new_ones(()), like.new_full((), node.slope))


def logits(network: Network, items: Tensor) -> tuple[Scaled, dict[int, Tensor]]:
    """The outputs h(x) and the gates that the items set.

    Parameters
    ----------
    items
        Shape (N, *input_shape), floating point; weights are taken in its dtype and device.

    Returns
    -------
    outputs, active
        Outputs of shape (N, K), and for the position of each gate node a boolean tensor (N, C)
        that is true where the unit is on its unit-slope side (x > 0).
    """
    active: dict[int, Tensor] = {}

    def record(position: int, node: Gate, value: Scaled) -> Tensor:
        active[position] = value.mantissa > 0
        return gate_values(node, active[position], value.mantissa)

    return interpret(network, NumericAlgebra(items, _identity, record)), active


def gated_logits(network: Network, items: Tensor, active: dict[int, Tensor]) -> Scaled:
    """z·w: the outputs with the gates held at `active`, linear in the items' path features."""

    def fixed(position: int, node: Gate, value: Scaled) -> Tensor:
        return gate_values(node, active[position], value.mantissa)

    return interpret(network, NumericAlgebra(items, _identity, fixed))


def _open(position: int, node: Gate, value: Scaled) -> None:
    return None


def _sum_over_paths(network: Network, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """log2 Σ_p Π weight(edge of p), for each output, with all gates open. Shape (K,)."""
    start = torch.ones((1, *network.input_shape), dtype=torch.float64)
    return interpret(network, NumericAlgebra(start, weight, _open)).log2()[0]


def log2_l2_squared(network: Network) -> Tensor:
    """log2 of the squared ℓ2 path norm Σ_p w²_{p,k} of each output. Shape (K,)."""
    return _sum_over_paths(network, torch.square)


def log2_l1(network: Network) -> Tensor:
    """log2 of the ℓ1 path norm Σ_p |w_{p,k}| of each output. Shape (K,)."""
    return _sum_over_paths(network, torch.abs)


def log2_path_count(network: Network) -> float:
    """log2 d_z, the logarithm of the number of paths to one output."""
    return float(_sum_over_paths(network, torch.ones_like)[0])
