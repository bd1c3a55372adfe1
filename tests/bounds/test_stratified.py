"""The mean of several groups, cluster means and weighted items: laws and coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencheck.bounds.betting import betting_rejects
from gencheck.bounds.binomial import kl_upper_end
from gencheck.bounds.stratified import _worst_means, stratified_log_p, stratified_upper_end
from gencheck.bounds.validation import Evidence
from gencheck.guarantees.beside import split_advice, two_sided
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


@pytest.mark.parametrize(
    ("counts", "means"),
    [
        ((40, 200, 20), (0.1, 0.2, 0.02)),
        ((40, 200, 20), (0.5, 0.0, 0.9)),
        ((5, 500), (0.5, 0.5)),
        ((1, 1, 1, 1), (0.3, 0.3, 0.3, 0.3)),
        ((100, 100), (0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_coverage_of_groups(
    counts: tuple[int, ...], means: tuple[float, ...], delta: float
) -> None:
    generator, size = np.random.default_rng(0), np.array(counts)
    shares, risks = np.full(len(size), 1 / len(size)), np.array(means)
    seen = generator.binomial(size, risks, (REPLICATES, len(size))) / size @ shares
    values, how_often = np.unique(seen, return_counts=True)
    truth = float(shares @ risks)
    # the p-value increases with what was seen, so one boundary tells all
    missed = np.array(
        [stratified_log_p(v, truth, size.astype(float), shares) < math.log(delta) for v in values]
    )
    assert (how_often @ missed) / REPLICATES <= allowed(delta)
    assert (np.diff(missed.astype(int)) <= 0).all()


def cluster_means(case: str, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Means of 60 clusters of one replicate, and the risk of a random item of a random cluster."""
    clusters = 60
    if case == "all ties":
        return np.full(clusters, 0.5), 0.5
    common = generator.random(clusters) < 0.3
    if case == "clusters of one":
        return common * 1.0, 0.3
    sizes = np.full(clusters, 4)
    if case == "one cluster holds half of the items":
        sizes[0] = 4 * (clusters - 1)
    # the items of a cluster are all right or all wrong, but for a tenth of them
    alone = generator.binomial(sizes, 0.1)
    return (common * (sizes - alone) + generator.binomial(alone, 0.3)) / sizes, 0.3


@pytest.mark.parametrize(
    "case",
    ["clusters of one", "all ties", "clusters of four", "one cluster holds half of the items"],
)
def test_coverage_of_cluster_means(case: str) -> None:
    generator, delta = np.random.default_rng(0), 0.1
    missed = 0
    for _ in range(REPLICATES):
        means, risk = cluster_means(case, generator)
        missed += betting_rejects(means, risk, -math.log(delta))
    assert missed / REPLICATES <= allowed(delta)


def test_items_of_clusters_taken_for_independent_miss() -> None:
    """What the naive figure would do: the same items, each counted as a draw of its own."""
    generator, delta, missed = np.random.default_rng(0), 0.1, 0
    for _ in range(REPLICATES):
        errors = np.repeat(generator.random(30) < 0.3, 8).sum()
        missed += kl_upper_end(errors / 240, 240, -math.log(delta)) < 0.3
    assert missed / REPLICATES > 2 * delta


@pytest.mark.parametrize("cap", [2.0, 10.0])
def test_coverage_of_weighted_items(cap: float) -> None:
    """Half of the target is a group of which the sample has a share of 1/(2 cap)."""
    generator, delta, missed = np.random.default_rng(0), 0.1, 0
    rare, risk = 0.5 / cap, 0.5 * 0.4 + 0.5 * 0.1
    for _ in range(REPLICATES):
        of_rare = generator.random(300) < rare
        wrong = generator.random(300) < np.where(of_rare, 0.4, 0.1)
        weights = np.where(of_rare, cap, 0.5 / (1 - rare))
        missed += betting_rejects(wrong * weights / cap, risk / cap, -math.log(delta))
    assert missed / REPLICATES <= allowed(delta)


@pytest.mark.parametrize("delta", [0.05, 0.2])
@pytest.mark.parametrize(("items", "risk"), [(50, 0.0), (50, 0.02), (50, 1.0), (200, 0.5)])
def test_coverage_of_two_sided_intervals(items: int, risk: float, delta: float) -> None:
    counts = np.random.default_rng(0).binomial(items, risk, REPLICATES)
    ends = {
        k: two_sided(Evidence(items, k / items, True), 0.0, delta) for k in set(counts.tolist())
    }
    low, high = np.array([ends[k] for k in counts.tolist()]).T
    assert ((low > risk) | (high < risk)).mean() <= allowed(delta)
    assert (low >= 0).all()
    assert (high <= 1).all()


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
