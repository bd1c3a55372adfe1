"""What a ridge solution in path space is worth: its norms, its gap and the bound on it, from K."""

from dataclasses import dataclass

from torch import Tensor

from gencheck.bounds.concentrated import GapBound, euclidean_bound
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import SelfCheckError
from gencheck.network.algebra import log2_l2_squared
from gencheck.network.ir import Network
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.difference import Difference, squared_loss_gap, squared_norms
from gencheck.spectral.kernel.gram import Gram
from gencheck.training.path_ridge import PathRidge, RidgeOptions
from gencheck.training.ridge import Convergence

# How far rounding may carry the gap from the sum of its terms, relative to what was subtracted.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class RidgeFacts:
    """A ridge solution in figures.

    Attributes
    ----------
    penalty, penalty_share
        λ, and as a multiple of the mean of ‖z‖².
    leave_one_out
        The mean squared loss on each freeze item, fitted without it; None of an iteration.
    landmarks, rank
        How many items span the solution, and the dimension of their span; None of an iteration.
    convergence
        Of an iteration; None for a solution in closed form.
    centred
        True where it was fitted to what the standard phase left over.
    distance_squared
        ‖w_k − w⁰_k‖₂² of each output: from the standard phase's path weights where centred, else
        from 0.
    l2_squared
        ‖w_k‖₂² of each output.
    gap
        What the test items say, where there are some.
    """

    penalty: Magnitude
    penalty_share: float
    leave_one_out: float | None
    landmarks: int
    rank: int | None
    convergence: Convergence | None
    centred: bool
    distance_squared: tuple[Magnitude, ...]
    l2_squared: tuple[Magnitude, ...]
    gap: "RidgeGap | None"


@dataclass(frozen=True)
class RidgeGap:
    """R_T − R_S = t₁ + t₂ + t₃ on freeze items S and test items T, and the bound on it.

    `beta1`, `v_l2` and `bound` are None where not every freeze item is a landmark, or the Gram matrix
    did not fit into memory: they need all of it.
    """

    sample_risk: float
    reference_risk: float
    gap: float
    terms: tuple[float, float, float]
    beta1: Magnitude | None
    v_l2: tuple[Magnitude, ...] | None
    bound: GapBound | None


def ridge_facts(
    gates: Network, solved: PathRidge, targets: Tensor, sample_count: int, plan: RidgeOptions
) -> RidgeFacts:
    """The figures of a ridge solution.

    Parameters
    ----------
    targets
        Of the freeze items and then of the test items, shape (n + t, K).

    Raises
    ------
    SelfCheckError
        The gap is not the sum of its terms, or exceeds its bound: a defect of ours.
    SolverError
        Lanczos did not converge.
    """
    ridge, shift = solved.solution, -solved.exponent
    distance = [Magnitude.of(value, shift) for value in ridge.squared_norms.tolist()]
    norms = distance if not plan.centred else _norms_around_base(gates, solved, distance)
    gap = None
    if len(targets) > sample_count:
        gap = _gap(solved, targets.double(), sample_count, norms)
    return RidgeFacts(
        penalty=Magnitude.of(ridge.penalty, solved.exponent),
        penalty_share=ridge.penalty / solved.mean_square,
        leave_one_out=ridge.leave_one_out,
        landmarks=len(solved.landmarks),
        rank=ridge.rank,
        convergence=ridge.convergence,
        centred=plan.centred,
        distance_squared=tuple(distance),
        l2_squared=tuple(norms),
        gap=gap,
    )


def _norms_around_base(
    gates: Network, solved: PathRidge, distance: list[Magnitude]
) -> list[Magnitude]:
    """‖w⁰ + u‖² = ‖w⁰‖² + 2⟨w⁰, u⟩ + ‖u‖², with ⟨w⁰, u_k⟩ = Σ_l b_{lk} h⁰_k(x_l)."""
    base = [Magnitude.from_log2(x) for x in log2_l2_squared(gates).tolist()]
    at_landmarks = solved.base[solved.landmarks]
    products = (solved.solution.coefficients * at_landmarks).sum(0).tolist()
    return [
        own + Magnitude.of(2 * product, -solved.exponent) + moved
        for own, product, moved in zip(base, products, distance, strict=True)
    ]


def _gap(solved: PathRidge, targets: Tensor, sample_count: int, norms: list[Magnitude]) -> RidgeGap:
    difference = Difference(sample_count, targets)
    found = squared_loss_gap(difference, solved.outputs)
    gap, terms, size = found.value, found.terms, found.size
    if abs(gap - sum(terms)) > _TOLERANCE * size:
        raise SelfCheckError(f"self-check: the gap {gap:.6g} is not the sum of its terms {terms}.")
    beta1, v_l2, bound = None, None, None
    if solved.gram is not None:
        beta1, v_l2 = _concentration(solved.gram, difference)
        bound = euclidean_bound(beta1, terms[2], list(v_l2), norms)
        # float32 kernels carry their own rounding into the outputs
        if not Magnitude.of(gap - 1e-3 * size) <= bound.value:
            raise SelfCheckError(
                f"self-check: the gap {gap:.6g} exceeds its bound {float(bound.value):.6g}, which "
                "the theorem excludes. This is a defect of gencheck: please report it."
            )
    return RidgeGap(
        sample_risk=found.sample_risk,
        reference_risk=found.reference_risk,
        gap=gap,
        terms=terms,
        beta1=beta1,
        v_l2=v_l2,
        bound=bound,
    )


def _concentration(gram: Gram, difference: Difference) -> tuple[Magnitude, tuple[Magnitude, ...]]:
    """The upper end of β1, and ‖v_k‖₂ of each output."""
    top = top_eigenvalue(gram, difference.weights())
    beta1 = Magnitude.of(max(top.value, 0.0) + top.residual, top.exponent)
    squares = squared_norms(gram, difference.target_weights()).tolist()
    return beta1, tuple(Magnitude.of(square, gram.exponent).sqrt() for square in squares)
