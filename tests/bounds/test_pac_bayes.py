"""The PAC-Bayes bound: its divergence, its grid, and its miss rate in simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from gencheck.bounds.binomial import kl_upper_end
from gencheck.bounds.pac_bayes import (
    gaussian_divergence,
    inflated_gibbs_risk,
    log_prior_price,
    pac_bayes_bound,
    prior_index,
    prior_variance,
)


def test_divergence_is_that_of_torch() -> None:
    random = np.random.default_rng(0)
    mean, prior = random.normal(size=(2, 7))
    variances = random.uniform(0.01, 2, 7)
    q = Normal(torch.tensor(mean), torch.tensor(np.sqrt(variances)))
    p = Normal(torch.tensor(prior), torch.tensor(math.sqrt(0.3), dtype=torch.float64))
    distance = float(((mean - prior) ** 2).sum())
    ours = gaussian_divergence(7, variances.sum(), float(np.log(variances).sum()), distance, 0.3)
    assert ours == pytest.approx(float(kl_divergence(q, p).sum()), rel=1e-12)
    assert gaussian_divergence(3, 0.9, 3 * math.log(0.3), 0.0, 0.3) == pytest.approx(0, abs=1e-12)


@given(st.floats(1e-9, 9.9))
def test_the_prior_grid(variance: float) -> None:
    index = prior_index(variance)
    assert index >= 1
    assert abs(math.log(prior_variance(index) / variance)) <= 0.5 / 20 + 1e-9 or index == 1


def test_the_priors_prices_are_a_probability() -> None:
    total = sum(math.exp(-log_prior_price(j)) for j in range(1, 100_001))
    assert total == pytest.approx(1, abs=1e-5)
    assert total < 1


@given(st.floats(0, 1), st.floats(0, 500), st.integers(8, 10**5), st.integers(1, 10**5))
def test_monotone(risk: float, divergence: float, m: int, draws: int) -> None:
    at = pac_bayes_bound(risk, draws, divergence, m, 0.04, 0.01).risk
    assert at >= risk
    assert pac_bayes_bound(risk, draws, divergence + 1, m, 0.04, 0.01).risk >= at
    assert pac_bayes_bound(risk, 4 * draws, divergence, m, 0.04, 0.01).risk <= at
    assert pac_bayes_bound(risk, draws, divergence, m, 0.04, 0.01, log_price=2.0).risk >= at
    assert pac_bayes_bound(risk, draws, divergence, m, 0.004, 0.01).risk >= at


def test_limits() -> None:
    # nothing learned, endless draws: the test-set bound, but for ln 2√m
    level = math.log(2 * math.sqrt(1000) / 0.05)
    bound = pac_bayes_bound(0.1, 10**12, 0.0, 1000, 0.05, 0.01)
    assert bound.risk == pytest.approx(kl_upper_end(0.1, 1000, level), rel=1e-5)
    assert inflated_gibbs_risk(0.0, 100, math.log(20)) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert pac_bayes_bound(0.5, 10, 1e6, 100, 0.05, 0.01).vacuous


def test_the_miss_rate_of_a_posterior_chosen_by_the_data() -> None:
    """Coins as classifiers: the posterior leans to the luckiest ones, and is sampled, 2000 times.

    Each of 20 classifiers errs on an item with its own probability. Q ∝ exp(−2m error), P uniform.
    """
    random = np.random.default_rng(0)
    rates = random.uniform(0.2, 0.5, 20)
    m, draws, delta, sampling = 100, 50, 0.1, 0.1
    misses = sampled_misses = 0
    for _ in range(2000):
        errors = random.binomial(m, rates) / m
        q = np.exp(-2 * m * (errors - errors.min()))
        q /= q.sum()
        divergence = float(sum(p * math.log(20 * p) for p in q if p > 0))
        drawn = random.choice(20, size=draws, p=q)
        seen = float(errors[drawn].mean())
        bound = pac_bayes_bound(seen, draws, divergence, m, delta, sampling)
        misses += float(q @ rates) > bound.risk
        sampled_misses += float(q @ errors) > inflated_gibbs_risk(seen, draws, -math.log(sampling))
    assert misses / 2000 <= delta + sampling
    assert sampled_misses / 2000 <= sampling + 3 * math.sqrt(sampling * (1 - sampling) / 2000)


def test_the_simulation_can_fail() -> None:
    """Without the divergence a posterior on the luckiest of many coins is missed too often."""
    random = np.random.default_rng(0)
    misses = 0
    for _ in range(500):
        errors = random.binomial(50, 0.5, 1000) / 50
        misses += pac_bayes_bound(float(errors.min()), 10**9, 0.0, 50, 0.05, 0.01).risk < 0.5
    assert misses / 500 > 0.06
    honest = pac_bayes_bound(0.2, 10**9, math.log(1000), 50, 0.05, 0.01)
    assert honest.risk > 0.5
