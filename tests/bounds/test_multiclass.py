"""The measured margin bounds: by hand, in order, and simulated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.multiclass import (
    CONSTANTS,
    OFFSET_STEPS_PER_OCTAVE,
    STEPS_PER_OCTAVE,
    Ball,
    Constant,
    assumptions,
    constants_for,
    margin_bound,
    margin_unit,
    margins_of,
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


def test_margins_and_their_unit() -> None:
    outputs = np.array([[3.0, 1.0, 2.5], [0.0, 0.0, -1.0]])
    assert margins_of(outputs, np.array([0, 2])) == pytest.approx([0.5, -1.0])
    assert margin_unit(np.array([0.5, -1.0])) == pytest.approx(0.75)
    assert margin_unit(np.array([])) == margin_unit(np.zeros(3)) == 1.0


@pytest.mark.parametrize("offset", [None, 0.7])
def test_every_grid_point_by_hand(offset: float | None) -> None:
    """The least over the grid of γ; with an offset, over γ and ρ wherever ρ/γ is at least the norm."""
    margins = np.array([-0.5, 0.5, 1.5, 2.5, 3.5] * 40)
    constant, classes, radius, size, delta, unit = BY_NAME["maurer"], 4, 0.03, 0.5, 0.1, 0.4
    found = margin_bound(margins, constant, classes, Ball(radius, size, offset, unit), delta)
    risks = []
    steps = STEPS_PER_OCTAVE if offset is None else OFFSET_STEPS_PER_OCTAVE
    for j in range(-60, 61):
        gamma = unit * 2 ** (j / steps)
        complexity = 4 * math.sqrt(classes) * size / (gamma * math.sqrt(len(margins)))
        pairs = [(gamma * radius, share_of_delta(j))]
        if offset is not None:
            rhos = [(i, offset * 2 ** (i / steps)) for i in range(-30, 31)]
            pairs = [
                (rho, share_of_delta(i) * share_of_delta(j))
                for i, rho in rhos
                if rho / gamma >= radius
            ]
        for rho, share in pairs:
            confidence = 3 * math.sqrt(math.log(1 / (share * delta)) / (2 * len(margins)))
            risks.append((ramp_loss(margins, rho) + complexity + confidence, rho, share))
    risk, rho, share = min(risks)
    assert found.risk == pytest.approx(risk, rel=1e-12)
    assert found.rho == pytest.approx(rho)
    assert found.price == pytest.approx(-math.log(share))
    assert found.risk == pytest.approx(found.margin_loss + found.rademacher + found.confidence)


def _deviations(m: int, rounds: int) -> np.ndarray:
    """E − Ê of the ramp loss at each ρ of the grid, for margins 2^U, U uniform on [−10, 10]."""
    steps = np.arange(-10 * STEPS_PER_OCTAVE, 10 * STEPS_PER_OCTAVE + 1)
    rhos = 2.0 ** (steps / STEPS_PER_OCTAVE)
    truth = 1 - (10 - np.log2(rhos)) / 20 - (1 - 2.0**-10 / rhos) / (20 * math.log(2))
    margins = 2.0 ** np.random.default_rng(m).uniform(-10, 10, (rounds, m))
    seen = np.stack([1 - np.minimum(margins, rho).mean(1) / rho for rho in rhos], 1)
    return truth - seen


@pytest.mark.parametrize(("m", "rounds"), [(50, 2000), (500, 1000), (5000, 150)])
def test_one_union_over_the_normalised_margin_is_not_enough_with_an_offset(
    m: int, rounds: int
) -> None:
    """With u = 0 and h⁰ ≠ 0 the complexity is 0, and the mean of sup over ρ of E − Ê is not.

    It is about 0.37/√m here, where McDiarmid's step needs at most 0. At any ρ fixed beforehand it is
    0, which a grid of ρ relies on.
    """
    deviations = _deviations(m, rounds)
    highest = deviations.max(1) * math.sqrt(m)
    error = highest.std() / math.sqrt(rounds)
    assert highest.mean() > 10 * error
    assert highest.mean() == pytest.approx(0.37, abs=0.05)
    spread = deviations.std(0) / math.sqrt(rounds)
    assert (np.abs(deviations.mean(0)) <= 4.5 * spread + 1e-12).all()


def test_an_offset_costs_a_second_grid() -> None:
    margins = np.random.default_rng(2).normal(1, 1, 5000)
    one = margin_bound(margins, BY_NAME["maurer"], 3, Ball(1e-4, 0.3), 0.05)
    two = margin_bound(margins, BY_NAME["maurer"], 3, Ball(1e-4, 0.3, offset_unit=1.0), 0.05)
    own = math.log2(two.rho)
    grid_of_rho = -math.log(share_of_delta(round(own)))
    assert own == pytest.approx(round(own))
    assert two.price > grid_of_rho >= -math.log(share_of_delta(0))
    assert one.price >= -math.log(share_of_delta(0))
    texts = assumptions(["zero", "standard phase"])
    assert "one union over margins ρ/C" in texts[2]
    assert "a union over ρ" in texts[3]
    assert "times one over ρ/C" in texts[3]
    assert "no other run" in texts[-1]
    assert "at most 7 runs" in assumptions(["zero"], 7)[-1]


def test_a_radius_beyond_floats_is_vacuous() -> None:
    margins = np.array([1.0, -1.0])
    assert margin_bound(margins, BY_NAME["maurer"], 3, Ball(1e300, 1.0), 0.05).vacuous
    assert margin_bound(margins, BY_NAME["maurer"], 3, Ball(1e300, 1.0, 1.0), 0.05).vacuous


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
def test_scale_does_not_matter(scale: float, constant: Constant) -> None:
    """Outputs and weights times s: the same bound."""
    margins = np.random.default_rng(0).normal(1, 1, 200)
    one = margin_bound(margins, constant, 3, Ball(2.0, 0.3), 0.05)
    two = margin_bound(margins * scale, constant, 3, Ball(2.0 * scale, 0.3), 0.05)
    assert two.risk == pytest.approx(one.risk, rel=1e-9)


def test_tightens_with_items_and_loosens_with_confidence() -> None:
    margins = np.random.default_rng(1).normal(1, 1, 500)
    constant = BY_NAME["maurer"]
    one = margin_bound(margins, constant, 3, Ball(1.0, 0.3), 0.05).risk
    assert margin_bound(np.tile(margins, 4), constant, 3, Ball(1.0, 0.3), 0.05).risk < one
    assert margin_bound(margins, constant, 3, Ball(1.0, 0.3), 0.005).risk > one
    assert margin_bound(margins, constant, 3, Ball(2.0, 0.3), 0.05).risk > one


def test_a_radius_of_zero_leaves_the_error_and_the_confidence() -> None:
    margins = np.array([1.0] * 900 + [-1.0] * 100)
    bound = margin_bound(margins, BY_NAME["binary"], 2, Ball(0.0, 1.0), 0.05)
    assert bound.margin_loss == pytest.approx(0.1)
    assert bound.rademacher < 0.5
    assert math.isfinite(bound.risk)
    assert bound.rho / STEPS_PER_OCTAVE >= 0


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["zero", "standard phase"])
@pytest.mark.parametrize("classes", [2, 4])
def test_miss_rate(classes: int, origin: str) -> None:
    """Least squares on few items in few dimensions, where overfitting is worst: misses ≤ δ.

    The bound holds for the minimiser although it was fitted on the very items, from either origin.
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
        start, unit = np.zeros_like(w), None
        if origin == "standard phase":
            seen, theirs = draw(60)
            start = np.linalg.lstsq(seen, np.eye(classes)[theirs] - 1 / classes, rcond=None)[0]
            unit = margin_unit(margins_of(seen @ start, theirs))
        moved = w - start
        test, truth = draw(5_000)
        risk = (np.argmax(test @ w, 1) != truth).mean()
        norms = {
            "max": np.linalg.norm(moved, axis=0).max(),
            "frobenius": np.linalg.norm(moved),
            "difference": np.linalg.norm(moved[:, 1] - moved[:, 0]),
        }
        size = math.sqrt((x**2).sum(1).mean())
        bounds = [
            margin_bound(margins_of(x @ w, y), c, classes, Ball(norms[c.norm], size, unit), delta)
            for c in constants_for(classes)
        ]
        misses += any(bound.risk < risk for bound in bounds)
        tightest = min(tightest, min(bound.risk for bound in bounds))
    assert misses <= delta * rounds
    # and they say something, or missing nothing would be no feat
    assert tightest < 1
