"""‖E x − x̄‖ of a mean of independent vectors with high probability, from kernel values alone.

x_1 … x_m are independent draws of a random vector with ‖x‖ ≤ b, σ² = E‖x − E x‖², C ≥ λ_max(E[xxᵀ]).
Z = ‖Σ(x_i − E x)‖ is the supremum of Σ⟨u, E x − x_i⟩ over ‖u‖ = 1: E Z ≤ σ√m, each term is at most 2b
and has a variance of at most C. Bousquet's form of Talagrand's inequality says that, with probability
at least 1 − e^−L,

    ‖E x − x̄‖ ≤ σ/√m + √(2L(C + 4bσ/√m)/m) + 2bL/(3m).                                     (1)

Its leading term has no L in it: what L multiplies is the variance in one direction. σ and C are
bounded from the sample. With the unbiased variance s² = Σ‖x_i − x̄‖²/(m − 1),

    σ ≤ s + 2b √(2L/(m − 1)).                                                                   (2)

That is Maurer and Pontil's theorem 10 for vectors, whose proof goes through: put F = m s²/D² with the
diameter D ≤ 2b. Replacing x_k by the others' mean μ_k takes ‖x_k − μ_k‖²/D² ≤ 1 off F, no other point of
the ball takes off more, and as x_k − μ_k = (x_k − x̄)m/(m − 1) the squares of these sum to at most their
sum, F m/(m − 1): the two conditions from which Maurer's inequality on self-bounding functions gives
P(E F − F ≥ t) ≤ exp(−t²(m − 1)/(2m E F)), and (2) by completing the square. C ≤ Ĉ + the certified
deviation of λ_max(E[xxᵀ] − mean of xxᵀ), which is `bernstein.certified_beta1` for x.
"""

import math
from dataclasses import dataclass

from gencheck.bounds.bernstein import FeatureMoments, certified_beta1
from gencheck.bounds.magnitude import Magnitude, smallest

SOURCE = (
    "Bousquet, A Bennett concentration inequality and its application to suprema of empirical "
    "processes (2002); Maurer & Pontil, Empirical Bernstein bounds (2009); both as remembered"
)

# How δ is split: (1) itself, σ, C.
_SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class MeanMoments:
    """What the bound is computed from.

    Attributes
    ----------
    vectors
        Of the vectors x: m, ln of their dimension, b², λ_max of the sample's mean of ‖x‖² xxᵀ, the
        sample's mean of ‖x‖⁴.
    variance
        s² = Σ‖x_i − x̄‖²/(m − 1).
    direction
        Ĉ, the largest eigenvalue of the sample's mean of xxᵀ, or an upper end of it.
    """

    vectors: FeatureMoments
    variance: Magnitude
    direction: Magnitude


@dataclass(frozen=True)
class MeanDistance:
    """An upper bound on ‖E x − x̄‖, and the upper ends of σ and C that it has."""

    value: Magnitude
    deviation: Magnitude
    direction: Magnitude


def certified_mean_distance(moments: MeanMoments, level: float) -> MeanDistance:
    """‖E x − x̄‖ ≤ `value` with probability at least 1 − δ: (1), with σ by (2) and C from the sample.

    Parameters
    ----------
    level
        ln(1/δ), for the whole.
    """
    nats, spread, weak = (level - math.log(share) for share in _SHARES)
    count, square_bound = moments.vectors.count, moments.vectors.square_bound
    reach = square_bound.sqrt()
    # σ² ≤ b² whatever the sample says, and one item says nothing
    deviation = reach
    if count > 1:
        surplus = reach * Magnitude.of(2 * math.sqrt(2 * spread / (count - 1)))
        deviation = smallest(reach, moments.variance.sqrt() + surplus)
    certified = certified_beta1(moments.vectors, weak).value
    direction = smallest(moments.direction + certified, square_bound)
    mean = deviation * Magnitude.of(1 / math.sqrt(count))
    variance = direction + Magnitude.of(4.0) * reach * mean
    value = (
        mean
        + (Magnitude.of(2 * nats / count) * variance).sqrt()
        + reach * Magnitude.of(2 * nats / (3 * count))
    )
    return MeanDistance(value, deviation, direction)
