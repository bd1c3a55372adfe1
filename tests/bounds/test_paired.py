"""The paired comparison: exact tails against brute force, coverage, level and power."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gencheck.bounds.paired import (
    holm,
    improvement_of_counts,
    improvement_of_differences,
    items_to_find,
    mcnemar_p_value,
    p_better,
    sum_tail,
)
from tests.benchmarks.coverage_of_scores import (
    PAIRS,
    improvement_is_excluded,
    missed_by_differences,
    missed_by_pairs,
)
from tests.benchmarks.coverage_study import allowed

REPLICATES = 2000


def exact_tail(t: int, items: int, improvement: float, discordance: float) -> float:
    """P(wins − losses ≤ t), by adding up items one by one."""
    step = np.array(
        [(discordance - improvement) / 2, 1 - discordance, (discordance + improvement) / 2]
    )
    law = np.ones(1)
    for _ in range(items):
        law = np.convolve(law, step)
    return float(law[: t + items + 1].sum()) if t >= -items else 0.0


@given(st.integers(1, 40), st.floats(-0.9, 0.9), st.floats(0.01, 1), st.integers(-40, 40))
def test_the_tail_is_an_upper_bound_over_all_discordances(
    items: int, improvement: float, share: float, t: int
) -> None:
    t = max(t, -items)
    discordance = abs(improvement) + share * (1 - abs(improvement))
    claimed = sum_tail(t, items, improvement, discordance)
    for psi in np.linspace(abs(improvement), discordance, 9):
        assert exact_tail(t, items, improvement, psi) <= claimed + 1e-12


@pytest.mark.parametrize(
    ("items", "improvement", "discordance", "t"), [(10, 0.2, 0.4, -1), (30, -0.1, 0.3, -6)]
)
def test_the_tail_is_exact_at_the_largest_discordance(
    items: int, improvement: float, discordance: float, t: int
) -> None:
    expected = exact_tail(t, items, improvement, discordance)
    assert sum_tail(t, items, improvement, discordance) == pytest.approx(expected, abs=3e-12)


def test_mcnemar() -> None:
    assert mcnemar_p_value(0, 0) == 1
    assert mcnemar_p_value(5, 5) == 1
    assert mcnemar_p_value(6, 0) == pytest.approx(2 / 64)
    assert mcnemar_p_value(19, 5) == mcnemar_p_value(5, 19)
    expected = 2 * sum(math.comb(24, k) for k in range(6)) / 2**24
    assert mcnemar_p_value(19, 5) == pytest.approx(expected)


def test_swapping_the_models_mirrors_everything() -> None:
    one, other = (improvement_of_counts(*c, 300, delta=0.05) for c in ((19, 5), (5, 19)))
    assert one.lower == pytest.approx(-other.upper, abs=1e-9)
    assert one.p_value == other.p_value
    differences = np.random.default_rng(0).uniform(-1, 1, 200) + 0.2
    up = improvement_of_differences(np.clip(differences, -1, 1), 1.0, delta=0.1)
    down = improvement_of_differences(-np.clip(differences, -1, 1), 1.0, delta=0.1)
    assert up.lower == pytest.approx(-down.upper)
    assert up.p_value == down.p_value


def test_ends_of_the_range() -> None:
    none = improvement_of_counts(0, 0, 5, delta=0.05)
    assert none.lower == -none.upper < 0
    assert none.p_value == none.p_better == 1
    one = improvement_of_counts(1, 0, 1, delta=0.05)
    assert (one.lower, one.upper) == (-1, 1)
    many = improvement_of_counts(5430, 5290, 1_000_000, delta=0.05)
    assert many.lower < many.value < many.upper < many.value + 0.0004


@pytest.mark.parametrize("delta", [0.05, 0.2])
@pytest.mark.parametrize(("items", "plus", "minus"), PAIRS)
def test_coverage_of_counts(items: int, plus: float, minus: float, delta: float) -> None:
    missed, rejected, better = missed_by_pairs(items, plus, minus, delta)
    assert missed <= allowed(delta)
    # p_better is against the true improvement, which it may reject δ of the time
    assert better <= allowed(delta)
    if plus == minus:
        assert rejected <= allowed(delta)


@pytest.mark.parametrize("items", [7, 40])
@pytest.mark.parametrize("margin", [-0.3, -0.05, 0.02, 0.1, 0.3, 0.9])
def test_better_by_a_margin_is_wrongly_said_at_most_so_often(items: int, margin: float) -> None:
    """Every outcome, for rates up to the margin's edge and for models that differ less than that."""
    delta = 0.1
    said = np.array(
        [
            [
                wins + losses <= items
                and p_better(wins, losses, items, delta=delta, margin=margin) <= delta
                for losses in range(items + 1)
            ]
            for wins in range(items + 1)
        ]
    )
    wins, losses = np.mgrid[: items + 1, : items + 1]
    for minus in (0.0, 0.01, 0.1, 0.3, 0.5):
        for plus in {max(0.0, minus + margin), 0.0, minus, minus / 2}:
            if plus - minus > margin or plus + minus > 1:
                continue
            rates = [plus, minus, max(0.0, 1 - plus - minus)]
            counts = np.stack([wins, losses, items - wins - losses], axis=-1)[said]
            assert stats.multinomial(items, rates).pmf(counts).sum() <= delta


def test_two_models_alike_are_never_better() -> None:
    for margin in (0.01, 0.1, 0.9):
        assert p_better(0, 0, 300, delta=0.05, margin=margin) == 1
    assert p_better(0, 0, 300, delta=0.05, margin=-0.1) <= 0.05


def test_the_coverage_study_can_fail() -> None:
    """The same interval at four times the δ is caught."""
    assert missed_by_pairs(1000, 0.1, 0.1, 0.4)[0] > allowed(0.1)


@pytest.mark.parametrize("counts", [(19, 5, 500), (0, 0, 40), (300, 150, 500), (3, 0, 7)])
def test_the_interval_is_what_is_not_excluded(counts: tuple[int, int, int]) -> None:
    found = improvement_of_counts(*counts, delta=0.1)
    for end, outwards in ((found.upper, 1), (found.lower, -1)):
        assert not improvement_is_excluded(end - outwards * 1e-6, *counts, 0.1)
        assert improvement_is_excluded(end + outwards * 1e-6, *counts, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("ties", [0.0, 0.9, 1.0])
def test_coverage_of_differences(ties: float) -> None:
    assert max(missed_by_differences(ties, 0.1)) <= allowed(0.1)


@pytest.mark.parametrize(("discordance", "power"), [(0.047, 0.80), (0.05, 0.77), (0.136, 0.35)])
def test_pairing_finds_what_two_rates_do_not(discordance: float, power: float) -> None:
    """True errors of 0.087 and 0.059 on 500 items; independent errors differ on 13.6 % of them."""
    generator, items = np.random.default_rng(0), 500
    plus, minus = (discordance + 0.028) / 2, (discordance - 0.028) / 2
    law = [plus, minus, 1 - discordance]
    first, second, _ = generator.multinomial(items, law, REPLICATES).T
    paired = np.mean([mcnemar_p_value(b, c) <= 0.05 for b, c in zip(first, second, strict=True)])
    assert paired == pytest.approx(power, abs=0.03)
    # two rates that were measured on items of their own
    one, other = (generator.binomial(items, rate, REPLICATES) / items for rate in (0.087, 0.059))
    pooled = (one + other) / 2
    unpaired = np.abs(one - other) / np.sqrt(2 * pooled * (1 - pooled) / items) > 1.96
    assert 0.33 < unpaired.mean() < 0.43


@pytest.mark.parametrize(("plus", "minus"), [(0.039, 0.011), (0.2, 0.1)])
def test_the_items_needed_give_the_power_that_they_promise(plus: float, minus: float) -> None:
    mean = plus - minus
    items = items_to_find(mean, plus + minus - mean**2, 0.05)
    assert items is not None
    counts = np.random.default_rng(0).multinomial(items, [plus, minus, 1 - plus - minus], 2000)
    power = np.mean([mcnemar_p_value(int(b), int(c)) <= 0.05 for b, c, _ in counts])
    assert 0.7 < power < 0.85
    assert items_to_find(0.0, 0.1, 0.05) is None


def test_holm() -> None:
    assert holm([0.01]) == [0.01]
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
