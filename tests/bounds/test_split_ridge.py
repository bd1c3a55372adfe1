"""Weights that moved on a part of the items: against ridge regression itself, and simulated misses."""

import math

import numpy as np
import pytest

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.path_space import Features
from gencheck.bounds.path_space_choice import Problem
from gencheck.bounds.split_ridge import split_ridge

CLASSES, DIMENSION = 3, 5


def problem(z: np.ndarray, labels: np.ndarray, start: np.ndarray) -> Problem:
    features = Features(z, (z**2).sum(1), z @ start)
    residuals = np.eye(CLASSES)[labels] - features.base
    return Problem(features, labels, np.zeros(z.shape[1]), residuals, 1.0)


def world(seed: int, noise: float = 0.2):  # type: ignore[no-untyped-def]
    """Atoms, their class probabilities, and h⁰'s weights."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 1, (100, DIMENSION))
    truth = random.normal(0, 1, (DIMENSION, CLASSES))
    chances = (1 - noise) * np.eye(CLASSES)[(z @ truth).argmax(1)] + noise / CLASSES
    return z, chances, random.normal(0, 0.3, (DIMENSION, CLASSES))


def drawn(seed: int, count: int, noise: float = 0.2):  # type: ignore[no-untyped-def]
    z, chances, start = world(seed, noise)
    random = np.random.default_rng(seed + 10_000)
    atoms = random.integers(len(z), size=count)
    labels = (random.uniform(size=(count, 1)) > chances[atoms].cumsum(1)).sum(1)
    return z, chances, start, problem(z[atoms], labels.clip(max=CLASSES - 1), start)


def test_the_mean_is_ridge_regression_on_the_part_alone() -> None:
    *_, own = drawn(0, 60)
    found = split_ridge(own, 40, 0.1)
    assert (found.fitted, found.items) == (40, 20)
    z, residuals = own.features.coordinates[:40], own.residuals[:40]
    shift = found.penalty * own.features.squares[:40].mean() * 40
    by_hand = np.linalg.solve(z.T @ z + shift * np.eye(DIMENSION), z.T @ residuals)
    np.testing.assert_allclose(found.mean, by_hand, rtol=1e-8, atol=1e-10)
    outputs = own.features.base + own.features.coordinates @ found.mean
    wrong = (outputs[40:].argmax(1) != own.labels[40:]).sum()
    assert found.errors == wrong
    assert found.risk == binomial_upper_end(int(wrong), 20, math.log(10))


def test_what_the_tested_items_are_does_not_move_the_mean() -> None:
    z, _, start, own = drawn(1, 60)
    other = problem(
        np.concatenate([own.features.coordinates[:40], z[:20]]),
        np.concatenate([own.labels[:40], np.zeros(20, np.int64)]),
        start,
    )
    first, second = (split_ridge(one, 40, 0.1) for one in (own, other))
    np.testing.assert_array_equal(first.mean, second.mean)
    assert first.penalty == second.penalty


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_miss_rate(noise: float) -> None:
    """At most δ of 1000 small problems are missed, λ chosen greedily on the part."""
    delta, missed, counted = 0.2, 0, 0
    for seed in range(1000):
        z, chances, start, own = drawn(seed, 40, noise)
        found = split_ridge(own, 25, delta)
        said = (z @ (start + found.mean)).argmax(1)
        risk = 1 - chances[np.arange(100), said].mean()
        missed += found.risk < risk
        # the control: errors on the items that the mean was fitted to
        fitted = own.features.base[:25] + own.features.coordinates[:25] @ found.mean
        own_errors = int((fitted.argmax(1) != own.labels[:25]).sum())
        counted += binomial_upper_end(own_errors, 25, -math.log(delta)) < risk
    assert missed <= delta * 1000
    if noise == 1.0:
        assert counted > delta * 1000
