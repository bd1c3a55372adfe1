"""How often the bounds of clusters, weights, groups and pairs miss, against the δ that they promise.

Printed by `python -m tests.benchmarks.coverage_study`, behind the table of the validation bounds. Each
function takes a case and gives the share of `REPLICATES` in which the truth was missed.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.betting import betting_rejects
from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.paired import (
    NUISANCE_SHARE,
    holm,
    improvement_of_differences,
    mcnemar_p_value,
    p_better,
    sum_tail,
)
from gencheck.bounds.paired_strata import Gains
from gencheck.bounds.stratified import stratified_log_p
from gencheck.guarantees.beside import two_sided

REPLICATES = 2000
Counts = tuple[int, ...]
Rates = tuple[float, ...]

CLUSTERS = (
    "clusters of one",
    "all ties",
    "clusters of four",
    "one cluster holds half of the items",
)
GROUPS: tuple[tuple[Counts, Rates], ...] = (
    ((40, 200, 20), (0.1, 0.2, 0.02)),
    ((40, 200, 20), (0.5, 0.0, 0.9)),
    ((5, 500), (0.5, 0.5)),
    ((1, 1, 1, 1), (0.3, 0.3, 0.3, 0.3)),
    ((100, 100), (0.0, 0.0)),
)
# items, how often the candidate alone is right, and the baseline alone
PAIRS: tuple[tuple[int, float, float], ...] = (
    (500, 0.02, 0.02),
    (500, 0.039, 0.011),
    (200, 0.005, 0.0),
    (60, 0.3, 0.3),
    (60, 0.5, 0.45),
    (30, 0.9, 0.05),
    (20, 0.0, 0.0),
    (5, 0.5, 0.5),
)
# the same by stratum: items, and the two rates of each
PAIRED_STRATA: tuple[tuple[Counts, Rates, Rates], ...] = (
    ((50, 50), (0.1, 0.02), (0.1, 0.02)),
    ((1, 60), (0.5, 0.1), (0.5, 0.1)),
    ((20, 20, 40), (0.3, 0.0, 0.05), (0.0, 0.3, 0.05)),
    ((30, 30), (0.0, 0.0), (0.0, 0.0)),
)


def cluster_means(case: str, generator: np.random.Generator) -> tuple[NDArray[np.float64], float]:
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


def missed_by_clusters(case: str, delta: float) -> float:
    """Of the betting bound on the means of clusters."""
    generator, missed = np.random.default_rng(0), 0
    for _ in range(REPLICATES):
        means, risk = cluster_means(case, generator)
        missed += bool(betting_rejects(means, risk, -math.log(delta)))
    return missed / REPLICATES


def missed_by_weights(cap: float, delta: float) -> float:
    """Of the betting bound on weights: half of the target has a share of 1/(2 cap) in the sample."""
    generator, missed = np.random.default_rng(0), 0
    rare, risk = 0.5 / cap, 0.5 * 0.4 + 0.5 * 0.1
    for _ in range(REPLICATES):
        of_rare = generator.random(300) < rare
        wrong = generator.random(300) < np.where(of_rare, 0.4, 0.1)
        weights = np.where(of_rare, cap, 0.5 / (1 - rare))
        missed += bool(betting_rejects(wrong * weights / cap, risk / cap, -math.log(delta)))
    return missed / REPLICATES


def missed_by_groups(counts: Counts, means: Rates, delta: float) -> float:
    """Of stratified-kl on the mean over groups that count the same."""
    generator, size = np.random.default_rng(0), np.array(counts)
    shares, risks = np.full(len(size), 1 / len(size)), np.array(means)
    seen = generator.binomial(size, risks, (REPLICATES, len(size))) / size @ shares
    values, how_often = np.unique(seen, return_counts=True)
    truth, of = float(shares @ risks), size.astype(float)
    missed = np.array([stratified_log_p(v, truth, of, shares) < math.log(delta) for v in values])
    return float(how_often @ missed) / REPLICATES


def missed_by_two_sides(items: int, risk: float, delta: float) -> float:
    """Of the two-sided interval of a 0-1 risk."""
    counts = np.random.default_rng(0).binomial(items, risk, REPLICATES)
    ends = {
        k: two_sided(Evidence(items, k / items, True), 0.0, delta) for k in set(counts.tolist())
    }
    low, high = np.array([ends[k] for k in counts.tolist()]).T
    return float(((low > risk) | (high < risk)).mean())


def improvement_is_excluded(
    improvement: float, wins: int, losses: int, items: int, delta: float
) -> bool:
    """True where `improvement` lies outside the interval of `improvement_of_counts`."""
    nuisance, t = NUISANCE_SHARE * delta, wins - losses
    discordance = binomial_upper_end(wins + losses, items, -math.log(nuisance))
    level = (delta - nuisance) / 2
    above = sum_tail(t, items, improvement, discordance) <= level
    return above or sum_tail(-t, items, -improvement, discordance) <= level


def missed_by_pairs(
    items: int, plus: float, minus: float, delta: float
) -> tuple[float, float, float]:
    """How often the interval misses, McNemar's test rejects, and the one-sided at the true margin."""
    law, truth = [plus, minus, 1 - plus - minus], plus - minus
    counts = np.random.default_rng(0).multinomial(items, law, REPLICATES)[:, :2]
    different, how_often = np.unique(counts, axis=0, return_counts=True)
    outcomes = []
    for wins, losses in different.tolist():
        missed = improvement_is_excluded(truth, wins, losses, items, delta)
        better = p_better(wins, losses, items, delta=delta, margin=truth) <= delta
        outcomes.append((missed, mcnemar_p_value(wins, losses) <= delta, better))
    rates = how_often @ np.array(outcomes, dtype=float) / REPLICATES
    return float(rates[0]), float(rates[1]), float(rates[2])


def missed_by_differences(ties: float, delta: float) -> tuple[float, float]:
    """Betting on bounded differences with so many ties: the interval misses 0, the test rejects it."""
    generator, items, missed, rejected = np.random.default_rng(0), 60, 0, 0
    for _ in range(REPLICATES):
        differences = generator.uniform(-1, 1, items) * (generator.random(items) >= ties)
        found = improvement_of_differences(differences, 1.0, delta=delta)
        missed += not found.lower <= 0 <= found.upper
        rejected += found.p_value <= delta
    return missed / REPLICATES, rejected / REPLICATES


def missed_by_paired_strata(counts: Counts, plus: Rates, minus: Rates, delta: float) -> float:
    """The one-sided test of the mean improvement over strata rejects the true one as too small."""
    generator = np.random.default_rng(0)
    laws = [[p, m, 1 - p - m] for p, m in zip(plus, minus, strict=True)]
    draws = [
        generator.multinomial(n, law, REPLICATES)[:, :2]
        for n, law in zip(counts, laws, strict=True)
    ]
    different, how_often = np.unique(np.concatenate(draws, axis=1), axis=0, return_counts=True)
    shares = np.full(len(counts), 1 / len(counts))
    truth = float(shares @ (np.array(plus) - np.array(minus)))
    rejected = []
    for row in different:
        parts = [
            np.repeat([1.0, -1.0, 0.0], [wins, losses, n - wins - losses])
            for n, (wins, losses) in zip(counts, row.reshape(-1, 2), strict=True)
        ]
        rejected.append(Gains(parts, shares).rejects(truth, delta))
    return float(how_often @ np.array(rejected)) / REPLICATES


def missed_by_tables(tasks: int, items: int, risk: float, delta: float) -> tuple[float, float]:
    """In a table of tasks: a row's bound misses, or Holm's p-value calls a risk below its own value."""
    generator = np.random.default_rng(0)
    level = -math.log(delta / tasks)
    ends = [binomial_upper_end(k, items, level) for k in range(items + 1)]
    # the p-value against a risk of `risk` or more is the lower tail there
    tails = np.cumsum(
        [math.comb(items, k) * risk**k * (1 - risk) ** (items - k) for k in range(items + 1)]
    )
    missed = rejected = 0
    for errors in generator.binomial(items, risk, (REPLICATES, tasks)).tolist():
        missed += any(ends[k] < risk for k in errors)
        rejected += min(holm([float(tails[k]) for k in errors])) <= delta
    return missed / REPLICATES, rejected / REPLICATES


def rows() -> Iterator[tuple[str, str, float, float]]:
    """Bound, case, δ and the measured rate."""
    for delta in (0.05, 0.1):
        for case in CLUSTERS:
            yield "betting, 60 clusters", case, delta, missed_by_clusters(case, delta)
        for cap in (2.0, 10.0):
            case = f"300 items, weights up to {cap:g}"
            yield "betting, weights", case, delta, missed_by_weights(cap, delta)
        for counts, means in GROUPS:
            case = f"groups of {_list(counts)}, risks {_list(means)}"
            yield "stratified-kl", case, delta, missed_by_groups(counts, means, delta)
        for tasks, items, risk in ((4, 50, 0.1), (20, 100, 0.3)):
            case = f"{tasks} tasks of {items} items, risk {risk:g}"
            bonferroni, by_holm = missed_by_tables(tasks, items, risk, delta)
            yield "table of tasks, any row", case, delta, bonferroni
            yield "table of tasks, Holm", case, delta, by_holm
        for items, risk in ((50, 0.0), (50, 0.02), (50, 1.0), (200, 0.5)):
            case = f"{items} items, risk {risk:g}"
            yield "two-sided interval", case, delta, missed_by_two_sides(items, risk, delta)
        yield from _pairs(delta)


def _pairs(delta: float) -> Iterator[tuple[str, str, float, float]]:
    for items, plus, minus in PAIRS:
        case = f"{items} items, {plus:g} won, {minus:g} lost"
        missed, rejected, better = missed_by_pairs(items, plus, minus, delta)
        yield "paired, interval", case, delta, missed
        yield "paired, better by the true margin", case, delta, better
        if plus == minus:
            yield "McNemar, exact", case, delta, rejected
    for ties in (0.0, 0.9, 1.0):
        case = f"60 items, {ties:.0%} ties"
        missed, rejected = missed_by_differences(ties, delta)
        yield "betting on differences, interval", case, delta, missed
        yield "betting on differences, test", case, delta, rejected
    for counts, wins, losses in PAIRED_STRATA:
        case = f"strata of {_list(counts)}, {_list(wins)} won, {_list(losses)} lost"
        yield (
            "paired over strata",
            case,
            delta,
            missed_by_paired_strata(counts, wins, losses, delta),
        )


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
