"""The mean of several groups, cluster means and weighted items: laws and coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.binomial import kl_upper_end
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.stratified import _worst_means, stratified_log_p, stratified_upper_end
from gencheck.guarantees.beside import split_advice, two_sided
from tests.benchmarks.coverage_of_scores import (
    CLUSTERS,
    GROUPS,
    Counts,
    Rates,
    missed_by_clusters,
    missed_by_groups,
    missed_by_tables,
    missed_by_two_sides,
    missed_by_weights,
)
from tests.benchmarks.coverage_study import allowed

REPLICATES = 2000


def test_proportional_shares_give_the_bound_of_all_items() -> None:
    counts = np.array([100.0, 300.0, 50.0])
    end = stratified_upper_end(np.array([0.1, 0.2, 0.0]), counts, counts / 450, 3.0)
    assert end == pytest.approx(kl_upper_end(70 / 450, 450, 3.0), abs=3e-9)


def test_without_errors_the_smallest_group_decides() -> None:
    counts, shares = np.array([100.0, 1000.0, 50.0]), np.ones(3) / 3
    end = stratified_upper_end(np.zeros(3), counts, shares, 3.0)
    assert end == pytest.approx((1 - math.exp(-3 / 50)) / 3, abs=2e-6)
    assert stratified_upper_end(np.ones(3), counts, shares, 3.0) == 1


@given(
    st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 1)), min_size=1, max_size=4),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(1e-2, 1e6),
)
def test_no_means_are_worse_than_the_worst(
    groups: list[tuple[int, float]], spread: list[float], slope: float
) -> None:
    counts = np.array([count for count, _ in groups], dtype=float)
    shares = np.array([share for _, share in groups])
    shares /= shares.sum()
    means = np.array(spread[: len(groups)])
    tilt = -np.expm1(-slope * shares / counts)
    worst = _worst_means(tilt, float(shares @ means), counts, shares)
    assert float(shares @ worst) == pytest.approx(float(shares @ means), abs=1e-9)

    def exponent(of: np.ndarray) -> float:
        with np.errstate(divide="ignore"):
            return float(counts @ np.logaddexp(np.log1p(-of), np.log(of) - slope * shares / counts))

    assert exponent(means) <= exponent(worst) + 1e-6 * (1 + abs(exponent(means)))


@pytest.mark.parametrize(("counts", "means"), GROUPS)
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_coverage_of_groups(counts: Counts, means: Rates, delta: float) -> None:
    assert missed_by_groups(counts, means, delta) <= allowed(delta)


def test_the_p_value_of_groups_grows_with_what_was_seen() -> None:
    counts, shares = np.array([40.0, 200.0, 20.0]), np.ones(3) / 3
    logs = [stratified_log_p(seen, 0.3, counts, shares) for seen in np.linspace(0, 0.4, 30)]
    assert np.all(np.diff(logs) >= 0)


@pytest.mark.parametrize("case", CLUSTERS)
def test_coverage_of_cluster_means(case: str) -> None:
    assert missed_by_clusters(case, 0.1) <= allowed(0.1)


def test_items_of_clusters_taken_for_independent_miss() -> None:
    """What the naive figure would do: the same items, each counted as a draw of its own."""
    generator, delta, missed = np.random.default_rng(0), 0.1, 0
    for _ in range(REPLICATES):
        errors = np.repeat(generator.random(30) < 0.3, 8).sum()
        missed += kl_upper_end(errors / 240, 240, -math.log(delta)) < 0.3
    assert missed / REPLICATES > 2 * delta


@pytest.mark.parametrize("cap", [2.0, 10.0])
def test_coverage_of_weighted_items(cap: float) -> None:
    assert missed_by_weights(cap, 0.1) <= allowed(0.1)


@pytest.mark.parametrize("tasks", [4, 20])
def test_all_rows_of_a_table_hold_together(tasks: int) -> None:
    missed, rejected = missed_by_tables(tasks, 50, 0.1, 0.1)
    assert max(missed, rejected) <= allowed(0.1)
    # each row at δ instead would not
    assert missed_by_tables(tasks, 50, 0.1, 0.1 * tasks)[0] > allowed(0.1)


@pytest.mark.parametrize("delta", [0.05, 0.2])
@pytest.mark.parametrize(("items", "risk"), [(50, 0.0), (50, 0.02), (50, 1.0), (200, 0.5)])
def test_coverage_of_two_sided_intervals(items: int, risk: float, delta: float) -> None:
    assert missed_by_two_sides(items, risk, delta) <= allowed(delta)


def test_two_sided_ends_are_clopper_and_pearsons() -> None:
    low, high = two_sided(Evidence(20, 0.0, True), 0.0, 0.05)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))
    low, high = two_sided(Evidence(20, 1.0, True), 0.0, 0.05)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 20)), 1)
    wider = two_sided(Evidence(20, 0.5, True), math.log(9), 0.05)
    plain = two_sided(Evidence(20, 0.5, True), 0.0, 0.05)
    assert wider[0] < plain[0] < 0.5 < plain[1] < wider[1]
    losses = np.random.default_rng(0).beta(1, 3, 100)
    seen = Evidence(100, float(losses.mean()), False, losses, low=-1, high=3)
    low, high = two_sided(seen, 0.0, 0.05)
    assert -1 < low < -1 + 4 * losses.mean() < high < 3


def test_the_split_advisor_has_the_figures_of_its_documentation() -> None:
    advice = split_advice(Evidence(1000, 0.02, True), math.log(20), 0.05)
    assert advice is not None
    assert advice["confirm_items"] == 500
    assert advice["confirm_risk"] == pytest.approx(0.0337, abs=5e-5)
    assert advice["choose_on_all_risk"] == pytest.approx(0.0359, abs=5e-5)
    assert split_advice(Evidence(1000, 0.02, True), 0.0, 0.05) is None
    assert split_advice(Evidence(1, 0.0, True), 1.0, 0.05) is None
