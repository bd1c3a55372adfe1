"""Sample against reference: the weights that turn sums over pooled items into E_T − E_S."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.spectral.kernel.operator import KernelOperator


@dataclass(frozen=True)
class Difference:
    """Which pooled items are the sample S and which the reference T, and their targets y.

    Attributes
    ----------
    sample_count
        m: the first m pooled items are the sample.
    targets
        y of all pooled items, shape (N, K), float64: one-hot rows or regression values.
    """

    sample_count: int
    targets: Tensor

    @property
    def reference_count(self) -> int:
        """The number n of reference items."""
        return len(self.targets) - self.sample_count

    def weights(self) -> Tensor:
        """D as a vector: −1/m on the sample, +1/n on the reference. Shape (N,)."""
        weights = torch.full((len(self.targets),), 1 / self.reference_count, dtype=torch.float64)
        weights[: self.sample_count] = -1 / self.sample_count
        return weights

    def target_weights(self) -> Tensor:
        """Column k holds c with v_k = E_S[y_k z] − E_T[y_k z] = Σ_i c_i z_i. Shape (N, K)."""
        return -self.weights()[:, None] * self.targets

    def mean(self, values: Tensor) -> tuple[float, float]:
        """The sample's and the reference's mean of `values`, shape (N,)."""
        split = self.sample_count
        return float(values[:split].mean()), float(values[split:].mean())


@dataclass(frozen=True)
class SquaredLossGap:
    """R_T − R_S = t₁ + t₂ + t₃ in squared loss, exactly, whatever the weights depend on.

    Attributes
    ----------
    terms
        E_T‖h‖² − E_S‖h‖², 2(E_S[y·h] − E_T[y·h]), and β3 = E_T‖y‖² − E_S‖y‖².
    size
        What was subtracted, to which rounding is relative.
    """

    sample_risk: float
    reference_risk: float
    terms: tuple[float, float, float]
    size: float

    @property
    def value(self) -> float:
        """R_T − R_S."""
        return self.reference_risk - self.sample_risk


def squared_loss_gap(difference: Difference, outputs: Tensor) -> SquaredLossGap:
    """The gap of `outputs` h, shape (N, K), and its three terms."""
    targets = difference.targets
    risks = difference.mean((outputs - targets).square().sum(1))
    squares = difference.mean(outputs.square().sum(1))
    products = difference.mean((outputs * targets).sum(1))
    sizes = difference.mean(targets.square().sum(1))
    terms = (squares[1] - squares[0], 2 * (products[0] - products[1]), sizes[1] - sizes[0])
    return SquaredLossGap(*risks, terms, sum(squares) + sum(sizes))


def squared_norms(gram: KernelOperator, coefficients: Tensor) -> Tensor:
    """``2**-exponent`` ‖Σ_i c_i z_i‖² = cᵀKc for each column c of `coefficients`. Shape (K,)."""
    product = gram.matmul(coefficients).cpu()
    # rounding can leave a tiny negative number where the vector is zero
    return (coefficients * product).sum(0).clamp(min=0.0)
