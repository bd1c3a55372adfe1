"""The certified distance of a mean of vectors: simulated, by hand, and monotone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.bernstein import FeatureMoments, certified_beta1
from gencheck.bounds.feature_means import MeanDistance, MeanMoments, certified_mean_distance
from gencheck.bounds.magnitude import Magnitude

of = Magnitude.of
levels = st.floats(0.05, 30)


class Finite:
    """A distribution on finitely many vectors of length at most 1."""

    def __init__(self, seed: int, points: int, size: int, rare: bool) -> None:
        random = np.random.default_rng(seed)
        x = random.standard_normal((points, size))
        self.x = x / np.linalg.norm(x, axis=1, keepdims=True)
        self.p = np.full(points, 1 / points)
        if rare:
            # all but one of the points near the origin: the variance is the far one's
            self.x[1:] *= 0.05
            self.p = np.r_[0.02, np.full(points - 1, 0.98 / (points - 1))]
        self.mean = self.p @ self.x
        self.spread = math.sqrt(float(self.p @ ((self.x - self.mean) ** 2).sum(1)))

    def certified(self, counts: np.ndarray, level: float) -> MeanDistance:
        count = int(counts.sum())
        shares, squares = counts / count, (self.x**2).sum(1)
        mean = shares @ self.x
        variance = float(shares @ ((self.x - mean) ** 2).sum(1)) * count / (count - 1)

        def top(weights: np.ndarray) -> Magnitude:
            return of(
                max(0.0, float(np.linalg.eigvalsh(self.x.T @ (weights[:, None] * self.x))[-1]))
            )

        vectors = FeatureMoments(
            count=count,
            log_paths=math.log(self.x.shape[1]),
            square_bound=of(1.0),
            second=top(shares * squares),
            fourth=of(float(shares @ squares**2)),
        )
        return certified_mean_distance(MeanMoments(vectors, of(variance), top(shares)), level)


CASES = [(8, 3, False), (8, 3, True), (60, 40, False), (3, 2, False)]


@pytest.mark.slow
@pytest.mark.parametrize(("points", "size", "rare"), CASES)
@pytest.mark.parametrize("delta", [0.05, 0.5])
def test_it_misses_at_most_delta(points: int, size: int, rare: bool, delta: float) -> None:
    law, m, rounds = Finite(0, points, size, rare), 80, 1000
    missed = low = spread_missed = 0
    for counts in np.random.default_rng(1).multinomial(m, law.p, rounds):
        found = law.certified(counts, -math.log(delta))
        distance = float(np.linalg.norm(law.mean - counts / m @ law.x))
        missed += distance > float(found.value)
        low += distance > 0.15 * float(found.value)
        spread_missed += law.spread > float(found.deviation) * (1 + 1e-12)
    slack = 3 * math.sqrt(delta * (1 - delta) / rounds)
    assert missed / rounds <= delta + slack
    assert spread_missed / rounds <= 0.1 * delta + 3 * math.sqrt(0.1 * delta / rounds)
    # the simulation can fail: a seventh of the bound would promise too much
    if not rare:
        assert low / rounds > delta + slack


def moments(m: int, variance: float, direction: float) -> MeanMoments:
    """Of vectors whose squares are all near `variance`, in units of b² = 1."""
    fourth = min(1.0, max(variance**2, direction))
    vectors = FeatureMoments(m, math.log(50), of(1.0), of(direction), of(fourth))
    return MeanMoments(vectors, of(variance), of(direction))


def test_the_formula_by_hand() -> None:
    m, level = 4000, 3.0
    sample = moments(m, 0.25, 0.02)
    found = certified_mean_distance(sample, level)
    spread = 0.5 + 2 * math.sqrt(2 * (level + math.log(10)) / (m - 1))
    weak = 0.02 + float(certified_beta1(sample.vectors, level + math.log(10)).value)
    nats, mean = level - math.log(0.8), spread / math.sqrt(m)
    expected = mean + math.sqrt(2 * nats * (weak + 4 * mean) / m) + 2 * nats / (3 * m)
    assert float(found.deviation) == pytest.approx(spread)
    assert float(found.direction) == pytest.approx(weak)
    assert float(found.value) == pytest.approx(expected)


def test_many_directions_cost_no_level() -> None:
    """With the variance spread thin, ten times the nats add little to σ/√m."""
    m = 10**8
    few, many = (float(certified_mean_distance(moments(m, 1.0, 1e-3), x).value) for x in (3, 30))
    assert few < 1.2 / math.sqrt(m)
    assert many < 1.4 / math.sqrt(m)


@given(st.integers(2, 10**6), st.integers(1, 10**6), levels, levels, st.floats(1e-6, 1))
def test_it_falls_with_items_and_delta(
    m: int, more: int, level: float, extra: float, variance: float
) -> None:
    base = float(certified_mean_distance(moments(m, variance, variance / 3), level).value)
    slack = 1 + 1e-9
    longer = certified_mean_distance(moments(m + more, variance, variance / 3), level)
    surer = certified_mean_distance(moments(m, variance, variance / 3), level + extra)
    wider = certified_mean_distance(moments(m, min(1.0, 2 * variance), variance / 3), level)
    assert float(longer.value) <= base * slack
    assert float(surer.value) * slack >= base
    assert float(wider.value) * slack >= base


def test_one_item_leaves_the_worst_case_and_no_range_of_floats_is_left() -> None:
    assert float(certified_mean_distance(moments(1, 0.0, 0.0), 3.0).deviation) == 1.0
    sample = moments(500, 0.25, 0.05)
    base = certified_mean_distance(sample, 3.0).value
    huge, square = Magnitude.from_log2(5000.0), Magnitude.from_log2(10000.0)
    vectors = sample.vectors
    far = MeanMoments(
        FeatureMoments(
            500,
            vectors.log_paths,
            square_bound=square,
            second=vectors.second * square * square,
            fourth=vectors.fourth * square * square,
        ),
        sample.variance * square,
        sample.direction * square,
    )
    found = certified_mean_distance(far, 3.0).value
    assert found.log10() == pytest.approx((base * huge).log10(), rel=1e-12)
