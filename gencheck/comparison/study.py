"""One model on one sample and reference, as every theory needs it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

from torch import Tensor

from gencheck.bounds.bound import Bound
from gencheck.bounds.classical import rademacher_bound
from gencheck.bounds.grid import log_grid_price
from gencheck.bounds.magnitude import Magnitude
from gencheck.comparison.measures.capacity import named
from gencheck.comparison.measures.margins import margins_of, ramp_losses
from gencheck.network.computed import Centre, Computed, Constant, Embed
from gencheck.network.ir import Network

# Margins are taken on a grid of half octaves, this far down from the largest one seen.
PER_OCTAVE, _MARGIN_STEPS = 2, 32


@dataclass(frozen=True)
class Study:
    """The network, its items and outputs.

    Attributes
    ----------
    sample, reference
        Items of shape (N, *input_shape) on the run's device.
    sample_labels, reference_labels
        Shape (N,).
    sample_outputs, reference_outputs
        Shape (N, K) in float64 on the CPU.
    delta
        Each row holds with probability 1 − δ on its own.
    input_range
        The interval that every coordinate of every input lies in, where one was declared.
    """

    network: Network
    sample: Tensor
    sample_labels: Tensor
    sample_outputs: Tensor
    reference: Tensor
    reference_labels: Tensor
    reference_outputs: Tensor
    delta: float
    seed: int
    batch_size: int
    input_range: tuple[float, float] | None = None

    @property
    def m(self) -> int:
        """The number of items of the sample."""
        return len(self.sample)

    @property
    def classes(self) -> int:
        """K."""
        return self.network.output_count

    @property
    def input_count(self) -> int:
        """The number of input coordinates."""
        return prod(self.network.input_shape)

    @cached_property
    def margins(self) -> Tensor:
        """The sample's margins, shape (m,), in float64 on the CPU."""
        return margins_of(self.sample_outputs, self.sample_labels.cpu())

    @cached_property
    def sample_error(self) -> float:
        """The 0-1 error on the sample."""
        return self._error(self.sample_outputs, self.sample_labels)

    @cached_property
    def reference_error(self) -> float:
        """The 0-1 error on the reference."""
        return self._error(self.reference_outputs, self.reference_labels)

    @cached_property
    def largest_input(self) -> float:
        """max(1, ‖x‖_∞): over the range declared, else over the items of both sets."""
        if self.input_range is not None:
            return max(1.0, *map(abs, self.input_range))
        return max(1.0, *(float(items.abs().max()) for items in (self.sample, self.reference)))

    @cached_property
    def other_gates(self) -> str | None:
        """Why no theory of layers covers the network; None where each gate is decided by its own sum.

        Those theories count layers and bound what goes through them: none of them knows computed gates,
        centring or tokens.
        """
        nodes = self.network.nodes
        others = [n for n in nodes if isinstance(n, Computed | Centre | Constant | Embed)]
        if not others:
            return None
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"outside this theory: {named(others[0])}{more}"

    def margin_loss(self, gamma: float) -> float:
        """The mean ramp loss at margin γ on the sample."""
        return float(ramp_losses(self.margins, gamma).mean())

    def margin_indices(self) -> list[int]:
        """K of the grid margins 2^(k/2) that are tried: none beyond the largest margin seen."""
        largest = float(self.margins.max())
        top = math.floor(PER_OCTAVE * math.log2(largest)) if largest > 0 else 0
        return list(range(top - _MARGIN_STEPS, top + 1))

    @staticmethod
    def _error(outputs: Tensor, labels: Tensor) -> float:
        return float((outputs.argmax(1) != labels.cpu()).double().mean())


@dataclass(frozen=True)
class MarginChoice:
    """The margin at which a bound is least, and the bound there."""

    gamma: float
    margin_loss: float
    complexity: Magnitude
    risk: Magnitude


def least_over_margins(
    study: Study,
    complexity_at: Callable[[float], Magnitude],
    log_price: float,
    empirical: bool = True,
) -> MarginChoice:
    """The least of R̂_γ + 2 ℜ_γ + confidence over the grid of margins, their union paid for.

    Parameters
    ----------
    complexity_at
        ℜ of the ramp loss at margin γ, or half the expected gap where not `empirical`.
    log_price
        What the choice of norms on grids costs, in nats.
    """
    level = -math.log(study.delta) + log_price
    best: MarginChoice | None = None
    for index in study.margin_indices():
        gamma = 2.0 ** (index / PER_OCTAVE)
        complexity, loss = complexity_at(gamma), study.margin_loss(gamma)
        bound = rademacher_bound(
            loss, float(complexity), study.m, level + log_grid_price(index), empirical=empirical
        )
        risk = risk_of(bound, complexity)
        if best is None or not best.risk <= risk:
            best = MarginChoice(gamma, loss, complexity, risk)
    assert best is not None
    return best


def risk_of(bound: Bound, complexity: Magnitude) -> Magnitude:
    """The bound's risk; past a float's range, where nothing else matters, twice the complexity."""
    if bound.risk == float("inf"):
        return Magnitude.of(2.0) * complexity
    return Magnitude.of(bound.risk)
