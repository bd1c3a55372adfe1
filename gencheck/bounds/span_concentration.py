"""The data-dependent bound where the features have finitely many coordinates: every term from the sample.

φ(x) are the coordinates of an item's path features in the span of other items', and r = y − h⁰(x) what
a network h⁰ leaves of its one-hot target, or the target itself where h⁰ = 0. Neither φ nor h⁰ has seen
the m items. For all W at once, h = h⁰ + Wᵀφ,

    E‖Wᵀφ − r‖² ≤ mean ‖Wᵀφ − r‖² + β1 ‖W‖² + 2 ‖V‖ ‖W‖ + β3                          (Frobenius norms)

with β1 ≥ λ_max(E[φφᵀ] − mean), ‖V‖ ≥ ‖E[φrᵀ] − mean‖, β3 ≥ E‖r‖² − mean: the bound of the source with
Hölder's inequality at 2 and 2. It needs no range of inputs: let R² and ρ² be numbers that the m items
did not decide. An item with ‖φ‖² > R² or ‖r‖² > ρ² is *outside*; φ and r are 0 there, and it counts as
an error. As an arg-max that is wrong costs at least ½ in squared loss,

    R_01 ≤ 2 (E[loss inside] + ½ P(outside)),

where the deviation of ½ P(outside) from its share is part of β3's. (``certified_beta1``,
``certified_mean_distance``, Maurer & Pontil's empirical Bernstein inequality; a third of δ each.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from gencheck.bounds.bernstein import FeatureMoments, certified_beta1
from gencheck.bounds.feature_means import MeanMoments, certified_mean_distance
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.validation import empirical_bernstein_slack

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# λ of ridge regression in units of the mean of ‖φ‖²: the bound holds for all W, so any may be tried.
_PENALTIES = tuple(10 ** (j / 4) for j in range(-20, 9))
_TOLERANCE = 1e-6
# Coordinates up to which the matrix itself is formed.
_DENSE = 64


@dataclass(frozen=True)
class Radii:
    """R² and ρ²: what ‖φ‖² and ‖r‖² may be inside."""

    feature: float
    residual: float


@dataclass(frozen=True)
class SpanCertificate:
    """The bound at the W of ridge regression that it likes best.

    Attributes
    ----------
    weights
        W, shape (d, K).
    penalty
        λ in units of the mean of ‖φ‖²; infinite for W = 0.
    sample_risk
        The mean of ‖Wᵀφ − r‖² over the items, 0 for those outside.
    beta1, v, beta3
        Upper ends, all of which hold at once with probability 1 − δ.
    norm
        ‖W‖.
    outside
        The share of the items outside.
    """

    weights: Array
    penalty: float
    sample_risk: float
    beta1: float
    v: float
    beta3: float
    norm: float
    outside: float

    @property
    def beta1_term(self) -> float:
        """β1 ‖W‖²."""
        return self.beta1 * self.norm**2

    @property
    def v_term(self) -> float:
        """2 ‖V‖ ‖W‖."""
        return 2 * self.v * self.norm

    @property
    def zero_one(self) -> float:
        """The upper bound on the 0-1 risk; not clamped."""
        terms = self.beta1_term + self.v_term + self.beta3
        return 2 * (self.sample_risk + terms + self.outside / 2)


def span_certificate(
    features: Array, residuals: Array, radii: Radii, delta: float
) -> SpanCertificate:
    """The least bound over ridge solutions; it holds with probability 1 − δ for all of them.

    Parameters
    ----------
    features, residuals
        φ and r of the m items, shape (m, d) and (m, K), float64.
    """
    count = len(features)
    squares, sizes = (features**2).sum(1), (residuals**2).sum(1)
    inside = (squares <= radii.feature) & (sizes <= radii.residual)
    phi, r = features * inside[:, None], residuals * inside[:, None]
    squares, sizes = squares * inside, sizes * inside
    level = math.log(3 / delta)
    moments = FeatureMoments(
        count=count,
        log_paths=math.log(phi.shape[1]),
        square_bound=Magnitude.of(radii.feature),
        second=Magnitude.of(
            float(np.linalg.eigvalsh(phi.T @ (squares[:, None] * phi))[-1]) / count
        ),
        fourth=Magnitude.of(float((squares**2).mean())),
    )
    beta1 = float(certified_beta1(moments, level).value)
    v = float(certified_mean_distance(_joint(phi, r, squares * sizes, radii), level).value)
    beta3 = _mean_deviation(sizes + (~inside) / 2, max(radii.residual, 0.5), level)
    outside = float((~inside).mean())

    def at(penalty: float, weights: Array) -> SpanCertificate:
        risk = float(((phi @ weights - r) ** 2).sum(1).mean())
        norm = float(np.linalg.norm(weights))
        return SpanCertificate(
            weights, penalty, risk, beta1=beta1, v=v, beta3=beta3, norm=norm, outside=outside
        )

    values, vectors = np.linalg.eigh(phi.T @ phi / count)
    turned, unit = vectors.T @ (phi.T @ r) / count, float(squares.mean())
    tried = [at(math.inf, np.zeros((phi.shape[1], r.shape[1])))]
    for penalty in _PENALTIES if unit > 0 else ():
        shrunk = turned / (values.clip(min=0) + penalty * unit)[:, None]
        tried.append(at(penalty, vectors @ shrunk))
    return min(tried, key=lambda found: found.zero_one)


def _joint(phi: Array, r: Array, squares: Array, radii: Radii) -> MeanMoments:
    """The moments of the vectors φ rᵀ, whose squared lengths are `squares`."""
    count, shape = len(phi), (phi.shape[1], r.shape[1])
    mean = phi.T @ r / count

    def weighted(weights: Array) -> Callable[[Array], Array]:
        def product(vector: Array) -> Array:
            along = ((phi @ vector.reshape(shape)) * r).sum(1) * weights
            image: Array = (phi.T @ (along[:, None] * r)).reshape(-1) / count
            return image

        return product

    size = math.prod(shape)
    variance = (float(squares.mean()) - float((mean**2).sum())) * count / max(count - 1, 1)
    vectors = FeatureMoments(
        count=count,
        log_paths=math.log(size),
        square_bound=Magnitude.of(radii.feature * radii.residual),
        second=Magnitude.of(_largest(weighted(squares), size)),
        fourth=Magnitude.of(float((squares**2).mean())),
    )
    direction = _largest(weighted(np.ones(count)), size)
    return MeanMoments(vectors, Magnitude.of(max(variance, 0.0)), Magnitude.of(direction))


def _largest(product: Callable[[Array], Array], size: int) -> float:
    """The largest eigenvalue of a positive semidefinite map, its residual added."""
    start = np.random.default_rng(0).standard_normal(size)
    if not product(start).any():
        return 0.0
    if size <= _DENSE:
        return float(np.linalg.eigvalsh(np.stack([product(e) for e in np.eye(size)]))[-1])
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=_TOLERANCE)
    value, vector = float(values[0]), vectors[:, 0]
    return value + float(np.linalg.norm(product(vector) - value * vector))


def _mean_deviation(values: Array, width: float, level: float) -> float:
    """E X − mean, at most, for values in [0, width]."""
    if len(values) < 2:
        return width
    return empirical_bernstein_slack(float(values.var(ddof=1)), len(values), level, width)
