"""The classical bounds: figures worked by hand, limits, and monotonicity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.classical import rademacher_bound, robustness_bound, stability_bound
from gencheck.bounds.grid import grid_index, log_grid_price
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.path_norm_margin import chain_rademacher, graph_complexity, graph_expected_gap
from gencheck.bounds.spectral_margin import spectral_complexity, spectral_margin_rademacher
from gencheck.bounds.vc import log_growth, vc_bound, vc_dimension

counts = st.integers(2, 10**7)
sizes = st.floats(1e-3, 1e3)


def test_rademacher_by_hand() -> None:
    # 0.1 + 2 · 0.05 + 3 √(ln 40 / 2000), and √(ln 20 / 2000) for the expected complexity
    level = math.log(20)
    bound = rademacher_bound(0.1, 0.05, 1000, level)
    assert bound.risk == pytest.approx(0.1 + 0.1 + 3 * 0.0429470)
    expected = rademacher_bound(0.1, 0.05, 1000, level, empirical=False)
    assert expected.risk == pytest.approx(0.2 + 0.0387023)
    assert expected.slack == pytest.approx(expected.risk - 0.1)


def test_stability_and_robustness_by_hand() -> None:
    # √(ln 20 / 200) = 0.122387; 0.1 + 0.02 + (4 · 100 · 0.01 + 1) · 0.122387
    assert stability_bound(0.1, 0.01, 100, 0.05).risk == pytest.approx(0.12 + 5 * 0.1223873)
    # √((2 · 10 ln 2 + 2 ln 20) / 100) = √0.198543
    assert robustness_bound(0.1, 0.2, 10, 100, 0.05).risk == pytest.approx(
        0.3 + 0.4455820, rel=1e-5
    )
    assert robustness_bound(0.1, 1.0, 10, 100, 0.05).vacuous


def test_vc_dimension_by_hand() -> None:
    # one layer, one unit, 3 weights: 1 + 3 log2(4e log2(2e))
    expected = 1 + 3 * math.log2(4 * math.e * math.log2(2 * math.e))
    assert vc_dimension([1], [3]) == pytest.approx(expected)
    # W_1 = 8, W_2 = 8 + 5, R = 1 · 4 + 2 · 1
    inner = 2 * math.e * 6
    assert vc_dimension([4, 1], [8, 5]) == pytest.approx(
        2 + 21 * math.log2(2 * inner * math.log2(inner))
    )


def test_vc_dimension_is_at_least_that_of_halfspaces() -> None:
    """A single unit with d weights and a bias shatters d + 1 points."""
    for inputs in (1, 5, 100):
        assert vc_dimension([1], [inputs + 1]) >= inputs + 1


@pytest.mark.parametrize(("points", "inputs"), [(6, 1), (8, 2), (9, 3)])
def test_growth_is_at_least_the_patterns_of_halfspaces(points: int, inputs: int) -> None:
    """Cover's count of the patterns of affine functions on points in general position."""
    patterns = 2 * sum(math.comb(points - 1, i) for i in range(inputs + 1))
    assert log_growth(inputs + 1, points) >= math.log(patterns) - 1e-12
    assert log_growth(vc_dimension([1], [inputs + 1]), points) >= math.log(patterns) - 1e-12
    assert log_growth(inputs + 1, points) <= points * math.log(2) + 1e-12


def test_growth_of_several_classes() -> None:
    """Patterns of errors of random linear three-class functions: never more than the growth."""
    random = np.random.default_rng(0)
    items = np.c_[random.normal(size=(7, 1)), np.ones(7)]
    labels = random.integers(0, 3, 7)
    scores = np.einsum("ni,fik->fnk", items, random.normal(size=(20_000, 2, 3)))
    wrong = {row.tobytes() for row in scores.argmax(2) != labels}
    assert math.log(len(wrong)) <= log_growth(2, 7, classes=3)
    assert log_growth(2, 10**6, 3) == pytest.approx(3 * log_growth(2, 10**6, 2))


def test_vc_bound_by_hand() -> None:
    growth = 3 * math.log(math.e * 20_000 / 3)
    expected = 0.1 + math.sqrt(8 / 10_000 * (growth + math.log(80)))
    assert vc_bound(0.1, 3, 10_000, 0.05).risk == pytest.approx(expected)


def test_spectral_complexity_by_hand() -> None:
    # 2 · 3 · (1 + 1)^(3/2)
    assert float(spectral_complexity([2, 3], [2, 3])) == pytest.approx(6 * 2**1.5)
    assert float(spectral_complexity([2, 3], [2, 3], [1, 0.5])) == pytest.approx(3 * 2**1.5)
    # a single layer: s (b/s) = b, whatever s
    assert float(spectral_complexity([7.0], [5.0])) == pytest.approx(5.0)


def test_spectral_complexity_of_many_layers_stays_a_number() -> None:
    many = spectral_complexity([10.0] * 400, [10.0] * 400)
    assert many.log10() == pytest.approx(400 + 1.5 * math.log10(400))


def test_spectral_rademacher_is_dudleys_integral() -> None:
    """The closed form against the integral of its covering numbers, by quadrature."""
    m, width, norm, gamma, complexity = 500, 30, 20.0, 0.5, 3.0
    beta = 4 * norm**2 * math.log(2 * width**2) * complexity**2 / gamma**2
    edges = np.geomspace(1 / m, math.sqrt(m), 200_001)
    middles = np.sqrt(edges[1:] * edges[:-1])
    integral = float((np.sqrt(beta) / middles * np.diff(edges)).sum())
    expected = 4 / m / math.sqrt(m) + 12 / m * integral
    value = spectral_margin_rademacher(Magnitude.of(complexity), norm, width, gamma, m)
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_spectral_rademacher_is_above_that_of_linear_functions() -> None:
    """One linear layer with ‖Aᵀ‖_{2,1} ≤ b: E sup Σ ε (h_1 − h_0) / (2γ) in closed form, simulated."""
    random = np.random.default_rng(0)
    items, b, gamma = random.normal(size=(200, 5)), 2.0, 50.0
    signs = random.choice([-1.0, 1.0], size=(500, 200))
    # h_1 − h_0 = ⟨a, x⟩ with ‖a‖ ≤ b; the ramp is linear at so large a margin, slope 1/γ
    actual = float(np.linalg.norm(signs @ items, axis=1).mean()) * b / gamma / 200
    norm = float(np.linalg.norm(items))
    bound = spectral_margin_rademacher(spectral_complexity([b], [b]), norm, 5, gamma, 200)
    assert actual <= float(bound)


def test_path_norm_bounds_by_hand() -> None:
    one = Magnitude.of(1.0)
    value = float(chain_rademacher(one, 2, 1, 1, 10.0, 1.0, 100))
    assert value == pytest.approx(4 * 2 * math.sqrt(2) * 10 / 100)
    # no pools: √(D ln 3 + ln(3 (d_in + 1) d_out))
    assert graph_complexity(2, 9, 5) == pytest.approx(math.sqrt(2 * math.log(3) + math.log(150)))
    # one kind of max-pool, of nine taps
    pooled = math.sqrt(18 * math.log(45) + math.log(2.5 * (3 * 224 * 224 + 1) * 1000))
    assert graph_complexity(18, 3 * 224 * 224, 1000, 1, 9) == pytest.approx(pooled)
    gap = float(graph_expected_gap(one, 2.0, 3.0, 0.5, 100))
    assert gap == pytest.approx(4 * 3 / 10 * 2 * math.sqrt(2) / 0.5)


def test_path_norm_rademacher_is_above_that_of_lasso() -> None:
    """Two classes of linear functions of ℓ1 norm r, whose complexity is r · E max_j |Σ ε x_j| / m."""
    random = np.random.default_rng(0)
    items, r, gamma = random.uniform(-1, 1, size=(300, 8)), 2.0, 100.0
    signs = random.choice([-1.0, 1.0], size=(500, 300))
    # the difference of two outputs has ℓ1 norm 2r at most; slope 1/γ
    actual = 2 * r * float(np.abs(signs @ items).max(1).mean()) / 300 / gamma
    scale = float(np.sqrt((items**2).sum(0)).max())
    assert actual <= float(chain_rademacher(Magnitude.of(r), 2, 1, 8, scale, gamma, 300))
    gap = float(graph_expected_gap(Magnitude.of(2 * r), graph_complexity(1, 8, 2), 1.0, gamma, 300))
    assert 2 * actual <= gap


@given(counts, sizes, sizes)
def test_monotone(m: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    level = math.log(20)
    assert rademacher_bound(0, low, m, level).risk <= rademacher_bound(0, high, m, level).risk
    assert rademacher_bound(0, low, 4 * m, level).slack <= rademacher_bound(0, low, m, level).slack
    assert stability_bound(0, low, m, 0.01).risk > stability_bound(0, low, m, 0.05).risk
    assert robustness_bound(0, low, 2, m, 0.05).risk < robustness_bound(0, low, 3, m, 0.05).risk
    assert vc_bound(0, low, m, 0.05).risk <= vc_bound(0, high, m, 0.05).risk * (1 + 1e-12)
    size = Magnitude.of(low)
    for gamma in (low, high):
        assert float(chain_rademacher(size, 2, 2, 3, 1.0, gamma, m)) >= float(
            chain_rademacher(size, 2, 2, 3, 1.0, 2 * gamma, m)
        )
        assert float(graph_expected_gap(size, 1.0, 1.0, gamma, m)) == pytest.approx(
            2 * float(graph_expected_gap(size, 1.0, 1.0, gamma, 4 * m))
        )


@given(st.floats(1e-200, 1e200), st.integers(1, 16))
def test_the_grid_rounds_up_by_one_step_at_most(value: float, steps: int) -> None:
    index = grid_index(math.log2(value), steps)
    assert 2.0 ** (index / steps) >= value * (1 - 1e-12)
    assert 2.0 ** ((index - 1) / steps) <= value * (1 + 1e-12)


def test_the_grids_prices_are_a_probability() -> None:
    total = sum(math.exp(-log_grid_price(k)) for k in range(-100_000, 100_001))
    # the tail of 1/(k + 1)(k + 2) beyond k is 1/(k + 2)
    assert total == pytest.approx(1 - 2 * (2 / 3) / 100_002, rel=1e-9)
    assert grid_index(-math.inf, 4) == -4000
