"""Margin bounds measured on the sample: constants in the number of classes, margins paid for.

For h = h⁰ + (⟨u_k, z⟩)_k with gates and h⁰ fixed before the m items were seen, and a norm ‖u‖ ≤ C of a
kind that each constant below names, with probability 1 − δ over the items

    R(h) ≤ R̂_ρ(h) + 2 R̂_S + 3 √(ln(1/δ) / (2m)),     2 R̂_S = κ(d_y) C C_σ / (ρ √m),

where R̂_ρ is the mean ramp loss at margin ρ, R̂_S the empirical Rademacher complexity of the ramp loss
over that ball, and C_σ² the sample's own mean of ‖z‖². One use of McDiarmid's inequality covers both:
sup(E − Ê) − 2 R̂_S moves by at most 3/m with one item and its mean is at most 0.

Only the normalised margin γ = ρ/C matters, since ramp(h/ρ) over the ball of radius C is ramp over the
ball of radius 1/γ. So one union over a geometric grid of γ pays for both ρ and C.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Margins of the grid in one octave.
STEPS_PER_OCTAVE = 4

# Σ over whole numbers j of 1/(1 + |j|)², which makes probabilities of them.
_TOTAL = 2 * math.pi**2 / 6 - 1

# Margins tried on either side of the unit, in octaves.
_OCTAVES = 40


@dataclass(frozen=True)
class Constant:
    """What a theory multiplies C C_σ / (ρ √m) with, and which norm of u its C is.

    Attributes
    ----------
    name, source
        The theory.
    norm
        ``max``: max_k ‖u_k‖₂; ``frobenius``: (Σ_k ‖u_k‖₂²)^½; ``difference``: ‖u_1 − u_0‖₂.
    factor
        κ(d_y).
    """

    name: str
    norm: str
    factor: Callable[[int], float]
    source: str


CONSTANTS = (
    Constant(
        "koltchinskii-panchenko",
        "max",
        lambda classes: 2.0 * classes**2,
        "Kawaguchi, Kaelbling & Bengio, arXiv 1710.05468, after Koltchinskii & Panchenko 2002",
    ),
    Constant(
        "kuznetsov-mohri-syed",
        "max",
        lambda classes: 4.0 * classes,
        "after Kuznetsov, Mohri & Syed, Rademacher Complexity Margin Bounds for Learning with a Large "
        "Number of Classes (2015; the constant was not looked up)",
    ),
    Constant(
        "maurer",
        "frobenius",
        lambda classes: 4.0 * math.sqrt(classes),
        "Maurer, A vector-contraction inequality for Rademacher complexities, ALT 2016; the ramp loss "
        "of the multi-class margin is √2/ρ-Lipschitz in the Euclidean norm of the outputs",
    ),
    Constant(
        "binary",
        "difference",
        lambda _: 2.0,
        "Bartlett & Mendelson, Rademacher and Gaussian complexities, JMLR 2002; two classes",
    ),
)


@dataclass(frozen=True)
class MeasuredBound:
    """One theory's bound at the best margin of the grid, paid for; never clamped.

    Attributes
    ----------
    name, source
        The theory.
    rho, radius
        The margin, and the norm C of the weights' distance from the origin.
    margin_loss
        R̂_ρ.
    rademacher, confidence
        The two terms that are added; `confidence` has the price of the union in it.
    price
        ln(1/p) of the grid point's share p of δ, in nats.
    """

    name: str
    source: str
    rho: float
    radius: float
    margin_loss: float
    rademacher: float
    confidence: float
    price: float

    @property
    def slack(self) -> float:
        """What is added to the margin loss."""
        return self.rademacher + self.confidence

    @property
    def risk(self) -> float:
        """The bound on the 0-1 risk."""
        return self.margin_loss + self.slack

    @property
    def vacuous(self) -> bool:
        """True from a risk of 1 on."""
        return self.risk >= 1


def constants_for(classes: int) -> tuple[Constant, ...]:
    """The theories that speak of so many classes."""
    return tuple(c for c in CONSTANTS if c.norm != "difference" or classes == 2)


def ramp_loss(margins: NDArray[np.float64], rho: float) -> float:
    """The mean of min(1, max(0, 1 − margin/ρ)); 1 at margins up to 0, 0 from ρ on."""
    return float(1 - np.clip(margins, 0.0, rho).mean() / rho)


def share_of_delta(step: int) -> float:
    """The part of δ that grid point γ = unit · 2^(step/4) gets: 1/(1 + |step|)² over their sum."""
    return 1 / (_TOTAL * (1 + abs(step)) ** 2)


def margin_bound(
    margins: NDArray[np.float64],
    constant: Constant,
    classes: int,
    radius: float,
    feature_norm: float,
    delta: float,
    unit: float = 1.0,
    steps: Iterable[int] | None = None,
) -> MeasuredBound:
    """The least R̂_ρ + 2 R̂_S + confidence over the grid of normalised margins γ.

    Parameters
    ----------
    margins
        h_y − max_{k≠y} h_k on the m items, shape (m,).
    radius
        C: the norm of u that the constant asks for, at least 0.
    feature_norm
        C_σ: the root of the sample's mean of ‖z‖².
    delta
        1 − the confidence, of the whole grid together.
    unit
        The grid's unit of γ, fixed before the items were seen.
    steps
        Grid points to try; by default all within 40 octaves. Fewer cost nothing less.
    """
    count = len(margins)
    if steps is None:
        reach = _OCTAVES * STEPS_PER_OCTAVE
        steps = range(-reach, reach + 1)
    # a ball of radius 0 is inside every other one, and any margin serves it
    size = max(radius, 1e-9 * float(np.abs(margins).max()), np.finfo(float).tiny)

    def at(step: int) -> MeasuredBound:
        gamma = unit * 2 ** (step / STEPS_PER_OCTAVE)
        price = -math.log(share_of_delta(step))
        rademacher = constant.factor(classes) * feature_norm / (gamma * math.sqrt(count))
        confidence = 3 * math.sqrt((price - math.log(delta)) / (2 * count))
        rho = gamma * size
        loss = ramp_loss(margins, rho)
        return MeasuredBound(
            constant.name, constant.source, rho, radius, loss, rademacher, confidence, price
        )

    return min((at(step) for step in steps), key=lambda bound: bound.risk)


def assumptions(origin: str, unit: str) -> Sequence[str]:
    """What must hold for the measured bounds."""
    return (
        "the gates are independent of the m_sigma items (two-phase training)",
        "the m_sigma items are independent draws from the distribution that the risk is over",
        f"weights are measured from {origin}, fixed before those items were seen",
        f"one union over margins ρ/C on a geometric grid, 4 an octave, in units of {unit}: "
        "ρ and C may be chosen after seeing the items",
    )
