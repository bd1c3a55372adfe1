"""The certified distance of joint means: how it grows, and how often it misses in simulation."""

import math

import numpy as np
import pytest

from gencheck.bounds.label_means import certified_label_means, certified_mean_square


def test_more_items_tighten_and_more_confidence_loosens() -> None:
    values = [certified_label_means(m, 3.0, 1.0, 0.1, 3.0) for m in (10, 100, 1000)]
    assert values == sorted(values, reverse=True)
    values = [certified_label_means(100, 3.0, 1.0, 0.1, level) for level in (0.1, 1.0, 10.0)]
    assert values == sorted(values)
    assert certified_label_means(10**12, 3.0, 1.0, 0.1, 3.0) < 1e-5


def test_its_units_are_those_of_the_features() -> None:
    one = certified_label_means(50, 3.0, 1.0, 0.1, 2.0)
    assert certified_label_means(50, 300.0, 100.0, 10.0, 2.0) == pytest.approx(10 * one)


def test_the_mean_square_by_its_equation() -> None:
    found = certified_mean_square(40, 3.0, 0.7, 2.0)
    assert found == pytest.approx(0.7 + math.sqrt(2 * 3.0 * found * 2.0 / 40), rel=1e-12)


@pytest.mark.parametrize("skew", [0.0, 3.0])
def test_miss_rate(skew: float) -> None:
    """At most δ of 4000 replicates miss; a fraction of the bound would miss, so it is no idle one."""
    random, delta, m, rounds = np.random.default_rng(0), 0.3, 25, 4000
    z = random.normal(0, 1, (60, 4)) * np.exp(skew * random.uniform(-1, 0, (60, 1)))
    labels = np.eye(3)[random.integers(3, size=60)]
    features = (labels[:, :, None] * z[:, None, :]).reshape(60, -1)
    squares = (z**2).sum(1)
    bound, mean = squares.max(), squares.mean()
    top = np.linalg.eigvalsh(z.T @ z / 60)[-1]
    drawn = random.integers(60, size=(rounds, m))
    apart = np.linalg.norm(features[drawn].mean(1) - features.mean(0), axis=1)
    certified = certified_label_means(m, bound, mean, top, -math.log(delta))
    assert (apart > certified).mean() <= delta
    assert (apart > certified / 4).mean() > delta
    means = squares[drawn].mean(1)
    ends = np.array([certified_mean_square(m, bound, one, -math.log(delta)) for one in means])
    assert (ends < mean).mean() <= delta
    assert (means < mean).mean() > delta
