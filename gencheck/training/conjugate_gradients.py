"""Conjugate gradients for (K + shift · I) B = R, several right-hand sides at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gencheck.errors import SolverError
from gencheck.progress import SILENT, Progress

# A linear map of columns: shape (n, k) to (n, k), float64.
Map: TypeAlias = Callable[[Tensor], Tensor]

# Stop where ‖r_k − (K + shift) b_k‖₂ ≤ this times ‖r_k‖₂ for every right-hand side.
TOLERANCE = 1e-9

MOST_STEPS = 1000


@dataclass(frozen=True)
class Solution:
    """B with (K + shift · I) B ≈ R.

    Since ‖K (K + shift)⁻¹‖ ≤ 1, the fitted values K B are within `residual` times ‖r_k‖₂ of the
    exact ones.

    Attributes
    ----------
    values, products
        B and K B, shape (n, k), float64.
    residual
        The largest ‖r_k − (K + shift) b_k‖₂ / ‖r_k‖₂, formed from B itself, not by recursion.
    tolerance
        What `residual` had to reach.
    steps
        Products with K but for the last, which `residual` is formed from.
    """

    values: Tensor
    products: Tensor
    residual: float
    tolerance: float
    steps: int


def solve(
    multiply: Map,
    right: Tensor,
    shift: float,
    precondition: Map,
    progress: Progress = SILENT,
    tolerance: float = TOLERANCE,
) -> Solution:
    """B for a positive semidefinite K, given by its products; all columns advance together.

    Parameters
    ----------
    multiply
        K A for A of shape (n, k).
    right
        R, shape (n, k), float64.
    shift
        Above 0.
    precondition
        A positive definite map near (K + shift)⁻¹.

    Raises
    ------
    SolverError
        The tolerance was not reached in `MOST_STEPS` steps, or K is not positive semidefinite at
        this shift: its rounding is larger.
    """
    sizes = right.norm(dim=0)
    goal = tolerance * sizes
    values, products = torch.zeros_like(right), torch.zeros_like(right)
    left, steps, reached = right, 0, 0.0
    digits = -math.log10(tolerance)
    progress.start("ridge", digits, "digits")
    while bool((left.norm(dim=0) > goal).any()):
        # from the residual itself, which the recursion drifts away from in the last digits
        run = _Recursion(left, precondition)
        while bool((run.residual.norm(dim=0) > goal).any()):
            if steps == MOST_STEPS:
                raise SolverError(_not_converged(float(_worst(run.residual, sizes)), tolerance))
            run.advance(multiply, shift, goal)
            steps += 1
            now = min(digits, max(reached, -math.log10(_worst(run.residual, sizes) + 1e-300)))
            progress.advance(now - reached)
            reached = now
        values = values + run.moved
        products = multiply(values)
        left = right - products - shift * values
    progress.finish()
    return Solution(values, products, _worst(left, sizes), tolerance, steps)


class _Recursion:
    """Preconditioned conjugate gradients from 0, one recurrence a column; those at the goal rest."""

    def __init__(self, right: Tensor, precondition: Map) -> None:
        self.residual, self.moved = right, torch.zeros_like(right)
        self.precondition = precondition
        self.direction = precondition(self.residual)
        self.energy = (self.residual * self.direction).sum(0)

    def advance(self, multiply: Map, shift: float, goal: Tensor) -> None:
        open_ones = self.residual.norm(dim=0) > goal
        direction = self.direction * open_ones
        image = multiply(direction) + shift * direction
        curvature = (direction * image).sum(0)
        if bool((curvature[open_ones] <= 0).any()):
            raise SolverError(
                "ridge: the kernel's rounding exceeds the penalty, so that K + nλ is not positive "
                "definite. Raise --ridge."
            )
        step = torch.where(open_ones, self.energy / curvature, 0.0)
        self.moved += step * direction
        # anew, not in place: a preconditioner may hand back what it was given
        self.residual = self.residual - step * image
        turned = self.precondition(self.residual)
        energy = (self.residual * turned).sum(0)
        ratio = torch.where(open_ones, energy / self.energy, 0.0)
        self.direction = turned + ratio * self.direction
        self.energy = energy


def _worst(residual: Tensor, sizes: Tensor) -> float:
    """The largest ‖residual_k‖ / ‖r_k‖; a right-hand side of zeros is solved by zeros."""
    return float((residual.norm(dim=0) / sizes.clamp(min=1e-300)).max())


def _not_converged(residual: float, tolerance: float) -> str:
    return (
        f"ridge: conjugate gradients reached a residual of {residual:.3g} of the targets' norm in "
        f"{MOST_STEPS} steps, not {tolerance:g}. Raise --ridge."
    )
