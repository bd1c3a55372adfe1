"""The inverted bound against brute force: exact at integers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencheck.bounds.evidence import Evidence, count_of
from gencheck.bounds.solve import _last_with_count, fewest_items, largest_class, smallest_delta
from gencheck.bounds.validation import certified_bound

ROUNDING = 1e-12


def evidence(m: int, rate: float, binary: bool) -> Evidence:
    return Evidence(m, count_of(m, rate) / m if binary else rate, binary)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.03, 0.07, 0.1, 0.3, 1 / 3])
@pytest.mark.parametrize("target", [0.2, 0.35, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.5, 2.0, 5.0])
def test_fewest_items(binary: bool, rate: float, target: float, level: float) -> None:
    if target <= rate + 0.04:
        assert fewest_items(0.5, binary, 0.5, level).value is None
        return
    answer = fewest_items(rate, binary, target, level).value

    def reached(m: int) -> bool:
        return certified_bound(evidence(m, rate, binary), level).risk <= target + ROUNDING

    assert answer == next(m for m in range(1, 10_000) if reached(m))


def test_fewest_items_at_scale() -> None:
    level = 300 * math.log(10) + math.log(20)
    answer = fewest_items(0.05, True, 0.06, level).value
    assert isinstance(answer, int)
    below = range(answer - 200, answer)
    assert certified_bound(evidence(answer, 0.05, True), level).risk <= 0.06 + ROUNDING
    assert all(certified_bound(evidence(m, 0.05, True), level).risk > 0.06 for m in below)


@pytest.mark.parametrize(("errors", "m", "target"), [(3, 100, 0.2), (0, 50, 0.1), (20, 100, 0.3)])
@pytest.mark.parametrize("binary", [True, False])
def test_largest_class(errors: int, m: int, target: float, binary: bool) -> None:
    seen = Evidence(m, errors / m, binary)
    answer = largest_class(seen, target, 0.05).value
    if answer is None:
        assert certified_bound(seen, math.log(1 / 0.05)).risk > target
        return

    def risk(count: float) -> float:
        return certified_bound(seen, math.log(count / 0.05)).risk

    assert risk(answer) <= target + ROUNDING
    assert risk(answer + 1) > target - ROUNDING
    assert risk(2 * answer) > target


def test_a_class_past_any_float_has_a_logarithm() -> None:
    solution = largest_class(Evidence(100_000, 0.01, True), 0.2, 0.05)
    assert solution.value is None
    assert solution.log10 is not None
    assert solution.log10 > 1000
    logarithm = solution.log10 * math.log(10)
    bound = certified_bound(Evidence(100_000, 0.01, True), logarithm - math.log(0.05))
    assert bound.risk == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_smallest_delta(binary: bool) -> None:
    seen = Evidence(100, 0.05, binary)
    answer = smallest_delta(seen, 0.25, math.log(7)).value
    assert answer is not None
    level = math.log(7) - math.log(answer)
    assert certified_bound(seen, level).risk == pytest.approx(0.25, rel=1e-9)
    assert certified_bound(seen, level + 1e-6).risk > 0.25


@pytest.mark.parametrize("target", [0.09, 0.11, 0.2, 0.25, 0.3])
@pytest.mark.parametrize("binary", [True, False])
def test_the_answer_passes_a_gate_at_the_target(target: float, binary: bool) -> None:
    seen = Evidence(1000, 0.05, binary)
    delta = smallest_delta(seen, target, math.log(7)).value
    if delta is not None:
        assert certified_bound(seen, math.log(7) - math.log(delta)).risk <= target
    models = largest_class(seen, target, 0.05).value
    assert models is not None
    assert certified_bound(seen, math.log(models) - math.log(0.05)).risk <= target


def test_rates_that_are_hard_to_count() -> None:
    for rate in (1e-9, 1e-12, 1 / 3, 0.123456789):
        for count in (1, 2, 7, 1000):
            last = _last_with_count(count, rate)
            assert count_of(last, rate) <= count < count_of(last + 1, rate)


def test_betting_is_solved_by_its_own_rejections() -> None:
    losses = np.random.default_rng(0).beta(1, 9, size=400)
    seen = Evidence(400, float(losses.mean()), False, losses)
    answer = largest_class(seen, 0.2, 0.05).value
    assert answer is not None
    assert certified_bound(seen, math.log(answer / 0.05)).risk <= 0.2 + 1e-9
    assert certified_bound(seen, math.log(1.01 * answer / 0.05)).risk > 0.2


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        (fewest_items(0.1, True, 0.1, 3.0), "not above the error"),
        (largest_class(Evidence(10, 0.5, True), 0.55, 0.05), "not even one model"),
        (largest_class(Evidence(10, 0.5, True), 1.0, 0.05), "vacuous"),
        (smallest_delta(Evidence(10, 0.5, True), 0.5, 1.0), "no delta below 1"),
        (smallest_delta(Evidence(10, 0.5, True), 1.0, 1.0), "vacuous"),
    ],
)
def test_questions_without_an_answer_say_why(solution: object, reason: str) -> None:
    assert solution.value is None  # type: ignore[attr-defined]
    assert reason in solution.reason  # type: ignore[attr-defined]


def test_a_vacuous_target_needs_one_item() -> None:
    assert fewest_items(0.1, True, 1.0, 3.0).value == 1
    assert fewest_items(0.1, False, 1.0, 3.0).value == 1


@pytest.mark.parametrize("binary", [True, False])
def test_the_ends_of_floats(binary: bool) -> None:
    none = fewest_items(0.0, binary, 0.2, 1.5).value
    assert fewest_items(5e-324, binary, 0.2, 1.5).value == none
    endless = fewest_items(0.1, binary, 0.2, 1e308)
    assert endless.value is None
    assert "more than 9.01e+15 items" in (endless.reason or "")
    few = fewest_items(1e-12, binary, 2e-12, math.log(20)).value
    assert few is not None
    assert few > 1e12


@settings(max_examples=60)
@given(st.floats(0, 0.6), st.floats(0.05, 0.35), st.floats(0.05, 20), st.booleans())
def test_fewest_items_at_any_rate(rate: float, margin: float, level: float, binary: bool) -> None:
    target = rate + margin
    answer = fewest_items(rate, binary, target, level).value
    assert answer is not None
    reached = (
        m
        for m in range(1, int(answer) + 1)
        if certified_bound(evidence(m, rate, binary), level).risk <= target
    )
    assert next(reached, None) == answer
