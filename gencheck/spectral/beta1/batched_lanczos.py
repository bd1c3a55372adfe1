"""Many difference operators on one Gram matrix: their largest eigenvalues, found side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.errors import SolverError
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.operator import KernelOperator

# A value is reported once its residual is below this share of the spectrum's magnitude.
_REPORTED = 1e-3

# Whether it reaches the threshold is decided up to this share of Σ_i |d_i| K(i, i), which no rounding
# of the sums comes near; closer ones are called ties.
_TIE = 1e-10

# So many steps are taken at least: a starting vector with little of the top eigenvector in it looks
# converged to the next one at first.
_LEAST_STEPS = 8

# Below this share of Σ_i |d_i| K(i, i) the K-norm of an image is rounding, as for one operator.
_ROUNDING = 1e-8

# Bytes of the vectors that are carried along at one time, and how many of them a column has.
VECTOR_BYTES = 2**29
_VECTORS = 8

# Tridiagonal matrices are small at first; later they are looked at only every so many steps.
_EVERY_STEP_UNTIL = 24
_STRIDE = 4


@dataclass(frozen=True)
class TopEigenvalues:
    """λ_max of B operators, ``2**exponent`` of the Gram matrix times these figures.

    Attributes
    ----------
    values, residuals
        Ritz values, lower ends of the eigenvalues up to rounding, and their residuals. Shape (B,).
    reached
        True where the eigenvalue is at least the threshold, or equal to it up to rounding. Shape (B,).
    products
        Steps that were taken, each one product of K with the columns that were not finished.
    """

    values: Tensor
    residuals: Tensor
    reached: Tensor
    products: int


def columns_at_once(count: int) -> int:
    """How many operators on `count` items are advanced together."""
    return max(1, VECTOR_BYTES // (_VECTORS * 8 * count))


def top_eigenvalues(
    gram: KernelOperator,
    weights: Tensor,
    threshold: float,
    seed: int = 0,
    max_iterations: int = 1000,
    progress: Progress = SILENT,
) -> TopEigenvalues:
    """λ_max of Uᵀ D_b U for every column b of `weights`, to three digits, and whether it ≥ threshold.

    Lanczos in the K-inner product as `gencheck.spectral.beta1.lanczos.top_eigenvalue` has it, for all
    columns at once: one product of K with a block a step. Only the last two vectors of each recurrence
    are kept, so memory does not grow with the steps; what is lost is orthogonality among converged
    directions, which repeats eigenvalues of the tridiagonal matrix and moves none beyond rounding
    (Paige 1976). A
    column goes on until its residual is below a thousandth of its spectrum's magnitude *and* its
    comparison with `threshold` is decided: the Ritz value is above, or the Ritz value with its residual
    is below. What is closer than 10⁻¹⁰ of E_S‖z‖² + E_T‖z‖² is a tie and counts as reached.

    Parameters
    ----------
    weights
        The diagonals of D_b, shape (N, B), float64.
    threshold
        In units of the scaled kernel.
    seed
        Seeds the starting vectors.

    Raises
    ------
    SolverError
        Some column is undecided after `max_iterations`.
    """
    device = gram.device
    generator = torch.Generator().manual_seed(seed)
    total = weights.shape[1]
    values, residuals = torch.zeros(total, dtype=torch.float64), torch.zeros(total).double()
    reached = torch.zeros(total, dtype=torch.bool)
    progress.start("permutation", total, "relabellings")
    products = 0
    for columns in torch.arange(total).split(columns_at_once(gram.count)):
        # drawn column by column, so that how they are cut changes no starting vector
        starts = [
            torch.randn(gram.count, generator=generator, dtype=torch.float64) for _ in columns
        ]
        recurrence = _Recurrences(
            gram, weights[:, columns].to(device), torch.stack(starts, 1).to(device)
        )
        products += 1
        waiting = columns
        while len(waiting):
            recurrence.step()
            products += 1
            if not (recurrence.to_be_looked_at or recurrence.size >= max_iterations):
                continue
            size = recurrence.size
            ritz = recurrence.ritz()
            done = ritz.finished(threshold)
            if size >= max_iterations and not bool(done.all()):
                raise SolverError(
                    f"permutations: {int((~done).sum())} of {total} eigenvalues are undecided after "
                    f"{size} products. Run it with --dtype float64, or with another --seed."
                )
            at = waiting[done]
            values[at], residuals[at] = ritz.values[done], ritz.residuals[done]
            reached[at] = ritz.reach(threshold)[done]
            waiting = waiting[~done]
            if bool(done.any()):
                recurrence.keep(~done)
            progress.advance(int(done.sum()))
    progress.finish()
    return TopEigenvalues(values, residuals, reached, products)


@dataclass(frozen=True)
class _Ritz:
    """Top Ritz values, residuals, the spectra's magnitudes, what is a tie, what can go no further."""

    values: Tensor
    residuals: Tensor
    scales: Tensor
    ties: Tensor
    exhausted: Tensor
    steps: int

    def reach(self, threshold: float) -> Tensor:
        """True where the value is at least the threshold, ties included."""
        return self.values >= threshold - self.ties

    def finished(self, threshold: float) -> Tensor:
        """True where the value is good enough and its comparison decided."""
        below = self.values + self.residuals < threshold - self.ties
        decided = below | self.reach(threshold)
        reported = self.residuals <= _REPORTED * self.scales
        early = self.steps < _LEAST_STEPS
        return self.exhausted | ((reported & decided | (self.residuals <= self.ties)) & (not early))


class _Recurrences:
    """The three-term recurrences of several operators, with the images of their vectors under K."""

    def __init__(self, gram: KernelOperator, diagonals: Tensor, starts: Tensor) -> None:
        self.gram, self.diagonals = gram, diagonals
        self.sizes = gram.diagonal().to(diagonals) @ diagonals.abs()
        # applied once first, so that what K does not see has left the starting vectors
        self.next = diagonals * gram.matmul(starts)
        self.next_image = gram.matmul(self.next)
        self.norms = _norms(self.next, self.next_image)
        self.last = torch.zeros_like(self.next)
        self.alphas: list[Tensor] = []
        self.betas: list[Tensor] = []

    @property
    def size(self) -> int:
        """The order of the tridiagonal matrices."""
        return len(self.alphas)

    @property
    def exhausted(self) -> bool:
        """True where some recurrence has come to its end: its next vector would be rounding."""
        return bool((self.norms <= _ROUNDING * self.sizes).any())

    @property
    def to_be_looked_at(self) -> bool:
        """True where some column may be finished, and looking costs little beside the steps."""
        often = self.size <= _EVERY_STEP_UNTIL or self.size % _STRIDE == 0
        return (self.size >= _LEAST_STEPS and often) or self.exhausted

    def step(self) -> None:
        """Take the prepared vectors in, and prepare the next."""
        unit = torch.where(self.norms > _ROUNDING * self.sizes, 1 / self.norms, 0.0)
        vector, image = self.next * unit, self.next_image * unit
        if self.alphas:
            self.betas.append(self.norms)
        following = self.diagonals * image
        alpha = (image * following).sum(0)
        self.alphas.append(alpha)
        following -= alpha * vector
        if self.betas:
            following -= self.betas[-1] * self.last
        # once more, for what rounding left of the vector itself
        following -= (image * following).sum(0) * vector
        self.last, self.next = vector, following
        self.next_image = self.gram.matmul(following)
        self.norms = _norms(following, self.next_image)

    def ritz(self) -> _Ritz:
        """The top Ritz pair of every recurrence."""
        tridiagonal = torch.diag_embed(torch.stack(self.alphas, 1))
        if self.betas:
            off = torch.stack(self.betas, 1)
            tridiagonal += torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
        values, vectors = torch.linalg.eigh(tridiagonal.cpu())
        norms, exhausted = self.norms.cpu(), (self.norms <= _ROUNDING * self.sizes).cpu()
        residuals = norms * vectors[:, -1, -1].abs()
        ties = _TIE * self.sizes.cpu()
        return _Ritz(
            values=values[:, -1],
            residuals=residuals,
            scales=values.abs().amax(1),
            ties=ties,
            exhausted=exhausted,
            steps=self.size,
        )

    def keep(self, mask: Tensor) -> None:
        """Drop the columns that are finished."""
        mask = mask.to(self.next.device)
        self.diagonals, self.last = self.diagonals[:, mask], self.last[:, mask]
        self.next, self.next_image = self.next[:, mask], self.next_image[:, mask]
        self.norms, self.sizes = self.norms[mask], self.sizes[mask]
        self.alphas = [alpha[mask] for alpha in self.alphas]
        self.betas = [beta[mask] for beta in self.betas]


def _norms(vectors: Tensor, images: Tensor) -> Tensor:
    return (vectors * images).sum(0).clamp(min=0).sqrt()
