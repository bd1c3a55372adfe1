"""β1: the largest eigenvalue of E_T[zzᵀ] − E_S[zzᵀ], through the Gram matrix alone."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.errors import SolverError
from gencheck.network.algebra import log2_path_count
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.operator import KernelOperator

# Relative to the spectrum's magnitude. An eigenvalue's own error is about the residual's square over
# the gap, far below this.
_TOLERANCE = 1e-10

# Below this share of E_S‖z‖² + E_T‖z‖² the K-norm of an image is the rounding of sums that cancelled:
# the root of float64's, since a K-norm is the root of a sum.
_ROUNDING = 1e-8


@dataclass(frozen=True)
class TopEigenvalue:
    """The largest eigenvalue of the difference operator, ``2**exponent`` times these figures.

    Attributes
    ----------
    value
        The Rayleigh quotient of `vector`, evaluated in float64; a lower bound on the eigenvalue.
    residual
        ‖A u − value · u‖ / ‖u‖, evaluated in float64: an eigenvalue lies within it of `value`.
    iterations
        Products with K that Lanczos took.
    vector
        Coefficients a of the top eigenvector u = Σ_i a_i z_i, with ‖u‖ = 1 in units of the scaled
        kernel. Shape (N,).
    exponent
        The power of two left out.
    """

    value: float
    residual: float
    iterations: int
    vector: Tensor
    exponent: int


def top_eigenvalue(
    gram: KernelOperator,
    weights: Tensor,
    seed: int = 0,
    max_iterations: int = 1000,
    progress: Progress = SILENT,
) -> TopEigenvalue:
    """λ_max of A = Uᵀ D U on the span of the path features, U the rows z_i.

    Lanczos in the K-inner product: vectors v = Uᵀa are kept as coefficients a, A v is D K a, and
    ⟨Uᵀa, Uᵀb⟩ = aᵀKb. One product with K a step, full reorthogonalisation. K may be singular and D
    is indefinite; neither is assumed away. The last Ritz pair is evaluated anew in float64.

    Parameters
    ----------
    weights
        The diagonal of D, shape (N,), float64.
    seed
        Seeds the starting vector.

    Raises
    ------
    SolverError
        The residual is still above the tolerance after `max_iterations`.
    """
    krylov = _Krylov(gram, weights.to(gram.device)[:, None], seed)
    limit = min(max_iterations, gram.count + 1)
    floor = _ROUNDING * float((gram.diagonal() * weights.abs()).sum())
    progress.start("beta1", limit, "products")
    while True:
        ritz = krylov.extended()
        progress.advance(1)
        exhausted = krylov.norm <= floor or krylov.size >= limit
        if exhausted or ritz.residual <= _TOLERANCE * ritz.scale:
            break
    progress.finish()
    value, residual, vector = krylov.evaluated(ritz.coefficients)
    # evaluated anew, so the recurrence's own rounding cannot hide in it
    allowed = max(100 * _TOLERANCE * ritz.scale, 10 * floor)
    if residual > allowed:
        raise SolverError(
            f"beta1: Lanczos stopped after {krylov.size} products with residual {residual:.3g}, "
            f"above the {allowed:.3g} required. Run it with --dtype float64."
        )
    return TopEigenvalue(value, residual, krylov.size, vector, gram.exponent)


@dataclass(frozen=True)
class _Ritz:
    """The top Ritz pair: its residual, the spectrum's magnitude, its coefficients in the basis."""

    residual: float
    scale: float
    coefficients: Tensor


class _Krylov:
    """An orthonormal Krylov basis Q in the K-inner product, with its image K Q beside it."""

    def __init__(self, gram: KernelOperator, diagonal: Tensor, seed: int) -> None:
        self.gram, self.diagonal = gram, diagonal
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn((gram.count, 1), generator=generator, dtype=torch.float64)
        # applied once first, so that what K does not see has left the starting vector
        start = diagonal * gram.matmul(start.to(diagonal))
        self.basis = start[:, :0]
        self.images = start[:, :0]
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self._prepare(start)

    @property
    def size(self) -> int:
        """The dimension of the basis."""
        return len(self.alphas)

    def _prepare(self, vector: Tensor) -> None:
        """Make `vector` the next to enter the basis: its image under K and its K-norm."""
        image = self.gram.matmul(vector)
        self.norm = max(float((vector * image).sum()), 0.0) ** 0.5
        self.next, self.next_image = vector, image

    def extended(self) -> _Ritz:
        """Take the prepared vector into the basis; the top Ritz pair of the larger basis."""
        unit = 1 / self.norm if self.norm > 0 else 0.0
        image = self.next_image * unit
        self.basis = torch.cat([self.basis, self.next * unit], 1)
        self.images = torch.cat([self.images, image], 1)
        if self.alphas:
            self.betas.append(self.norm)
        following = self.diagonal * image
        self.alphas.append(float((image * following).sum()))
        # twice is enough for orthogonality to rounding
        for _ in range(2):
            following = following - self.basis @ (self.images.T @ following)
        self._prepare(following)
        return self._ritz()

    def _ritz(self) -> _Ritz:
        off = torch.tensor(self.betas, dtype=torch.float64)
        tridiagonal = torch.diag(torch.tensor(self.alphas, dtype=torch.float64))
        tridiagonal += torch.diag(off, 1) + torch.diag(off, -1)
        values, vectors = torch.linalg.eigh(tridiagonal)
        residual = self.norm * abs(float(vectors[-1, -1]))
        return _Ritz(residual, float(values.abs().max()), vectors[:, -1:])

    def evaluated(self, coefficients: Tensor) -> tuple[float, float, Tensor]:
        """Rayleigh quotient, residual and coefficients of the Ritz vector, all in float64."""
        vector = self.basis @ coefficients.to(self.basis)
        image = self.gram.matmul(vector)
        norm = max(float((vector * image).sum()), 0.0) ** 0.5
        if norm == 0:
            return 0.0, 0.0, vector[:, 0].cpu()
        vector, image = vector / norm, image / norm
        applied = self.diagonal * image
        value = float((image * applied).sum())
        remainder = applied - value * vector
        squared = float((remainder * self.gram.matmul(remainder)).sum())
        return value, max(squared, 0.0) ** 0.5, vector[:, 0].cpu()


def has_kernel(gram: Gram, network: Network, affordable: int = 4096) -> bool | None:
    """True where some direction of path space is orthogonal to all items; None where unknown."""
    log2_paths = log2_path_count(network)
    if log2_paths > math.log2(gram.count) + 0.5:
        return True
    if gram.count > affordable:
        return None
    rank = int(torch.linalg.matrix_rank(gram.dense().double(), hermitian=True))
    return rank < round(2**log2_paths)
