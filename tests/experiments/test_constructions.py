"""`linear-failure` and `paradox`: the constructions against computations of their own."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from gencheck.errors import InputError
from gencheck.experiments.linear_failure import EPSILON, memorised, parameters_at
from gencheck.experiments.paradox import (
    FLIPPED,
    Sample,
    brittle,
    fickle_algorithm,
    minimum,
    rule,
    table,
)
from tests.experiments.runs import reproduced, without_times


def exact_products(stack: np.ndarray, step: np.ndarray) -> list[Fraction]:
    """Stack · step for one output in rational arithmetic, so that no round-off hides in the sums."""
    rows = [[Fraction(value) for value in row] for row in stack.tolist()]
    column = [Fraction(value) for value in step.tolist()]
    return [sum((a * b for a, b in zip(row, column, strict=True)), Fraction()) for row in rows]


@pytest.mark.parametrize(("norm", "distance"), [(1e6, 1e6), (1e9, 1e9), (12.0, 10.0), (9.0, 10.0)])
def test_any_norm_and_distance(norm: float, distance: float) -> None:
    rng = np.random.default_rng(1)
    stack, truth = rng.standard_normal((12, 20)), rng.standard_normal((20, 2))
    found = parameters_at(stack, truth, norm, distance)
    assert math.sqrt((found**2).sum()) == pytest.approx(norm, rel=1e-9)
    assert math.sqrt(((found - truth) ** 2).sum()) == pytest.approx(distance, rel=1e-9)
    for k in range(2):
        deviations = exact_products(stack, found[:, k] - truth[:, k])
        assert sum(float(d) ** 2 for d in deviations) / 12 <= EPSILON


def test_seeds_give_other_parameters() -> None:
    rng = np.random.default_rng(1)
    stack, truth = rng.standard_normal((5, 9)), rng.standard_normal((9, 2))
    one, two = (parameters_at(stack, truth, 100.0, 100.0, seed) for seed in (1, 2))
    assert np.linalg.norm(one - two) > 10


def test_a_truth_that_the_stack_sees_whole() -> None:
    stack = np.eye(3, 6)
    truth = np.r_[np.ones((3, 1)), np.zeros((3, 1))]
    found = parameters_at(stack, truth, math.sqrt(3 + 16), 4.0)
    assert np.linalg.norm(found - truth) == pytest.approx(4)
    assert np.abs(stack @ found - stack @ truth).max() < 1e-12
    with pytest.raises(InputError, match="the norm: found 5 at a distance of 4"):
        parameters_at(stack, truth, 5.0, 4.0)


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((6, 2))
    with pytest.raises(InputError, match="rank 6 with 6 features"):
        parameters_at(rng.standard_normal((7, 6)), truth, 10.0, 10.0)
    with pytest.raises(InputError, match="required: a norm from"):
        parameters_at(rng.standard_normal((3, 6)), truth, 1e6, 1.0)


def test_any_labels_are_memorised() -> None:
    rng = np.random.default_rng(3)
    train, labels = rng.standard_normal((10, 15)), rng.standard_normal((10, 3))
    assert np.abs(train @ memorised(train, labels) - labels).max() < 1e-12


def test_linear_failure_runs(tmp_path: Path) -> None:
    doc = reproduced("linear-failure")
    *same, random = doc["rows"]
    assert all(max(row["train_mse"], row["test_mse"]) <= EPSILON for row in same)
    for row in same:
        assert row["norm"] == pytest.approx(row["distance_from_truth"], rel=1e-9)
    assert same[-1]["norm"] > 1e9
    assert random["train_mse"] < EPSILON < 1 < random["test_mse"]
    assert without_times(doc) == without_times(reproduced("linear-failure"))
    assert reproduced("linear-failure", "--seed", "1")["rows"] != doc["rows"]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((90, 5, 5)), y=rng.integers(3, size=90))
    own = reproduced("linear-failure", "--data", tmp_path / "data.npz")
    assert own["settings"]["n"] == 25
    assert own["settings"]["rank_of_stack"] == 18
    assert max(row["test_mse"] for row in own["rows"][:-1]) <= EPSILON


@pytest.fixture(scope="module")
def small() -> Sample:
    return Sample.drawn(300, 0)


def test_the_task_is_what_it_says() -> None:
    sample = Sample.drawn(40_000, 3)
    assert sample.error(rule) == pytest.approx(FLIPPED, abs=5 * math.sqrt(0.09 / 40_000))
    assert set(np.unique(sample.labels)) == {-1.0, 1.0}


def test_tables_fit_anything_and_change_nothing_else(small: Sample) -> None:
    labels = np.where(np.random.default_rng(9).random(300) < 0.5, -1.0, 1.0)
    predictor = table(small.items, labels)
    assert (predictor(small.items) == labels).all()
    fresh = Sample.drawn(500, 1)
    assert (predictor(fresh.items) == rule(fresh.items)).all()


def test_one_item_turns_the_fickle_algorithm(small: Sample) -> None:
    algorithm = fickle_algorithm(small)
    assert (algorithm(small)(small.items) == rule(small.items)).all()
    items = small.items.copy()
    items[7] += 1e-9
    assert (algorithm(Sample(items, small.labels))(items) == -rule(items)).all()


@pytest.mark.parametrize("radius", [1e-2, 1e-6])
def test_brittle_predictors_flip_in_the_shell_alone(small: Sample, radius: float) -> None:
    predictor = brittle(small, radius)
    assert (predictor(small.items) == rule(small.items)).all()
    step = np.zeros(5)
    step[2] = 1.0
    inside, outside = small.items + 0.9 * radius * step, small.items + 1.1 * radius * step
    assert (predictor(inside) == -rule(inside)).all()
    apart = np.linalg.norm(outside[:, None] - small.items[None], axis=2).min(1) > radius
    assert apart.sum() > 290
    assert (predictor(outside) == rule(outside))[apart].all()


def test_scaled_networks_are_the_same_function_and_sharper(small: Sample) -> None:
    found = minimum(small)
    assert found.slope(small) < 1e-6
    fresh = Sample.drawn(2000, 5)
    curvatures = []
    for factor in (1.0, 16.0, 256.0):
        network = found.scaled(factor)
        assert (network(fresh.items) == found(fresh.items)).all()
        curvatures.append(network.sharpness(small))
    # curvature along the output layer grows with c⁴
    assert curvatures[2] / curvatures[1] == pytest.approx(16**4, rel=0.05)
    assert curvatures[1] > 100 * curvatures[0]


def test_sharpness_against_differences(small: Sample) -> None:
    network = minimum(small)
    parameters, count = network.parameters.numpy(), len(network.parameters)

    def loss(p: np.ndarray) -> float:
        hidden = np.maximum(small.items @ p[:10].reshape(2, 5).T, 0) ** 2 @ p[10:]
        return float(np.log1p(np.exp(-small.labels * hidden)).mean())

    step, eye = 1e-4, np.eye(count)
    hessian = np.array(
        [
            [
                loss(parameters + step * (a + b))
                - loss(parameters + step * (a - b))
                - loss(parameters - step * (a - b))
                + loss(parameters - step * (a + b))
                for b in eye
            ]
            for a in eye
        ]
    ) / (4 * step**2)
    assert np.linalg.eigvalsh(hessian)[-1] == pytest.approx(network.sharpness(small), rel=0.05)
    assert torch.equal(network.parameters, minimum(small).parameters)


@pytest.mark.slow
def test_paradox_runs() -> None:
    doc = reproduced("paradox")
    rows = {(row["property"], row["setting"]): row for row in doc["rows"]}
    noise = doc["settings"]["noise_of_a_gap"]
    for row in rows.values():
        assert row["gap"] == pytest.approx(row["fresh_error"] - row["train_error"], abs=1e-12)
        assert abs(row["gap"]) <= noise
    by_property = {
        name: [r["value"] for (p, _), r in rows.items() if p == name] for name, _ in rows
    }
    assert by_property["capacity"] == [1.0]
    assert by_property["instability"] == [1.0]
    assert min(by_property["non-robustness"]) > 0.99
    assert by_property["sharpness"][-1] > 1e6 * by_property["sharpness"][0]
    assert without_times(doc) == without_times(reproduced("paradox"))
