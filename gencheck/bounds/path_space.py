"""PAC-Bayes in path space: Gaussians over path weights, carried exactly by blocks of the path kernel.

With gates held, h_k(x) = ⟨w_k, z(x)⟩ is linear in path weights. The prior, fixed before the m items
were seen, is N(w⁰_k, s² I) for each output k; the posterior N(w⁰_k + u_k, Σ) with

    u_k = Σ_a θ_ak e_a,    Σ = s² (I − Σ_a g_a e_a e_aᵀ),    0 ≤ g_a < 1,

for orthonormal e_a in the span of some items' features, and the prior's own covariance outside it. With
φ_a(x) = ⟨e_a, z(x)⟩ and K(x, x) = ‖z(x)‖² the outputs of a drawn network at x are

    h⁰_k(x) + ⟨θ_k, φ(x)⟩ + √v(x) ξ_k,    v(x) = s² (K(x, x) − Σ_a g_a φ_a(x)²),    ξ ~ N(0, I),

    KL(Q‖P) = ½ K Σ_a (−g_a − ln(1 − g_a)) + ‖θ‖² / (2 s²).

So the risk of the drawn classifier on an item is one integral over a line, and no weight is ever drawn.

For a β fixed beforehand E exp(−m β R̂(w) − m ln(1 − (1 − e^−β) R(w))) = 1 under the prior, whence with
probability 1 − δ, for all posteriors at once,

    R(Q) ≤ (1 − exp(−β R̂(Q) − (KL(Q‖P) + ln(1/δ)) / m)) / (1 − e^−β),

which at the best β is kl⁻¹(R̂, (KL + ln(1/δ))/m): a grid of β costs less than the ln ξ(m) ≈ ½ ln(πm/2)
that the form without β adds to the divergence.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gencheck.bounds.path_space_grid import RATES

Array = NDArray[np.float64]

SOURCE = (
    "Catoni, PAC-Bayesian supervised classification, 2007, theorem 1.2.6 (p. 11, as Alquier, "
    "User-friendly introduction to PAC-Bayes bounds, theorem 3.5, quotes it); proved in "
    "docs/mathematics.md; Gaussians over path weights: ours"
)
MEAN_SOURCE = (
    f"{SOURCE}; from the drawn to the mean classifier by margins under the same Gaussian, after Langford "
    "& Shawe-Taylor, PAC-Bayes and margins, 2002"
)

# Beyond so many standard deviations an output is taken to be overtaken with the tail's own probability.
_SURE = 10.0
# The trapezoidal rule for one output's noise errs by less than 1e-12 at this step, by less than 1e-4 at
# the step that is enough to compare posteriors.
STEP, COARSE_STEP, _REACH = 0.125, 0.5, 8.5
# Items whose squares are formed at one time.
_ROWS = 2048
# Numerical error of a mean of integrals, added to it.
QUADRATURE_ERROR = 1e-10


@dataclass(frozen=True)
class Features:
    """Items in coordinates of the features that span the posterior, in which ΦᵀΦ is diagonal.

    Attributes
    ----------
    coordinates
        φ, shape (m, d).
    squares
        K(x, x), shape (m,).
    base
        h⁰, shape (m, K).
    """

    coordinates: Array
    squares: Array
    base: Array


@dataclass(frozen=True)
class Posterior:
    """A Gaussian over path weights.

    Attributes
    ----------
    scale
        s, the prior's deviation; 0 for a mean without noise, whose divergence is infinite.
    shrinkage
        g, shape (d,), in [0, 1).
    mean
        θ, shape (d, K).
    """

    scale: float
    shrinkage: Array
    mean: Array

    @property
    def divergence(self) -> float:
        """KL(Q‖P) in nats."""
        outputs = self.mean.shape[1]
        spread = -self.shrinkage - np.log1p(-self.shrinkage)
        return float(outputs * spread.sum() + np.square(self.mean / self.scale).sum()) / 2

    def outputs(self, items: Features) -> Array:
        """The mean's outputs h⁰ + φθ, shape (m, K)."""
        result: Array = items.base + items.coordinates @ self.mean
        return result

    def variances(self, items: Features) -> Array:
        """v(x) ≥ 0, shape (m,)."""
        result: Array = self.scale**2 * room_left(items, self.shrinkage)
        return result


def room_left(items: Features, shrinkage: Array) -> Array:
    """K(x, x) − Σ_a g_a φ_a(x)² ≥ 0: the variance in units of s², shape (m,)."""
    moved = np.flatnonzero(shrinkage)
    if not len(moved):
        return items.squares
    parts = np.array_split(items.coordinates, 1 + len(items.coordinates) // _ROWS)
    taken = np.concatenate([np.square(rows[:, moved]) @ shrinkage[moved] for rows in parts])
    result: Array = np.clip(items.squares - taken, 0.0, None)
    return result


def drawn_errors(
    outputs: Array,
    labels: NDArray[np.int64],
    variances: Array,
    thresholds: Array | None = None,
    step: float = STEP,
) -> Array:
    """P(min_{j≠y} (H_y − H_j) ≤ threshold) of H ~ N(outputs, v I), item by item; shape (m,).

    With threshold 0, the probability that a drawn classifier errs; ties count as errors. It is
    1 − ∫ φ(t) Π_{j≠y} Φ((μ_y − μ_j − threshold)/√v + t) dt.

    Parameters
    ----------
    outputs, labels, variances
        μ of shape (m, K), y and v of shape (m,).
    thresholds
        At least 0, shape (m,); by default 0.
    step
        Of the trapezoidal rule, in deviations.
    """
    apart = _apart(outputs, labels)
    if thresholds is not None:
        apart -= thresholds[:, None]
    least = apart.min(1)
    errors: Array = (least <= 0).astype(float)
    deviation = np.sqrt(variances)
    ratio = np.divide(
        least, deviation, out=np.where(least > 0, np.inf, -np.inf), where=deviation > 0
    )
    classes = outputs.shape[1]
    # by a union over the other outputs above, by the one overtaking output below
    errors[ratio > _SURE] = (classes - 1) * ndtr(-_SURE / math.sqrt(2))
    errors[np.isinf(ratio) & (ratio > 0)] = 0.0
    open_rows = np.flatnonzero(np.abs(ratio) <= _SURE)
    nodes = np.arange(-_REACH, _REACH + step / 2, step)
    weights = np.exp(-(nodes**2) / 2) * (step / math.sqrt(2 * math.pi))
    entries = len(open_rows) * classes * len(nodes)
    for part in np.array_split(open_rows, max(1, entries // 2**20)):
        standard = apart[part] / deviation[part, None]
        kept = ndtr(standard[:, :, None] + nodes).prod(1) @ weights
        errors[part] = np.clip(1 - kept, 0.0, 1.0)
    return np.asarray(errors, dtype=np.float64)


def _apart(outputs: Array, labels: NDArray[np.int64]) -> Array:
    """μ_y − μ_j, shape (m, K); infinite at j = y."""
    rows = np.arange(len(labels))
    apart: Array = outputs[rows, labels][:, None] - outputs
    apart[rows, labels] = np.inf
    return apart


def least_errors(margins: Array, variances: Array, thresholds: Array | None = None) -> Array:
    """A lower bound on `drawn_errors`: that the nearest output alone overtakes; shape (m,).

    Parameters
    ----------
    margins
        μ_y − max_{j≠y} μ_j, shape (m,).
    """
    apart = margins if thresholds is None else margins - thresholds
    deviation = np.sqrt(2 * variances)
    ratio = np.divide(
        apart, deviation, out=np.where(apart > 0, np.inf, -np.inf), where=deviation > 0
    )
    result: Array = ndtr(-ratio)
    return result


def catoni_risk(empirical: float, nats: float, items: int) -> float:
    """The least (1 − exp(−β R̂ − nats/m)) / (1 − e^−β) over `RATES`; above 1 where it says nothing.

    Parameters
    ----------
    nats
        The divergence, ln(1/δ) and the price of all grids, that of β among them.
    """
    return min(math.expm1(-rate * empirical - nats / items) / math.expm1(-rate) for rate in RATES)


@dataclass(frozen=True)
class PathSpaceBound:
    """The bound on a 0-1 risk at one posterior, prices paid; never clamped.

    Attributes
    ----------
    name, source
        ``pac-bayes-drawn``, the classifier that draws its weights anew for every item, or
        ``pac-bayes-mean``, the posterior's mean.
    empirical
        The mean loss of the drawn classifier on the m items; for the mean classifier, the mean
        probability that a drawn margin is below c deviations of the prior.
    divergence, price, confidence
        KL, the price of the grids and ln(1/δ), all in nats.
    factor
        1; for the mean classifier 1/Φ(c).
    margin_factor
        c; None for the drawn classifier.
    items
        m.
    """

    name: str
    source: str
    empirical: float
    divergence: float
    price: float
    confidence: float
    factor: float
    margin_factor: float | None
    items: int

    @property
    def risk(self) -> float:
        """The bound on the 0-1 risk."""
        nats = self.divergence + self.price + self.confidence
        return self.factor * catoni_risk(self.empirical, nats, self.items)

    @property
    def vacuous(self) -> bool:
        """True from a risk of 1 on."""
        return self.risk >= 1


@dataclass(frozen=True)
class Level:
    """What a bound adds to the divergence: δ, and what the choice on grids costs, in nats."""

    delta: float
    price: float = 0.0


def drawn_bound(
    posterior: Posterior, items: Features, labels: NDArray[np.int64], level: Level
) -> PathSpaceBound:
    """The bound for the classifier that draws its weights from the posterior anew for every item."""
    errors = drawn_errors(posterior.outputs(items), labels, posterior.variances(items))
    return PathSpaceBound(
        "pac-bayes-drawn",
        SOURCE,
        empirical=float(errors.mean()) + QUADRATURE_ERROR,
        divergence=posterior.divergence,
        price=level.price,
        confidence=-math.log(level.delta),
        factor=1.0,
        margin_factor=None,
        items=len(labels),
    )


def mean_bound(
    posterior: Posterior, items: Features, labels: NDArray[np.int64], level: Level, c: float
) -> PathSpaceBound:
    """The bound for the posterior's mean, at one c of `MARGIN_FACTORS`.

    Where the mean errs at x some difference H_y − H_j of the drawn outputs has mean at most 0 and
    variance 2 v(x) ≤ 2 s² K(x, x), so it is at most c √2 s √K(x, x) with probability Φ(c) or more.
    That threshold does not depend on the posterior: R(mean) ≤ P(drawn margin ≤ threshold) / Φ(c), and
    the right side is a risk of drawn classifiers.
    """
    thresholds = c * math.sqrt(2) * posterior.scale * np.sqrt(items.squares)
    outputs, variances = posterior.outputs(items), posterior.variances(items)
    errors = drawn_errors(outputs, labels, variances, thresholds)
    return PathSpaceBound(
        "pac-bayes-mean",
        MEAN_SOURCE,
        empirical=float(errors.mean()) + QUADRATURE_ERROR,
        divergence=posterior.divergence,
        price=level.price,
        confidence=-math.log(level.delta),
        factor=1 / float(ndtr(c)),
        margin_factor=c,
        items=len(labels),
    )
