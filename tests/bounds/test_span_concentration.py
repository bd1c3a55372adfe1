"""The data-dependent bound in a span: its moments by matrices, its terms and its risk simulated."""

import math

import numpy as np
import pytest

from gencheck.bounds.span_concentration import (
    Radii,
    SpanCertificate,
    _joint,
    span_certificate,
)


class Finite:
    """Items (φ, h⁰, label) on finitely many points, a rare one of them far out."""

    def __init__(self, seed: int, moved: bool, points: int = 12) -> None:
        random = np.random.default_rng(seed)
        self.phi = random.standard_normal((points, 3)) / 2
        self.phi[0] *= 6
        self.labels = random.integers(0, 2, points)
        targets = np.eye(2)[self.labels]
        self.base = (
            targets * 0.8 + random.standard_normal((points, 2)) / 5 if moved else 0 * targets
        )
        self.r = targets - self.base
        self.p = np.r_[0.02, np.full(points - 1, 0.98 / (points - 1))]
        sizes = np.sort((self.r**2).sum(1))
        # the far point is outside, and in one of the cases a second one by its residual
        self.radii = Radii(
            float((self.phi[1:] ** 2).sum(1).max()), float(sizes[-2 if moved else -1])
        )
        self.inside = ((self.phi**2).sum(1) <= self.radii.feature) & (
            (self.r**2).sum(1) <= self.radii.residual
        )

    def certified(self, counts: np.ndarray, delta: float) -> SpanCertificate:
        drawn = np.repeat(np.arange(len(self.p)), counts)
        return span_certificate(self.phi[drawn], self.r[drawn], self.radii, delta)

    def deviations(self, shares: np.ndarray) -> np.ndarray:
        """β1, ‖V‖ and β3 themselves."""
        d = (self.p - shares) * self.inside
        square = np.where(self.inside, (self.r**2).sum(1), 0.5)
        return np.array(
            [
                np.linalg.eigvalsh(self.phi.T @ (d[:, None] * self.phi))[-1],
                np.linalg.norm(self.phi.T @ (d[:, None] * self.r)),
                (self.p - shares) @ square,
            ]
        )

    def error(self, weights: np.ndarray) -> float:
        outputs = self.base + self.phi @ weights
        chosen = outputs[np.arange(len(outputs)), self.labels]
        other = outputs[np.arange(len(outputs)), 1 - self.labels]
        return float(self.p @ (chosen <= other))


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("delta", [0.1, 0.6])
def test_miss_rates(moved: bool, delta: float) -> None:
    """A thousand samples, W chosen on each as greedily as the code does."""
    law, m, rounds = Finite(3, moved), 150, 1000
    missed, low, wrong = np.zeros(3), np.zeros(3), 0
    for counts in np.random.default_rng(0).multinomial(m, law.p, rounds):
        found = law.certified(counts, delta)
        ends = np.array([found.beta1, found.v, found.beta3])
        deviations = law.deviations(counts / m)
        missed += deviations > ends
        low += deviations > ends * [0.25, 0.07, 0.12]
        wrong += law.error(found.weights) > found.zero_one
    slack = 3 * math.sqrt(delta / 3 / rounds)
    assert np.all(missed / rounds <= delta / 3 + slack)
    assert wrong / rounds <= delta + 3 * math.sqrt(delta / rounds)
    # the simulation can fail: a part of each bound would promise too much
    assert np.all((low / rounds > delta / 3 + slack)[: 3 if moved else 2])


@pytest.mark.parametrize("moved", [False, True])
def test_the_terms_add_up_and_no_other_weights_are_better(moved: bool) -> None:
    law = Finite(1, moved)
    counts = np.random.default_rng(0).multinomial(4000, law.p)
    found = law.certified(counts, 0.05)
    shares, inside = counts / 4000, law.inside

    def bound(weights: np.ndarray) -> float:
        losses = ((law.phi @ weights - law.r) ** 2).sum(1)
        norm = float(np.linalg.norm(weights))
        loss = float(shares @ (losses * inside) + shares @ ~inside / 2)
        return 2 * (loss + found.beta1 * norm**2 + 2 * found.v * norm + found.beta3)

    assert found.zero_one == pytest.approx(bound(found.weights))
    assert found.outside == pytest.approx(float(shares @ ~inside))
    assert found.outside > 0
    # the optimum of a convex function along every line through it, up to the grid of λ
    random = np.random.default_rng(5)
    for _ in range(50):
        other = found.weights + random.standard_normal(found.weights.shape) * random.uniform(0, 0.5)
        assert bound(other) > found.zero_one * (1 - 0.02)


@pytest.mark.parametrize("size", [4, 30])
def test_moments_of_the_joint_vectors_are_those_of_the_matrices(size: int) -> None:
    random = np.random.default_rng(2)
    phi, r = random.standard_normal((40, size)), random.standard_normal((40, 3))
    squares = (phi**2).sum(1) * (r**2).sum(1)
    found = _joint(phi, r, squares, Radii(80.0, 20.0))
    x = np.einsum("ia,ik->iak", phi, r).reshape(40, -1)
    assert float(found.direction) == pytest.approx(np.linalg.eigvalsh(x.T @ x / 40)[-1], rel=1e-5)
    fourfold = x.T @ (squares[:, None] * x) / 40
    assert float(found.vectors.second) == pytest.approx(np.linalg.eigvalsh(fourfold)[-1], rel=1e-5)
    assert float(found.variance) == pytest.approx(x.var(0, ddof=1).sum())
    assert float(found.vectors.square_bound) == 1600.0


def test_nothing_inside_is_an_error_on_every_item() -> None:
    phi, r = np.ones((20, 3)), np.ones((20, 2))
    found = span_certificate(phi, r, Radii(0.5, 1.0), 0.05)
    assert found.outside == 1.0
    assert found.norm == 0.0
    assert found.zero_one >= 1.0
    # one item says nothing
    assert span_certificate(phi[:1], r[:1] / 4, Radii(5.0, 1.0), 0.05).zero_one > 1
