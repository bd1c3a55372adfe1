"""PAC-Bayes in path space: closed forms, explicit Gaussians over explicit features, simulated misses."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from gencheck.bounds.binomial import kl_upper_end
from gencheck.bounds.multiclass import margins_of
from gencheck.bounds.path_space import (
    Features,
    Level,
    Posterior,
    catoni_risk,
    drawn_bound,
    drawn_errors,
    least_errors,
    mean_bound,
)
from gencheck.bounds.path_space_choice import Grid, Problem, best_drawn, best_mean
from gencheck.bounds.path_space_grid import MARGIN_FACTORS, RATES, Shares

RANDOM = np.random.default_rng


def test_two_outputs_in_closed_form() -> None:
    outputs = RANDOM(0).normal(0, 1, (200, 2))
    labels, variances = RANDOM(1).integers(2, size=200), RANDOM(2).uniform(0.01, 2, 200)
    thresholds = RANDOM(3).uniform(0, 1, 200)
    apart = outputs[np.arange(200), labels] - outputs[np.arange(200), 1 - labels]
    for shift in (None, thresholds):
        truth = ndtr(((0 if shift is None else shift) - apart) / np.sqrt(2 * variances))
        found = drawn_errors(outputs, labels, variances, shift)
        np.testing.assert_allclose(found, truth, atol=1e-11)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_equal_outputs_err_by_chance(classes: int) -> None:
    errors = drawn_errors(np.zeros((3, classes)), np.array([0, 1, classes - 1]), np.ones(3))
    np.testing.assert_allclose(errors, 1 - 1 / classes, atol=1e-10)


def test_errors_are_those_of_draws() -> None:
    outputs, labels = RANDOM(0).normal(0, 1, (6, 5)), np.array([0, 1, 2, 3, 4, 0])
    variances = np.array([0.01, 0.1, 0.5, 1.0, 4.0, 9.0])
    draws = outputs + np.sqrt(variances)[:, None] * RANDOM(1).normal(0, 1, (200_000, 6, 5))
    own = np.take_along_axis(draws, labels[None, :, None], 2)[..., 0]
    np.put_along_axis(draws, np.broadcast_to(labels[None, :, None], (200_000, 6, 1)), -np.inf, 2)
    for threshold in (0.0, 0.3):
        seen = (own - draws.max(2) <= threshold).mean(0)
        found = drawn_errors(outputs, labels, variances, np.full(6, threshold))
        np.testing.assert_allclose(found, seen, atol=0.006)


def test_without_noise_ties_and_rivals_are_errors() -> None:
    outputs = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    labels = np.zeros(3, np.int64)
    assert drawn_errors(outputs, labels, np.zeros(3)).tolist() == [0, 1, 1]
    far = drawn_errors(outputs * 1e6, labels, np.ones(3))
    np.testing.assert_allclose(far, [0, 0.5, 1], atol=1e-11)
    assert far[0] > 0  # the tail is not rounded away


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("risk", [0.01, 0.3])
def test_what_the_bound_rests_on_by_its_sum(rate: float, risk: float) -> None:
    """E exp(−mβR̂ − m ln(1 − (1 − e^−β) R)) = 1 for m losses of 0 and 1 with mean R."""
    m = 12
    normaliser = (1 + math.expm1(-rate) * risk) ** -m
    total = sum(
        math.comb(m, k) * risk**k * (1 - risk) ** (m - k) * math.exp(-rate * k)
        for k in range(m + 1)
    )
    assert total * normaliser == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("empirical", "nats", "m"), [(0.02, 8, 30_000), (0.3, 40, 2000)])
def test_the_grid_of_rates_loses_little_to_the_inverse_kl(
    empirical: float, nats: float, m: int
) -> None:
    least = kl_upper_end(empirical, m, nats)
    found = catoni_risk(empirical, nats, m)
    assert least <= found <= least + 0.03 * (least - empirical)
    assert catoni_risk(0.5, 1e4, 100) > 1  # never clamped


@pytest.mark.parametrize("scales", [(0, 2, 4), (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)])
@pytest.mark.parametrize("factors", [(None,), MARGIN_FACTORS])
def test_the_shares_of_the_grid_add_up_to_all(
    scales: tuple[int, ...], factors: tuple[float | None, ...]
) -> None:
    shares = {
        (power, c): math.exp(-Shares(scales).price(power, c)) * len(RATES)
        for power in scales
        for c in factors
    }
    assert sum(shares.values()) == pytest.approx(1, rel=1e-12)
    assert shares[scales[-1], factors[-1]] == pytest.approx(0.5)


def explicit(seed: int, dimension: int = 7, span: int = 4, classes: int = 3):  # type: ignore[no-untyped-def]
    """Features in the open, an orthonormal basis of a part of them, and a posterior on it."""
    random = RANDOM(seed)
    z = random.normal(0, 1, (20, dimension))
    basis = np.linalg.qr(random.normal(0, 1, (dimension, span)))[0]
    start = random.normal(0, 1, (dimension, classes))
    shrinkage = random.uniform(0, 0.95, span)
    posterior = Posterior(0.6, shrinkage, random.normal(0, 0.5, (span, classes)))
    covariance = 0.36 * (np.eye(dimension) - basis @ np.diag(shrinkage) @ basis.T)
    features = Features(z @ basis, (z**2).sum(1), z @ start)
    return z, start, basis, posterior, covariance, features


def test_divergence_and_predictions_are_those_of_the_gaussian_itself() -> None:
    z, start, basis, posterior, covariance, features = explicit(0)
    mean = basis @ posterior.mean
    by_hand = 0.0
    for k in range(mean.shape[1]):
        trace = np.trace(covariance) / 0.36
        logdet = np.linalg.slogdet(covariance / 0.36)[1]
        by_hand += 0.5 * (trace - len(covariance) - logdet + mean[:, k] @ mean[:, k] / 0.36)
    assert posterior.divergence == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(posterior.outputs(features), z @ (start + mean), rtol=1e-10)
    variances = np.einsum("ip,pq,iq->i", z, covariance, z)
    np.testing.assert_allclose(posterior.variances(features), variances, rtol=1e-10)


def test_the_drawn_bound_by_hand() -> None:
    *_, posterior, _, features = explicit(1)
    labels = RANDOM(5).integers(3, size=20)
    bound = drawn_bound(posterior, features, labels, Level(0.1, 2.5))
    errors = drawn_errors(posterior.outputs(features), labels, posterior.variances(features))
    nats = posterior.divergence + 2.5 + math.log(10)
    by_hand = min(
        (1 - math.exp(-rate * errors.mean() - nats / 20)) / (1 - math.exp(-rate)) for rate in RATES
    )
    assert bound.risk == pytest.approx(by_hand, abs=1e-8)
    assert bound.factor == 1


def test_where_the_mean_errs_drawn_margins_are_below_the_threshold() -> None:
    """P(margin ≤ c √2 s √K) ≥ Φ(c) there, whatever the posterior: what the mean's bound rests on."""
    for seed in range(20):
        *_, posterior, _, features = explicit(seed)
        outputs, variances = posterior.outputs(features), posterior.variances(features)
        for c in MARGIN_FACTORS:
            thresholds = c * math.sqrt(2) * posterior.scale * np.sqrt(features.squares)
            for label in range(3):
                labels = np.full(20, label)
                wrong = outputs.argmax(1) != label
                errors = drawn_errors(outputs, labels, variances, thresholds)
                assert (errors[wrong] >= ndtr(c) - 1e-11).all()
                bound = mean_bound(posterior, features, labels, Level(0.1), c)
                assert bound.risk >= wrong.mean()


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_the_nearest_output_alone_errs_less(threshold: float | None) -> None:
    outputs, labels = RANDOM(0).normal(0, 1, (300, 5)), RANDOM(1).integers(5, size=300)
    variances = RANDOM(2).uniform(0, 2, 300)
    variances[:20] = 0
    thresholds = None if threshold is None else np.full(300, threshold)
    lower = least_errors(margins_of(outputs, labels), variances, thresholds)
    errors = drawn_errors(outputs, labels, variances, thresholds)
    assert (lower <= errors + 1e-12).all()
    two = drawn_errors(outputs[:, :2], labels % 2, variances, thresholds)
    alone = least_errors(margins_of(outputs[:, :2], labels % 2), variances, thresholds)
    np.testing.assert_allclose(alone, two, atol=1e-11)


class World:
    """Items uniform on 100 atoms with class probabilities, so that every risk is a finite sum."""

    def __init__(self, seed: int, noise: float, classes: int = 3, dimension: int = 5) -> None:
        random = RANDOM(seed)
        self.classes = classes
        self.z = random.normal(0, 1, (100, dimension))
        truth = random.normal(0, 1, (dimension, classes))
        right = np.eye(classes)[(self.z @ truth).argmax(1)]
        self.chances = (1 - noise) * right + noise / classes
        self.start = truth * 0.2 + random.normal(0, 0.3, (dimension, classes))

    def drawn(self, random: np.random.Generator, count: int) -> tuple[Problem, np.ndarray]:
        """Items of a freeze phase as the bound sees them, and the basis of their coordinates."""
        atoms = random.integers(len(self.z), size=count)
        ends = self.chances[atoms].cumsum(1)
        labels = (random.uniform(size=(count, 1)) > ends).sum(1).clip(max=self.classes - 1)
        z = self.z[atoms]
        values, basis = np.linalg.eigh(z.T @ z)
        features = Features(z @ basis, (z**2).sum(1), z @ self.start)
        residuals = np.eye(self.classes)[labels] - features.base
        return Problem(features, labels, np.clip(values, 0, None), residuals, 1.0), basis

    def risks(self, posterior: Posterior, basis: np.ndarray) -> tuple[float, float]:
        """The true risks of the drawn classifier and of the mean."""
        features = Features(self.z @ basis, (self.z**2).sum(1), self.z @ self.start)
        outputs, variances = posterior.outputs(features), posterior.variances(features)
        each = [
            drawn_errors(outputs, np.full(100, label), variances, None, 0.25)
            for label in range(self.classes)
        ]
        drawn = (self.chances * np.stack(each, 1)).sum(1).mean()
        mean = 1 - self.chances[np.arange(100), outputs.argmax(1)]
        return float(drawn), float(mean.mean())


SMALL = Grid(scales=(0, 2, 4), sharpness=(0.0, 100.0), penalties=(math.inf, 0.3, 1e-2))


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_the_least_bound_of_its_grid(seed: int) -> None:
    problem, _ = World(seed, 0.2).drawn(RANDOM(seed), 60)
    points = [
        (power, Posterior(2.0**-power, problem.shrinkage(t), problem.mean(penalty)))
        for power in SMALL.scales
        for t in SMALL.sharpness
        for penalty in SMALL.penalties
    ]
    features, labels = problem.features, problem.labels

    def level(power: int, c: float | None) -> Level:
        return Level(0.1, Shares(SMALL.scales).price(power, c))

    drawn = min(
        drawn_bound(point, features, labels, level(power, None)).risk for power, point in points
    )
    assert best_drawn(problem, 0.1, SMALL).bound.risk == pytest.approx(drawn, abs=1e-3)
    mean = min(
        mean_bound(point, features, labels, level(power, c), c).risk
        for power, point in points
        for c in MARGIN_FACTORS
    )
    assert best_mean(problem, 0.1, SMALL).bound.risk == pytest.approx(mean, abs=1e-3)


def misses(noise: float, rounds: int, delta: float) -> tuple[float, float, float]:
    """How often the greedily chosen bounds are below the true risks; and how often without the KL."""
    random, counts = RANDOM(11), np.zeros(3)
    for k in range(rounds):
        world = World(k, noise)
        problem, basis = world.drawn(random, 30)
        drawn, mean = best_drawn(problem, delta, SMALL), best_mean(problem, delta, SMALL)
        counts[0] += drawn.bound.risk < world.risks(drawn.posterior, basis)[0]
        counts[1] += mean.bound.risk < world.risks(mean.posterior, basis)[1]
        # the control: a fit as greedy, of the same items, whose divergence nobody pays for
        fitted = Posterior(0.05, np.zeros(5), problem.mean(1e-6))
        error = drawn_errors(
            fitted.outputs(problem.features), problem.labels, fitted.variances(problem.features)
        ).mean()
        free = kl_upper_end(float(error), 30, -math.log(delta))
        counts[2] += free < world.risks(fitted, basis)[0]
    return tuple(counts / rounds)  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_miss_rate(noise: float) -> None:
    """At most δ of 1000 small problems are missed, all choices greedy; noise 1 is labels of noise."""
    delta = 0.2
    drawn, mean, free = misses(noise, 1000, delta)
    assert drawn <= delta
    assert mean <= delta
    # and a bound that forgets the divergence does miss where there is nothing to learn
    if noise == 1.0:
        assert free > delta
