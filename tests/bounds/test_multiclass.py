"""The measured margin bounds: by hand, in order, and simulated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.multiclass import (
    CONSTANTS,
    STEPS_PER_OCTAVE,
    constants_for,
    margin_bound,
    ramp_loss,
    share_of_delta,
)

BY_NAME = {constant.name: constant for constant in CONSTANTS}


def test_ramp_loss_by_hand() -> None:
    margins = np.array([-1.0, 0.0, 0.25, 0.5, 1.0, 9.0])
    assert ramp_loss(margins, 1.0) == pytest.approx((1 + 1 + 0.75 + 0.5 + 0 + 0) / 6)
    assert ramp_loss(margins, 1e-9) == pytest.approx(2 / 6)


def test_shares_of_delta_sum_to_one() -> None:
    shares = [share_of_delta(step) for step in range(-200_000, 200_001)]
    # the rest of the series is below 2/200 000
    assert math.fsum(shares) == pytest.approx(1, abs=1e-5)
    assert math.fsum(shares) < 1


def test_one_grid_point_by_hand() -> None:
    margins = np.array([0.5, 1.5, 2.5, 3.5])
    bound = margin_bound(margins, BY_NAME["maurer"], 4, 3.0, 0.5, 0.1, unit=0.5, steps=[4])
    # γ = 0.5 · 2 = 1, ρ = 3
    assert bound.rho == pytest.approx(3.0)
    assert bound.margin_loss == pytest.approx((1 - 0.5 / 3 + 0.5 + 1 - 2.5 / 3 + 0) / 4)
    assert bound.rademacher == pytest.approx(4 * 2 * 0.5 * 3.0 / (3.0 * 2))
    total = math.pi**2 / 3 - 1
    assert bound.price == pytest.approx(math.log(total * 25))
    assert bound.confidence == pytest.approx(3 * math.sqrt(math.log(total * 25 / 0.1) / 8))
    assert bound.risk == pytest.approx(bound.margin_loss + bound.rademacher + bound.confidence)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_factors(classes: int) -> None:
    factors = {c.name: c.factor(classes) for c in constants_for(classes)}
    assert factors["koltchinskii-panchenko"] == 2 * classes**2
    assert factors["kuznetsov-mohri-syed"] == 4 * classes
    assert factors["maurer"] == pytest.approx(4 * math.sqrt(classes))
    assert ("binary" in factors) == (classes == 2)


@given(
    st.lists(st.floats(0.01, 10), min_size=2, max_size=12),
    st.floats(0.01, 100),
    st.integers(0, 2**32 - 1),
)
def test_maurer_is_never_above_the_others(
    norms: list[float], feature_norm: float, seed: int
) -> None:
    """(Σ‖u_k‖²)^½ √d_y ≤ d_y max‖u_k‖, and 4 d_y ≤ 2 d_y² from two classes on."""
    margins = np.random.default_rng(seed).normal(1, 1, 50)
    classes = len(norms)
    radius = {"max": max(norms), "frobenius": math.hypot(*norms)}
    # margins scale with C on the grid, so compare at equal ρ: complexities at ρ = 1
    terms = {
        c.name: c.factor(classes) * radius[c.norm] * feature_norm
        for c in constants_for(classes)
        if c.norm in radius
    }
    assert terms["maurer"] <= terms["kuznetsov-mohri-syed"] * (1 + 1e-12)
    assert terms["kuznetsov-mohri-syed"] <= terms["koltchinskii-panchenko"] * (1 + 1e-12)
    assert len(margins) == 50


@given(st.floats(1e-6, 1e6), st.sampled_from(CONSTANTS[:3]))
def test_scale_does_not_matter(scale: float, constant: object) -> None:
    """Outputs and weights times s: the same bound."""
    assert isinstance(constant, type(CONSTANTS[0]))
    margins = np.random.default_rng(0).normal(1, 1, 200)
    one = margin_bound(margins, constant, 3, 2.0, 0.3, 0.05)
    two = margin_bound(margins * scale, constant, 3, 2.0 * scale, 0.3, 0.05)
    assert two.risk == pytest.approx(one.risk, rel=1e-9)


def test_tightens_with_items_and_loosens_with_confidence() -> None:
    margins = np.random.default_rng(1).normal(1, 1, 500)
    constant = BY_NAME["maurer"]
    one = margin_bound(margins, constant, 3, 1.0, 0.3, 0.05).risk
    assert margin_bound(np.tile(margins, 4), constant, 3, 1.0, 0.3, 0.05).risk < one
    assert margin_bound(margins, constant, 3, 1.0, 0.3, 0.005).risk > one
    assert margin_bound(margins, constant, 3, 2.0, 0.3, 0.05).risk > one


def test_a_radius_of_zero_leaves_the_error_and_the_confidence() -> None:
    margins = np.array([1.0] * 900 + [-1.0] * 100)
    bound = margin_bound(margins, BY_NAME["binary"], 2, 0.0, 1.0, 0.05)
    assert bound.margin_loss == pytest.approx(0.1)
    assert bound.rademacher < 0.5
    assert math.isfinite(bound.risk)
    assert bound.rho / STEPS_PER_OCTAVE >= 0


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_miss_rate(classes: int) -> None:
    """Least squares on few items in few dimensions, where overfitting is worst: misses ≤ δ.

    The bound holds for the minimiser although it was fitted on the very items.
    """
    random, delta, misses, rounds = np.random.default_rng(7), 0.2, 0, 400
    tightest = math.inf
    for _ in range(rounds):
        centres = random.normal(0, 1, (classes, 6)) * 1.2

        def draw(count: int, at: np.ndarray = centres) -> tuple[np.ndarray, np.ndarray]:
            labels = random.integers(classes, size=count)
            return at[labels] + random.normal(0, 1, (count, 6)), labels

        x, y = draw(4000)
        w = np.linalg.lstsq(x, np.eye(classes)[y] - 1 / classes, rcond=None)[0]
        test, truth = draw(20_000)
        risk = (np.argmax(test @ w, 1) != truth).mean()
        scores = x @ w
        own = scores[np.arange(len(y)), y]
        rest = np.where(np.eye(classes, dtype=bool)[y], -np.inf, scores).max(1)
        norms = {
            "max": np.linalg.norm(w, axis=0).max(),
            "frobenius": np.linalg.norm(w),
            "difference": np.linalg.norm(w[:, 1] - w[:, 0]),
        }
        size = math.sqrt((x**2).sum(1).mean())
        bounds = [
            margin_bound(own - rest, c, classes, norms[c.norm], size, delta)
            for c in constants_for(classes)
        ]
        misses += any(bound.risk < risk for bound in bounds)
        tightest = min(tightest, min(bound.risk for bound in bounds))
    assert misses <= delta * rounds
    # and they say something, or missing nothing would be no feat
    assert tightest < 1
