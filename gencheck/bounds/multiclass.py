"""Margin bounds measured on the sample: constants in the number of classes, margins paid for.

For h = h⁰ + (⟨u_k, z⟩)_k with gates and h⁰ fixed before the m items were seen, and a norm ‖u‖ ≤ C of a
kind that each constant below names, ρ and C fixed too, with probability 1 − δ over the items

    R(h) ≤ R̂_ρ(h) + 2 R̂_S + 3 √(ln(1/δ) / (2m)),     2 R̂_S = κ(d_y) C C_σ / (ρ √m),

where R̂_ρ is the mean ramp loss at margin ρ, R̂_S the empirical Rademacher complexity of the ramp loss
over that ball, and C_σ² the sample's own mean of ‖z‖². One use of McDiarmid's inequality covers both:
sup(E − Ê) − 2 R̂_S moves by at most 3/m with one item and its mean is at most 0.

ρ and C are chosen after seeing the items, so a union pays for them. With h⁰ = 0 only the normalised
margin γ = ρ/C matters, since ramp(h/ρ) over the ball of radius C is ramp(h) over the ball of radius
1/γ: one geometric grid of γ is enough. With h⁰ ≠ 0 scaling leaves h⁰/ρ behind, and the supremum over
all ρ of E − Ê for the ramp of h⁰ alone has a mean above 0: there a grid of ρ and a grid of γ are paid
for, their shares of δ multiplied.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Points of the grid of γ in one octave where it is the only one; and of the two grids with an offset,
# where being coarse costs less than the price of many points.
STEPS_PER_OCTAVE, OFFSET_STEPS_PER_OCTAVE = 4, 1

# Σ over whole numbers j of 1/(1 + |j|)², which makes probabilities of them.
_TOTAL = 2 * math.pi**2 / 6 - 1

# Octaves tried on either side of the unit.
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
        ln(1/p) of the grid point's share p of δ, in nats; of both grids where there are two.
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


def margins_of(outputs: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """h_y − max_{k≠y} h_k of outputs of shape (m, K) and labels of shape (m,)."""
    rows = np.arange(len(labels))
    rest = outputs.copy()
    rest[rows, labels] = -np.inf
    margins: NDArray[np.float64] = outputs[rows, labels] - rest.max(1)
    return margins


def margin_unit(margins: NDArray[np.float64]) -> float:
    """The unit of the grid of ρ, from items of the standard phase: the mean |margin|; 1 for none."""
    mean = float(np.abs(margins).mean()) if len(margins) else 0.0
    return mean if 0 < mean < math.inf else 1.0


def share_of_delta(step: int) -> float:
    """The part of δ that the grid point so many steps from the unit gets: ∝ 1/(1 + |step|)²."""
    return 1 / (_TOTAL * (1 + abs(step)) ** 2)


@dataclass(frozen=True)
class Ball:
    """Where the weights are: ‖u‖ ≤ radius around an origin, with features of a measured size.

    Attributes
    ----------
    radius
        C: the norm of u that the constant asks for, at least 0.
    feature_norm
        C_σ: the root of the sample's mean of ‖z‖².
    offset_unit
        Where the origin's outputs h⁰ are not zero, the unit of the grid of ρ, fixed before the items
        were seen (see `margin_unit`); None where h⁰ = 0, and γ alone is paid for.
    unit
        The unit of the grid of γ, fixed before the items were seen.
    """

    radius: float
    feature_norm: float
    offset_unit: float | None = None
    unit: float = 1.0


def margin_bound(
    margins: NDArray[np.float64], constant: Constant, classes: int, ball: Ball, delta: float
) -> MeasuredBound:
    """The least R̂_ρ + 2 R̂_S + confidence over the grid of γ and, with an offset, of ρ.

    Parameters
    ----------
    margins
        h_y − max_{k≠y} h_k on the m items, shape (m,).
    delta
        1 − the confidence, of all grid points together.
    """
    # a ball of radius 0 is inside every other one, and beyond 1e270 every loss is 1
    least = max(1e-9 * float(np.abs(margins).max()), np.finfo(float).tiny)
    size = min(max(ball.radius, least), 1e270)
    per_octave = STEPS_PER_OCTAVE if ball.offset_unit is None else OFFSET_STEPS_PER_OCTAVE
    steps = np.arange(-_OCTAVES * per_octave, _OCTAVES * per_octave + 1)
    factors = 2.0 ** (steps / per_octave)
    prices = np.array([-math.log(share_of_delta(int(step))) for step in steps])
    gammas = ball.unit * factors
    if ball.offset_unit is None:
        rhos, allowed = gammas * size, np.eye(len(steps), dtype=bool)
        price = np.broadcast_to(prices, allowed.shape)
    else:
        rhos = ball.offset_unit * factors
        allowed = gammas * size <= rhos[:, None]
        price = prices[:, None] + prices
    losses = _ramp_losses(margins, rhos)[:, None]
    rademacher = constant.factor(classes) * ball.feature_norm / (gammas * math.sqrt(len(margins)))
    confidence = 3 * np.sqrt((price - math.log(delta)) / (2 * len(margins)))
    risks = np.where(allowed, losses + rademacher + confidence, np.inf)
    row, column = np.unravel_index(int(risks.argmin()), risks.shape)
    return MeasuredBound(
        constant.name,
        constant.source,
        rho=float(rhos[row]),
        radius=ball.radius,
        margin_loss=ramp_loss(margins, float(rhos[row])),
        rademacher=float(rademacher[column]),
        confidence=float(confidence[row, column]),
        price=float(price[row, column]),
    )


def _ramp_losses(margins: NDArray[np.float64], rhos: NDArray[np.float64]) -> NDArray[np.float64]:
    """`ramp_loss` at each ρ of a long list, from one sort: the sum of clipped margins is a prefix sum."""
    ordered = np.sort(np.clip(margins, 0.0, None))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    below = np.searchsorted(ordered, rhos)
    clipped = sums[below] + (len(ordered) - below) * rhos
    losses: NDArray[np.float64] = 1 - clipped / (len(ordered) * rhos)
    return losses


def assumptions(origins: Sequence[str], runs: int = 1) -> tuple[str, ...]:
    """What must hold for the measured bounds of weights measured from `origins`."""
    said = {
        "zero": "from zero: one union over margins ρ/C on a geometric grid, "
        f"{STEPS_PER_OCTAVE} an octave, in units of C_σ on the standard phase's items; ρ and C may be "
        "chosen after seeing the items",
        "standard phase": "from the standard phase's weights: a union over ρ on a geometric grid, "
        f"{OFFSET_STEPS_PER_OCTAVE} an octave, in units of its mean absolute margin on its own items, "
        "times one over ρ/C; ρ and C may be chosen after seeing the items",
    }
    compared = (
        "no other run (architecture, seed, alpha) was compared on these items; --runs pays for those "
        "that were"
        if runs == 1
        else f"at most {runs} runs (architectures, seeds, alphas) were compared on these items, "
        "and each is certified at δ over their number"
    )
    return (
        "the gates are independent of the m_sigma items (two-phase training)",
        "the m_sigma items are independent draws from the distribution that the risk is over",
        *(said[origin] for origin in origins),
        compared,
    )
