"""β1 and ‖v_k‖₂ as two-sided intervals from a few landmark items, in time and memory linear in N."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.cross_kernel import CrossKernel
from gencheck.spectral.kernel.formation import require_in_range

# Directions of the landmarks' span whose share of its largest eigenvalue is below this are left to
# the residual: rounding would decide them.
_DIRECTION = 1e-9
# And those whose share of the largest ‖z‖² of a landmark is.
_ROUNDING = 1e-12

# What rounding may do to a figure, relative to E_S‖z‖² + E_T‖z‖².
_ROUNDING = 1e-10

# The upper end is found to this share of itself.
_PRECISION = 1e-4


@dataclass(frozen=True)
class LandmarkIntervals:
    """Both ends of λ_max and of ‖v_k‖₂², ``2**exponent`` times these figures.

    Attributes
    ----------
    lower, upper
        λ_max of the operator on all of path space lies between them, where it is not negative.
    products
        z_i·u with u the direction that attains `lower`, ``2**(exponent / 2)`` times; shape (N,).
    squares_lower, squares_upper
        Shape (K,).
    pairs
        Kernels that were evaluated.
    nbytes
        What the coordinates of all items take.
    """

    lower: float
    upper: float
    products: Tensor
    squares_lower: Tensor
    squares_upper: Tensor
    exponent: int
    pairs: float
    nbytes: float


def landmark_intervals(
    kernel: CrossKernel,
    weights: Tensor,
    coefficients: Tensor,
    count: int,
    seed: int = 0,
    progress: Progress = SILENT,
) -> LandmarkIntervals:
    """λ_max(Σ_i d_i z_i z_iᵀ) and ‖Σ_i c_ik z_i‖² bracketed by a projection on `count` items' span.

    With P the projector, z = p + q, p = P z. The lower end is λ_max(P A P), attained by a vector of
    the span. For the upper end, let h ≥ λ_max(E_T qqᵀ), and M ⪰ X Xᵀ for the cross part
    X = Σ_i d_i p_i q_iᵀ. Every λ > h with λ_max(P A P + M/(λ − h)) ≤ λ is an upper end:
    uᵀAu ≤ sᵀ(PAP)s + 2|Xᵀs||t| + h|t|² for u = s + t, and 2|Xᵀs||t| ≤ |Xᵀs|²/(λ−h) + (λ−h)|t|².
    The items are cut at random into b blocks of about `count`; with R the residual kernel of a block,

        h = (1/n) Σ_blocks λ_max(R on the block's reference items),
        M = b Σ_blocks (Σ_ij d_i R_ij d_j p_i p_jᵀ),

    by subadditivity and Cauchy-Schwarz. A block of one item would make h the residual's trace.
    Likewise ‖v‖² = ‖Pv‖² + ‖Σ c_i q_i‖², of which the latter is at most (Σ_blocks √(cᵀRc))².

    Parameters
    ----------
    weights
        d, shape (N,): negative on the sample, 1/n on the reference.
    coefficients
        c, shape (N, K).
    count
        How many landmarks; all items if there are no more.

    Raises
    ------
    InputError
        As `require_in_range` raises it.
    """
    device = kernel.factors.items.device
    diagonal = kernel.diagonal()
    require_in_range(diagonal, torch.float64)
    total = len(weights)
    weights, coefficients = weights.to(device), coefficients.to(device)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    # the landmarks are in blocks as well: directions of theirs that rounding would decide are left out
    blocks = order.to(device).split(count)
    progress.start("landmarks", 3 * len(blocks), "blocks")
    first = order[: -(-count // 2)].to(device)
    span = _Span(kernel, total)
    span.extend(first, blocks, progress)
    direction = span.top(weights)[2]
    # u = Σ_i a_i z_i with a_i proportional to d_i (z_i·u): the items that u is made of come next
    parts = (weights * direction).abs()
    parts[first] = -1.0
    second = parts.argsort(descending=True, stable=True)[: min(count, total) - len(first)]
    if len(second):
        span.extend(second, blocks, progress)
    coordinates = span.coordinates
    operator, lower, direction = span.top(weights)
    residual = _Residual(kernel, coordinates, weights, coefficients)
    for block in blocks:
        residual.add(block)
        progress.advance(1)
    progress.finish()
    slack = _ROUNDING * float(diagonal @ weights.abs())
    rest, cross = float(residual.largest), len(blocks) * residual.cross
    upper = upper_end(operator, cross, rest, lower)
    squares = (coordinates.T @ coefficients).square().sum(0)
    return LandmarkIntervals(
        lower=lower,
        upper=upper + slack,
        products=direction.cpu(),
        squares_lower=squares.cpu(),
        squares_upper=(squares + residual.lengths.square()).cpu(),
        exponent=kernel.exponent,
        pairs=float(total * (len(first) + len(second)) + sum(len(block) ** 2 for block in blocks)),
        nbytes=float(coordinates.numel() * coordinates.element_size()),
    )


class _Span:
    """The coordinates of all items' projections in an orthonormal basis of some items' span."""

    def __init__(self, kernel: CrossKernel, total: int) -> None:
        self.kernel = kernel
        self.coordinates = kernel.factors.items.new_empty((total, 0))

    def extend(self, chosen: Tensor, blocks: Sequence[Tensor], progress: Progress) -> None:
        """Add the part of the chosen items that the span lacks."""
        own = self.coordinates[chosen]
        whole = self.kernel.between(chosen, chosen)
        values, vectors = torch.linalg.eigh(whole - own @ own.T)
        # where the span lacks nothing, as for items that repeat, the largest is rounding itself
        rounding = _ROUNDING * whole.diagonal().max()
        kept = values > (_DIRECTION * values[-1]).clamp(min=float(rounding))
        basis = vectors[:, kept] / values[kept].sqrt()
        added = own.new_empty((len(self.coordinates), basis.shape[1]))
        for block in blocks:
            rest = self.kernel.between(block, chosen) - self.coordinates[block] @ own.T
            added[block] = rest @ basis
            progress.advance(1)
        self.coordinates = torch.cat([self.coordinates, added], 1)

    def top(self, weights: Tensor) -> tuple[Tensor, float, Tensor]:
        """P A P in the basis, its largest eigenvalue, and z_i·u of all items for its eigenvector."""
        operator = self.coordinates.T @ (weights[:, None] * self.coordinates)
        values, vectors = torch.linalg.eigh(operator)
        return operator, float(values[-1]), self.coordinates @ vectors[:, -1]


class _Residual:
    """What the projection leaves out, added up block by block."""

    def __init__(
        self, kernel: CrossKernel, coordinates: Tensor, weights: Tensor, coefficients: Tensor
    ) -> None:
        self.kernel, self.coordinates = kernel, coordinates
        self.weights, self.coefficients = weights, coefficients
        rank = coordinates.shape[1]
        self.cross = coordinates.new_zeros((rank, rank))
        self.largest = coordinates.new_zeros(())
        self.lengths = coordinates.new_zeros(coefficients.shape[1])

    def add(self, block: Tensor) -> None:
        """One block's part of h, of M / b and of Σ √(cᵀRc)."""
        own, weights = self.coordinates[block], self.weights[block]
        rest = self.kernel.between(block, block) - own @ own.T
        weighted = weights[:, None] * own
        self.cross += weighted.T @ (rest @ weighted)
        part = self.coefficients[block]
        self.lengths += (part * (rest @ part)).sum(0).clamp(min=0).sqrt()
        above = weights > 0
        if bool(above.any()):
            top = torch.linalg.eigvalsh(rest[above][:, above])[-1].clamp(min=0)
            self.largest += weights[above][0] * top


def upper_end(operator: Tensor, cross: Tensor, rest: float, top: float) -> float:
    """The least λ ≥ h with λ_max(P A P + M/(λ − h)) ≤ λ, from above, to a share of 10⁻⁴.

    Whether it holds at some λ is whether λ − P A P − M/(λ − h) has a Cholesky factor, which takes a
    small part of the time that eigenvalues take.

    Parameters
    ----------
    operator, cross
        P A P and M in an orthonormal basis of the span, shape (r, r).
    rest
        h.
    top
        λ_max(P A P).
    """
    # the Frobenius norm is at least λ_max(M), which makes this λ large enough
    norm = float(torch.linalg.matrix_norm(cross))
    low = max(top, rest)
    high = (top + rest) / 2 + math.sqrt(((top - rest) / 2) ** 2 + norm)
    while high - low > _PRECISION * abs(high):
        middle = (low + high) / 2
        if not rest < middle < high:
            break
        left = -(operator + cross / (middle - rest))
        left.diagonal().add_(middle)
        if int(torch.linalg.cholesky_ex(left).info) == 0:
            high = middle
        else:
            low = middle
    return high
