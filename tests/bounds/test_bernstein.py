"""The bounds on the betas against the distribution: exact probabilities, formulas, monotonicity."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.stats import multinomial

from gencheck.bounds.bernstein import (
    FeatureMoments,
    certified_beta1,
    certified_beta2,
    certified_beta3,
    intrinsic_exponent,
)
from gencheck.bounds.magnitude import Magnitude

levels = st.floats(0.05, 50)
unit = st.floats(1e-6, 1)


def g(s: float) -> float:
    """The tail of the intrinsic-dimension form, over its dimension."""
    return (math.exp(s / 2) - 1) / (math.exp(s) - s - 1)


def moments(count: int, second: float, fourth: float, paths: float = 20.0) -> FeatureMoments:
    of = Magnitude.of
    return FeatureMoments(count, math.log(paths), of(1.0), of(second), of(fourth))


class Finite:
    """A distribution on three vectors z of the unit ball, with its moments."""

    def __init__(self, seed: int, paths: int = 3, rare: bool = False) -> None:
        random = np.random.default_rng(seed)
        z = random.standard_normal((3, paths))
        self.z = z / np.linalg.norm(z, axis=1, keepdims=True) * random.uniform(0.3, 1, (3, 1))
        self.p = np.array([0.96, 0.03, 0.01]) if rare else random.dirichlet(np.ones(3))
        if rare:
            self.z = self.z / np.linalg.norm(self.z, axis=1, keepdims=True) * [[0.1], [1], [1]]
        self.squares = (self.z**2).sum(1)
        self.moment = self.weighted(self.p)
        self.fourfold = self.weighted(self.p * self.squares)

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        return self.z.T @ (weights[:, None] * self.z)

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, float]]:
        """Every sample of so many items, as shares of the three vectors, with its probability."""
        for a in range(count + 1):
            for b in range(count + 1 - a):
                counts = np.array([a, b, count - a - b])
                yield counts / count, float(multinomial.pmf(counts, count, self.p))

    def beta1(self, shares: np.ndarray) -> float:
        return float(np.linalg.eigvalsh(self.moment - self.weighted(shares))[-1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("theta", [0.1, 1.0, 3.0])
def test_the_bound_on_matrix_cumulants(seed: int, theta: float) -> None:
    law = Finite(seed)
    for m in (1, 2, 3):
        mean = 0.0
        for shares, probability in law.samples(m):
            mean += probability * np.trace(expm(theta * m * (law.moment - law.weighted(shares))))
        assert mean <= np.trace(expm(m * theta**2 * law.fourfold / 2)) * (1 + 1e-12)


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_both_tails_hold_for_exact_probabilities(seed: int, rare: bool) -> None:
    law, m = Finite(seed, rare=rare), 24
    v, t = float(np.linalg.eigvalsh(law.fourfold)[-1]), float(np.trace(law.fourfold))
    values, weights = zip(*((law.beta1(s), p) for s, p in law.samples(m)), strict=True)
    order = np.argsort(values)[::-1]
    beta1, tail = np.array(values)[order], np.cumsum(np.array(weights)[order])
    used = 0.0
    for epsilon, probability in zip(beta1, tail, strict=True):
        if epsilon <= 1e-12:
            break
        s = m * epsilon**2 / v
        limit = min(3 * math.exp(-s / 2), t / v * g(s))
        assert probability <= limit * (1 + 1e-9)
        used = max(used, probability / limit)
    assert used > 0.01


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("delta", [0.05, 0.5])
def test_beta1_misses_at_most_delta_exactly(seed: int, rare: bool, delta: float) -> None:
    law, m = Finite(seed, rare=rare), 20
    missed = 0.0
    for shares, probability in law.samples(m):
        second = float(np.linalg.eigvalsh(law.weighted(shares * law.squares))[-1])
        fourth = float(shares @ law.squares**2)
        bound = certified_beta1(moments(m, max(second, 0), fourth, 3.0), -math.log(delta))
        missed += probability * (law.beta1(shares) > float(bound.value))
    assert missed <= delta


@given(st.floats(0, 30), levels)
def test_the_exponent_solves_its_equation(log_intrinsic: float, level: float) -> None:
    s = intrinsic_exponent(log_intrinsic, level)
    assert math.log(g(s)) + log_intrinsic + level == pytest.approx(0, abs=1e-8)
    # Tropp's rounding of g to 4 e^{−s/2}
    assert s <= 2 * (math.log(4) + log_intrinsic + level)


@pytest.mark.parametrize("beta", [1, 2, 3])
def test_the_bounds_are_close_to_what_is_missed(beta: int) -> None:
    """One path, x and y of 0 and 1, many items: half of each bound would promise too much."""
    m, share, delta, rounds = 100_000, 0.1 if beta == 1 else 0.5, 0.02, 4000
    counts = np.random.default_rng(beta).binomial(m, share, rounds)
    level = -math.log(delta)

    def bound(mean: float) -> float:
        if beta == 1:
            return float(certified_beta1(moments(m, mean, mean, 1.0), level).value)
        if beta == 2:
            return certified_beta2(m, 0.0, 1, 1, (0.0, 1.0), mean, level).value
        return certified_beta3(m, 1.0, level)

    bounds = {count: bound(count / m) for count in set(counts.tolist())}
    deviations = share - counts / m
    if beta == 2:
        deviations = np.abs(deviations)
    ends = np.array([bounds[count] for count in counts.tolist()])
    allowed = delta + 3 * math.sqrt(delta * (1 - delta) / rounds)
    assert 0 < np.mean(deviations > ends) <= allowed
    assert np.mean(deviations > ends / 2) > allowed


def test_s_times_g_decreases() -> None:
    grid = np.geomspace(1e-2, 200, 4000)
    assert np.all(np.diff([s * g(s) for s in grid]) < 0)


@given(levels, unit, unit)
def test_never_above_the_matrix_bernstein_inequality(
    level: float, second: float, part: float
) -> None:
    """With V known, which a sample so large amounts to, even √(2VL/m) without 2CL/(3m) is larger."""
    fourth = min(1.0, second / part)
    exact = FeatureMoments(
        10**18, math.log(50), Magnitude.of(1.0), Magnitude.of(second), Magnitude.of(fourth)
    )
    ours = certified_beta1(exact, level).forms
    for name, dimension in (("dimension", 50.0), ("intrinsic-dimension", 4 * fourth / second)):
        nats = math.log(dimension) + level - math.log(0.8)
        bernstein = math.sqrt(2 * second * nats / 1e18)
        assert float(ours[name]) <= bernstein * (1 + 1e-3)


@given(st.integers(1, 10**6), st.integers(1, 10**6), levels, levels, unit, unit)
def test_beta1_falls_with_items_and_delta(
    m: int, more: int, level: float, extra: float, second: float, part: float
) -> None:
    fourth = min(1.0, second / part)
    base = certified_beta1(moments(m, second, fourth), level)
    slack = 1 + 1e-9
    for name, value in base.forms.items():
        longer = certified_beta1(moments(m + more, second, fourth), level).forms[name]
        surer = certified_beta1(moments(m, second, fourth), level + extra).forms[name]
        wilder = certified_beta1(moments(m, min(1.0, 2 * second), fourth), level).forms[name]
        assert float(longer) <= float(value) * slack
        assert float(surer) * slack >= float(value)
        assert float(wilder) * slack >= float(value)
    assert float(base.value) == min(map(float, base.forms.values()))


def test_the_second_moment_is_a_fixed_point() -> None:
    """V = V̂ + B √(V s/m), solved by hand for the form with d_z."""
    m, level = 5000, 3.0
    nats = 2 * (math.log(20) + level + math.log(10))
    half = math.sqrt(nats / m) / 2
    v = (half + math.sqrt(half**2 + 0.05)) ** 2
    expected = math.sqrt(2 * (math.log(20) + level - math.log(0.8)) * v / m)
    bound = certified_beta1(moments(m, 0.05, 0.2), level)
    assert float(bound.forms["dimension"]) == pytest.approx(expected, rel=1e-12)


def test_few_items_leave_the_worst_case() -> None:
    """V and T at their largest, B² and B²: intrinsic dimension 1."""
    bound = certified_beta1(moments(1, 1.0, 1.0), 3.0)
    s = intrinsic_exponent(0.0, 3.0 - math.log(0.8))
    assert bound.form == "intrinsic-dimension"
    assert float(bound.value) == pytest.approx(math.sqrt(s))


def test_beta1_past_the_range_of_floats() -> None:
    """Every form is homogeneous: B times as large features squared, B times the bound."""
    huge = Magnitude.from_log2(5000.0)
    plain = replace(moments(1000, 0.02, 0.1), log_paths=1e6)
    deep = FeatureMoments(1000, 1e6, huge, huge * huge * plain.second, huge * huge * plain.fourth)
    expected = certified_beta1(plain, 3.0)
    bound = certified_beta1(deep, 3.0)
    assert bound.form == expected.form == "intrinsic-dimension"
    for name, value in bound.forms.items():
        down = value * Magnitude.from_log2(-5000.0)
        assert float(down) == pytest.approx(float(expected.forms[name]), rel=1e-9)


def test_features_that_are_zero() -> None:
    nothing = Magnitude.of(0.0)
    none = certified_beta1(FeatureMoments(10, 1.0, nothing, nothing, nothing), 3.0)
    assert float(none.value) == 0


def test_beta2_is_its_formula() -> None:
    m, level = 10_000, -math.log(0.025)
    bound = certified_beta2(m, math.log(1e11), 10, 785, (0.0, 1.0), 0.1, level)
    moment = math.log(10 * 785 * 10 / 0.025)
    half = math.sqrt(moment / (2 * m))
    variance = (half + math.sqrt(half**2 + 0.1)) ** 2
    nats = math.log(2 * 10 * 1e11 / (0.9 * 0.025))
    linear = nats / (3 * m)
    assert bound.variance == pytest.approx(variance)
    assert bound.value == pytest.approx(linear + math.sqrt(linear**2 + 2 * variance * nats / m))
    assert bound.form == "bernstein"
    # below the inversion in two terms
    assert bound.value < 2 * linear + math.sqrt(2 * variance * nats / m)


def test_beta2_with_hoeffding_where_the_variance_is_large() -> None:
    bound = certified_beta2(100, math.log(30), 2, 7, (-2.0, 1.0), 4.0, 3.0)
    nats = 3.0 + math.log(4 * 30) - math.log(0.9)
    assert bound.form == "hoeffding"
    assert bound.variance == pytest.approx(2.25)
    assert bound.value == pytest.approx(3 * math.sqrt(nats / 200))


@given(st.integers(1, 10**6), st.integers(1, 10**6), levels, levels, unit)
def test_beta2_and_beta3_fall_with_items_and_delta(
    m: int, more: int, level: float, extra: float, second: float
) -> None:
    def beta2(count: int, nats: float) -> float:
        return certified_beta2(count, 25.0, 10, 785, (0.0, 1.0), second, nats).value

    assert beta2(m + more, level) <= beta2(m, level) <= beta2(m, level + extra)
    beta3 = certified_beta3(m, 2.0, level)
    assert certified_beta3(m + more, 2.0, level) <= beta3 <= certified_beta3(m, 2.0, level + extra)
    assert beta3 == pytest.approx(2 * math.sqrt(level / (2 * m)))


def test_a_million_nats_of_paths() -> None:
    bound = certified_beta2(100, 1e6, 10, 785, (0.0, 1.0), 0.1, 3.0)
    assert bound.value == pytest.approx(math.sqrt(1e6 / 200), rel=1e-4)
