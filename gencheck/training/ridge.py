"""The freeze phase in closed form: ridge regression on path features, through the path kernel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.errors import InputError

# Eigenvalues below this share of the largest are rounding: K is often singular.
_RANK_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}

# Ridges that leave-one-out chooses among, as multiples of the mean of ‖z‖²; four a decade.
LOO_GRID = tuple(10 ** (power / 4) for power in range(-32, 5))

# Items at a time where something is made of each and added up.
_ROWS = 4096


@dataclass(frozen=True)
class Convergence:
    """How a solution was reached that no eigenvectors give.

    Attributes
    ----------
    steps
        Steps of conjugate gradients.
    residual, tolerance
        The largest ‖r_k − (K + nλ) b_k‖₂ / ‖r_k‖₂, and what it had to reach.
    preconditioning
        How many items' span preconditions it.
    storage
        Where the Gram matrix was: ``memory``, or ``recompute``.
    """

    steps: int
    residual: float
    tolerance: float
    preconditioning: int
    storage: str


@dataclass(frozen=True)
class Ridge:
    """The minimiser of (1/n) Σ_i ‖r_i − u(x_i)‖² + λ Σ_k ‖u_k‖₂² over u_k in the landmarks' span.

    u_k = Σ_l b_{lk} z_l over the landmarks l; with every item a landmark it is the minimiser over
    all of path space (representer theorem).

    Attributes
    ----------
    coefficients
        b of shape (L, K), float64, for the kernel in the units that it was given in.
    penalty
        λ in the kernel's units.
    squared_norms
        ‖u_k‖₂² of each output in the kernel's units, shape (K,).
    leave_one_out
        The mean of ‖r_i − u^{(−i)}(x_i)‖², u^{(−i)} fitted without item i; None of an iteration.
    rank
        The dimension of the landmarks' span, up to rounding; None of an iteration.
    convergence
        Of an iteration; None for a solution in closed form.
    """

    coefficients: Tensor
    penalty: float
    squared_norms: Tensor
    leave_one_out: float | None
    rank: int | None
    convergence: Convergence | None = None

    def outputs(self, kernel: Tensor) -> Tensor:
        """u(x) for items with kernel rows k(x, landmarks) of shape (N, L). Shape (N, K), float64."""
        parts = [rows.double() @ self.coefficients for rows in kernel.split(4096)]
        return torch.cat(parts)


def ridge(
    landmarks: Tensor, targets: Tensor, items: Tensor | None = None, penalty: float | None = None
) -> Ridge:
    """Kernel ridge regression, exact or in the span of landmarks: see `RidgeProblem`.

    Parameters
    ----------
    landmarks
        K_LL, shape (L, L).
    targets
        r of shape (n, K), float64.
    items
        K_NL, shape (n, L); None where the landmarks are the items.
    penalty
        λ in the kernel's units; by default leave-one-out's choice.

    Raises
    ------
    InputError
        As `RidgeProblem` raises it.
    """
    return RidgeProblem.of(landmarks, items).solved(targets, penalty)


@dataclass(frozen=True)
class RidgeProblem:
    """The features that ridge regression is on, ready for any targets and any penalty.

    With K_LL = V Λ Vᵀ, the features Φ = K_NL V Λ^{-1/2} have ΦΦᵀ = K where L is every item, and
    ‖u_k‖ = ‖θ_k‖ for the ridge solution θ = (ΦᵀΦ + nλ I)⁻¹ Φᵀ r. Residuals without item i follow in
    closed form: e_i / (1 − H_ii), H = Φ (ΦᵀΦ + nλ I)⁻¹ Φᵀ.

    Attributes
    ----------
    count
        The number n of items.
    mean_square
        The mean of K_ll: what the penalties of `LOO_GRID` are multiples of.
    """

    count: int
    mean_square: float
    values: Tensor
    vectors: Tensor
    spectrum: "_Spectrum"

    @staticmethod
    def of(landmarks: Tensor, items: Tensor | None = None) -> "RidgeProblem":
        """The problem of K_LL, shape (L, L), and K_NL, shape (n, L), or None for all landmarks.

        Raises
        ------
        InputError
            The kernel is not square, or zero.
        """
        if landmarks.shape[0] != landmarks.shape[1]:
            raise InputError(
                where="ridge",
                found=f"a kernel of shape {tuple(landmarks.shape)}",
                required="a square kernel",
            )
        values, vectors = torch.linalg.eigh(landmarks.double())
        kept = values > _RANK_TOLERANCE[landmarks.dtype] * values[-1].clamp(min=0)
        values, vectors = values[kept], vectors[:, kept]
        if not len(values):
            raise InputError(
                where="ridge",
                found="a kernel of zeros",
                required="landmarks with path features",
                remedy="No gate is open on any item: train the standard phase further.",
            )
        spectrum = (
            _Spectrum.of_all(values, vectors)
            if items is None
            else _Spectrum.of_span(values, vectors, items)
        )
        count = len(landmarks if items is None else items)
        mean_square = float(landmarks.diagonal().double().mean())
        return RidgeProblem(count, mean_square, values, vectors, spectrum)

    def solved(self, targets: Tensor, penalty: float | None = None) -> Ridge:
        """The solution for targets r of shape (n, K), float64.

        Parameters
        ----------
        penalty
            λ in the kernel's units; by default the one of `LOO_GRID` with the least leave-one-out
            error.

        Raises
        ------
        InputError
            There is not a target for each item, or `penalty` is not above 0.
        """
        if len(targets) != self.count:
            raise InputError(
                where="ridge",
                found=f"{len(targets)} targets",
                required=f"a target for each of the {self.count} items",
            )
        if penalty is not None and not 0 < penalty < float("inf"):
            raise InputError(
                where="--ridge", found=f"{penalty:g}", required="a finite number above 0"
            )
        grid = [share * self.mean_square for share in LOO_GRID] if penalty is None else [penalty]
        shifts = torch.tensor(grid, dtype=torch.float64, device=targets.device) * self.count
        errors = dict(zip(grid, self.spectrum.leave_one_out(targets, shifts).tolist(), strict=True))
        best = min(errors, key=lambda value: errors[value])
        theta = self.spectrum.solution(targets, self.count * best)
        return Ridge(
            coefficients=self.vectors @ (theta / self.values.sqrt()[:, None]),
            penalty=best,
            squared_norms=theta.square().sum(0),
            leave_one_out=errors[best],
            rank=len(self.values),
        )

    def inverse(self, right: Tensor, shift: float) -> Tensor:
        """(ΦΦᵀ + shift · I)⁻¹ A for A of shape (n, k), float64."""
        within = self.spectrum.left.T @ right
        shrink = self.spectrum.values / (self.spectrum.values + shift)
        return (right - self.spectrum.left @ (shrink[:, None] * within)) / shift


@dataclass(frozen=True)
class _Spectrum:
    """Φ = left · diag(√values) · rightᵀ, left and right with orthonormal columns."""

    left: Tensor
    values: Tensor
    right: Tensor | None

    @staticmethod
    def of_all(values: Tensor, vectors: Tensor) -> "_Spectrum":
        """Φ = V Λ^{1/2}: every item is a landmark."""
        return _Spectrum(vectors, values, None)

    @staticmethod
    def of_span(values: Tensor, vectors: Tensor, items: Tensor) -> "_Spectrum":
        """Φ = K_NL V Λ^{-1/2}, by the eigenvectors of ΦᵀΦ."""
        basis = vectors / values.sqrt()
        features = torch.cat([rows.double() @ basis for rows in items.split(_ROWS)])
        squares, right = torch.linalg.eigh(features.T @ features)
        kept = squares > _RANK_TOLERANCE[torch.float64] * squares[-1]
        squares, right = squares[kept], right[:, kept]
        return _Spectrum(features @ (right / squares.sqrt()), squares, right)

    def solution(self, targets: Tensor, shift: float) -> Tensor:
        """θ = (ΦᵀΦ + shift · I)⁻¹ Φᵀ r."""
        theta = (self.values.sqrt() / (self.values + shift))[:, None] * (self.left.T @ targets)
        return theta if self.right is None else self.right @ theta

    def leave_one_out(self, targets: Tensor, shifts: Tensor) -> Tensor:
        """The mean over items of ‖r_i − u^{(−i)}(x_i)‖², for each shift; shape (len(shifts),).

        All shifts in one pass over the items: a matrix product each for leverages and residuals.
        """
        shrink = self.values[:, None] / (self.values[:, None] + shifts)
        within = self.left.T @ targets
        shrunken = (shrink[:, :, None] * within[:, None, :]).flatten(1)
        total = torch.zeros_like(shifts)
        for rows, own in zip(self.left.split(_ROWS), targets.split(_ROWS), strict=True):
            residual = own[:, None, :] - (rows @ shrunken).unflatten(1, (len(shifts), -1))
            leverage = rows.square() @ shrink
            # an item that is fitted whatever its target is has no say
            room = (1 - leverage).clamp(min=1e-12)
            total += (residual / room[:, :, None]).square().sum((0, 2))
        return total / len(targets)
