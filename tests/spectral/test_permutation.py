"""Relabelling: every statistic against brute force, p-values that are uniform, power on real data."""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.special import logsumexp
from torch import nn

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.permutation_facts import PermutationFacts
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.errors import SolverError
from gencheck.spectral.beta1 import batched_lanczos as lockstep
from gencheck.spectral.beta1.batched_lanczos import columns_at_once, top_eigenvalues
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.tiles import upper_tiles
from gencheck.spectral.permutation import (
    NullDistribution,
    compared,
    quadratic_forms,
    relabel,
    step_down_max_t,
)
from gencheck.training.loop import Training, fit
from tests.brute import enumerate_paths
from tests.cases import random_case
from tests.networks import ZOO

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]
Change: TypeAlias = Callable[[np.ndarray, np.ndarray], Arrays]
Judge: TypeAlias = tuple[AuditedModel, np.ndarray, np.ndarray]

STATISTICS = (
    *("beta1", "beta2", "beta3", "v_l2", "v_frobenius", "beta1_normalised"),
    *("squared_gap", "zero_one_gap", "cross_entropy_gap", "label_means"),
    "feature_means",
)


def gram_of(features: np.ndarray, tile: int = 7) -> Gram:
    kernel = torch.from_numpy(features @ features.T)
    tiles = upper_tiles(len(features), tile)
    return Gram(tiles, [kernel[t.rows, t.columns].clone() for t in tiles], len(features), 0)


def top_eigenvalues_of(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # on the span of the rows: the same nonzero eigenvalues from matrices of N rows
    triangle = np.linalg.qr(z.T, mode="r")
    return np.linalg.eigvalsh((triangle * labels.T[:, None]) @ triangle.T)[:, -1]


def brute_statistics(
    z: np.ndarray, outputs: np.ndarray, targets: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Every statistic, by all paths, under each column of labels. Shape (columns, statistics)."""
    lengths = np.linalg.norm(z, axis=1, keepdims=True)
    directions = np.divide(z, lengths, where=lengths > 0, out=np.zeros_like(z))
    wrong = outputs.argmax(1) != targets.argmax(1)
    entropy = logsumexp(outputs, axis=1) - (outputs * targets).sum(1)
    rows = []
    for weights in labels.T:
        v = z.T @ (weights[:, None] * targets)
        rows.append(
            [
                np.abs(v).max(),
                weights @ (targets**2).sum(1),
                np.linalg.norm(v, axis=0).max(),
                np.linalg.norm(v),
                abs(weights @ ((outputs - targets) ** 2).sum(1)),
                abs(weights @ wrong),
                abs(weights @ entropy),
                np.linalg.norm(weights @ targets),
                np.linalg.norm(weights @ directions),
            ]
        )
    found = np.insert(np.array(rows), 4, top_eigenvalues_of(directions, labels), axis=1)
    return np.insert(found, 0, top_eigenvalues_of(z, labels), axis=1)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ZOO)
def test_p_values_are_those_of_brute_force(name: str, task: str) -> None:
    case = random_case(name, seed=2, m=5, n=7, task=task)
    items = torch.cat([case.sample.items, case.reference.items])
    targets = torch.cat([case.sample.targets, case.reference.targets]).numpy()
    z, w = enumerate_paths(case.subject.network, items.reshape(len(items), -1).numpy())
    weights = torch.tensor([-1 / 5] * 5 + [1 / 7] * 7, dtype=torch.float64)
    labels = relabel(weights, 60, seed=4).numpy()
    observed, *others = brute_statistics(z, z @ w, targets, np.c_[weights.numpy(), labels])
    null = np.array(others)
    # β1 of a path space larger than the items' span
    observed[0], null[:, 0] = max(observed[0], 0), np.maximum(null[:, 0], 0)
    options = AuditOptions(dtype=torch.float64, tile=5, permutations=60, seed=4)
    options = replace(options, beta2_permutation_budget=10.0)
    found = audit(case.subject, case.sample, case.reference, task, options).permutation
    assert found is not None
    for at, statistic in enumerate(STATISTICS):
        if task == "regression" and statistic in ("zero_one_gap", "cross_entropy_gap"):
            assert found.statistics[statistic].p_value is None
            continue
        entry = found.statistics[statistic]
        tie = 1e-9 * (1 + abs(observed[at]))
        reached = int((null[:, at] >= observed[at] - tie).sum())
        assert entry.p_value == pytest.approx((1 + reached) / 61, abs=1e-12), statistic
        close = {"rel": 1e-9, "abs": 1e-9}
        assert float(entry.observed) == pytest.approx(observed[at], **close), statistic
        # eigenvalues are reported to three digits and mostly are far better
        close = {"rel": 1e-3, "abs": 1e-9}
        for share, value in ((0.5, entry.null_median), (0.95, entry.null_95)):
            expected = np.quantile(null[:, at], share, method="inverted_cdf")
            assert float(value) == pytest.approx(expected, **close), statistic


@pytest.mark.parametrize("rank", [1, 3, 12, 80])
def test_eigenvalues_side_by_side_are_those_of_each(rank: int) -> None:
    features = np.random.default_rng(rank).normal(size=(60, rank))
    gram = gram_of(features)
    weights = torch.tensor([-1 / 40] * 40 + [1 / 20] * 20, dtype=torch.float64)
    labels = relabel(weights, 40, seed=1)
    expected = np.array(
        [np.linalg.eigvalsh(features.T @ (d[:, None] * features))[-1] for d in labels.T.numpy()]
    )
    for threshold in (*np.quantile(expected, [0.1, 0.9]), 10 * expected.max()):
        found = top_eigenvalues(gram, labels, float(threshold))
        np.testing.assert_array_equal(found.reached.numpy(), expected >= threshold * (1 - 1e-12))
        assert (found.values.numpy() <= expected + 1e-12 * np.abs(expected).max()).all()
        np.testing.assert_allclose(found.values, expected, rtol=2e-3)
        assert (found.values + found.residuals).numpy() == pytest.approx(expected, rel=4e-3)


def test_the_observed_labels_among_the_relabellings_are_a_tie() -> None:
    features = np.random.default_rng(0).normal(size=(50, 70))
    gram = gram_of(features)
    weights = torch.tensor([-1 / 25] * 25 + [1 / 25] * 25, dtype=torch.float64)
    observed = top_eigenvalue(gram, weights).value
    labels = torch.stack([weights, -weights, weights], 1)
    found = top_eigenvalues(gram, labels, observed)
    assert found.reached[[0, 2]].all()
    # the test can fail: a hair more is not reached
    assert not top_eigenvalues(gram, labels, observed * (1 + 1e-7)).reached[[0, 2]].any()


def test_a_kernel_of_nothing_gives_ties() -> None:
    features = np.ones((20, 3))
    weights = torch.tensor([-1 / 10] * 10 + [1 / 10] * 10, dtype=torch.float64)
    gram = gram_of(features)
    observed = top_eigenvalue(gram, weights).value
    assert top_eigenvalues(gram, relabel(weights, 30, 0), observed).reached.all()


def test_how_columns_are_cut_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(50, 30))
    gram = gram_of(features)
    labels = relabel(torch.tensor([-1 / 30] * 30 + [1 / 20] * 20).double(), 23, 0)
    whole = top_eigenvalues(gram, labels, 1.0)
    monkeypatch.setattr(lockstep, "VECTOR_BYTES", 5 * 8 * 8 * 50)
    assert columns_at_once(50) == 5
    cut = top_eigenvalues(gram, labels, 1.0)
    torch.testing.assert_close(cut.values, whole.values, rtol=1e-10, atol=0)
    assert torch.equal(cut.reached, whole.reached)


def test_what_stays_undecided_is_an_error() -> None:
    gram = gram_of(np.random.default_rng(0).normal(size=(60, 60)))
    labels = relabel(torch.tensor([-1 / 30] * 30 + [1 / 30] * 30).double(), 9, 0)
    with pytest.raises(SolverError, match="9 of 9 eigenvalues are undecided after 2 products"):
        top_eigenvalues(gram, labels, 1.0, max_iterations=2)


@pytest.mark.parametrize("rows", [[], [4], [0, 1, 2, 11, 22], list(range(23))])
def test_forms_over_some_items(rows: list[int]) -> None:
    gram = gram_of(np.random.default_rng(0).normal(size=(23, 4)), tile=6)
    labels, target = torch.randn(23, 3).double(), torch.randn(23).double()
    c = labels[rows] * target[rows, None]
    part = gram.dense()[rows][:, rows]
    expected = (c * (part @ c)).sum(0)
    every = torch.arange(23)
    whole = (labels * (gram.dense() @ labels)).sum(0)
    groups = [(torch.tensor(rows).long(), target), (every, torch.ones(23).double())]
    forms = quadratic_forms(gram, groups, labels)
    torch.testing.assert_close(forms, torch.stack([expected, whole]))


def test_ties_count_against_rejection() -> None:
    null = compared(torch.tensor([1.0, 1.0, 1 - 1e-14, 0.5, 2.0]).double(), 1.0)
    assert null.reached == 3
    assert null.p_value == 4 / 5
    assert null.quantile(0.5) == pytest.approx(1)


def adjusted_by_closed_testing(values: np.ndarray) -> np.ndarray:
    """Each statistic's largest p-value over all sets of statistics that it is in, from (J, 1 + B) values.

    A set is tested by its largest standardised statistic. Nothing is put in an order here.
    """
    spread = values.std(1, keepdims=True)
    scores = np.divide(
        values - values.mean(1, keepdims=True), spread, where=spread > 0, out=np.zeros_like(values)
    )
    found = np.zeros(len(values))
    for size in range(1, len(values) + 1):
        for chosen in combinations(range(len(values)), size):
            largest = scores[list(chosen)].max(0)
            share = (largest >= largest[0] - 1e-12).mean()
            found[list(chosen)] = np.maximum(found[list(chosen)], share)
    return found


def nulls_of(values: np.ndarray) -> list[NullDistribution]:
    return [compared(torch.from_numpy(row), float(np.abs(row).max())) for row in values]


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_p_values_are_those_of_testing_every_set_of_statistics(seed: int) -> None:
    random = np.random.default_rng(seed)
    common = random.normal(size=40)
    values = np.stack([common + random.normal(size=40) * s for s in (0.0, 0.5, 2.0)])
    values = np.concatenate([values, random.integers(0, 3, size=(1, 40)), np.full((1, 40), 7.0)])
    values[:2, 0] += 2
    values[1] *= 1e-30
    adjusted = step_down_max_t(nulls_of(values))
    assert adjusted == pytest.approx(adjusted_by_closed_testing(values), abs=1e-12)
    assert adjusted[4] == 1
    for own, null in zip(adjusted, nulls_of(values), strict=True):
        assert own >= null.p_value


def test_every_way_to_split_a_few_items_gives_adjusted_p_values_of_their_level() -> None:
    """All 15 ways to call two of six items the sample, each in turn the one that was observed."""
    random = np.random.default_rng(0)
    z, x = random.normal(size=(6, 4)) ** 3, random.exponential(size=6)
    splits = list(combinations(range(6), 2))
    labels = np.full((6, 15), 1 / 4)
    for at, chosen in enumerate(splits):
        labels[list(chosen), at] = -1 / 2
    values = np.stack(
        [
            np.linalg.norm(z.T @ labels, axis=0),
            [np.linalg.eigvalsh(z.T @ (d[:, None] * z))[-1] for d in labels.T],
            x @ labels,
            np.abs(x @ labels),
        ]
    )
    smallest = []
    for at in range(15):
        others = [b for b in range(15) if b != at]
        adjusted = step_down_max_t(nulls_of(values[:, [at, *others]]))
        assert adjusted == pytest.approx(adjusted_by_closed_testing(values[:, [at, *others]]))
        smallest.append(min(adjusted))
    # exact: no more than a share p of the splits has a smallest p-value of at most p …
    for p in np.arange(1, 16) / 15:
        assert np.mean(np.array(smallest) <= p + 1e-12) <= p + 1e-12
    # … and it is reached: the most extreme split has 1/15, over four statistics
    assert min(smallest) == pytest.approx(1 / 15)


def test_the_adjustment_pays_for_statistics_that_agree_once() -> None:
    one = np.r_[3.0, np.random.default_rng(0).normal(size=99)]
    ten = nulls_of(np.tile(one, (10, 1)))
    assert step_down_max_t(ten) == [ten[0].p_value] * 10
    assert ten[0].p_value == 1 / 100


def test_relabelling_keeps_the_sizes_and_is_seeded() -> None:
    weights = torch.tensor([-0.5, -0.5, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64)
    labels = relabel(weights, 500, 3)
    assert torch.equal(labels, relabel(weights, 500, 3))
    assert torch.equal(labels.sort(0).values, weights.sort().values[:, None].expand(-1, 500))
    # each of the ten ways to choose the sample is met about equally often
    ways = {tuple(column.tolist()) for column in labels.T}
    assert len(ways) == 10


def test_items_that_are_alike_are_ties_wherever_they_stand() -> None:
    """Outputs of identical items differ in their last digits with the place in a batch."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 33), nn.ReLU(), nn.Linear(33, 3))
    subject = model_of_module(module, [(20,)])
    item, label = torch.randn(1, 20), torch.eye(3, dtype=torch.float64)[:1]
    sets = [Labelled(item.repeat(n, 1), label.repeat(n, 1)) for n in (64, 3)]
    options = AuditOptions(permutations=99, batch_size=64)
    found = audit(subject, *sets, "classification", options).permutation
    assert found.p_value == 1
    assert {each.p_value for each in found.statistics.values()} <= {1, None}


@pytest.mark.slow
def test_under_the_null_p_values_are_uniform() -> None:
    """400 random splits of one set, gates that saw neither side."""
    rounds, repetitions = 39, 400
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    subject = model_of_module(module.double(), [(5,)])
    p_values: dict[str, list[float]] = {
        name: [] for name in STATISTICS if name not in ("zero_one_gap", "cross_entropy_gap")
    }
    verdicts: list[float] = []
    for repetition in range(repetitions):
        x = torch.from_numpy(random.normal(size=(70, 5)) * random.exponential(size=(70, 1)))
        y = torch.from_numpy(random.normal(size=(70, 2)))
        sets = (Labelled(x[:30], y[:30]), Labelled(x[30:], y[30:]))
        options = AuditOptions(dtype=torch.float64, permutations=rounds, seed=repetition, top=0)
        options = replace(options, beta2_permutation_budget=10.0)
        found = audit(subject, *sets, "regression", options).permutation
        verdicts.append(found.p_value)
        for name in p_values:
            p_values[name].append(found.statistics[name].p_value)
    for name, values in p_values.items():
        # p takes the values 1/40, …, 1; spread over its own step it is uniform on (0, 1)
        spread = np.array(values) - random.random(repetitions) / (rounds + 1)
        assert stats.kstest(spread, "uniform").pvalue > 1e-3, name
        misses = sum(value <= 0.05 for value in values)
        assert stats.binomtest(misses, repetitions, 0.05).pvalue > 1e-3, (name, misses)
    # all questions together: the verdict is uniform as well
    spread = np.array(verdicts) - random.random(repetitions) / (rounds + 1)
    assert stats.kstest(spread, "uniform").pvalue > 1e-3
    misses = sum(value <= 0.1 for value in verdicts)
    assert stats.binomtest(misses, repetitions, 0.1).pvalue > 1e-3, misses


@pytest.fixture(scope="module")
def judge() -> Judge:
    """A network trained on items that are never audited, and the items left."""
    folder = os.environ.get("GENCHECK_DATA")
    if not folder or not (Path(folder) / "mnist.npz").is_file():
        pytest.skip("GENCHECK_DATA names no folder with mnist.npz")
    with np.load(Path(folder) / "mnist.npz") as archive:
        x, y = archive["x_train"].astype(np.float32) / 255, archive["y_train"].astype(int)
        test = archive["x_test"].astype(np.float32) / 255, archive["y_test"].astype(int)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    first = torch.from_numpy(x[:6000].reshape(-1, 784))
    fit(module, first, torch.eye(10)[torch.from_numpy(y[:6000])], Training(3, 32), seed=0)
    return model_of_module(module, [(784,)]), *test


def found_between(
    subject: AuditedModel,
    sample: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
) -> PermutationFacts:
    sets = [
        Labelled(
            torch.from_numpy(x.reshape(-1, 784).astype(np.float32)),
            torch.eye(10, dtype=torch.float64)[torch.from_numpy(y)],
        )
        for x, y in (sample, reference)
    ]
    options = AuditOptions(permutations=99, gates_independent=True, beta2_budget=0.0, top=0)
    found = audit(subject, sets[0], sets[1], "classification", options).permutation
    assert found is not None
    return found


def rotated(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ndimage.rotate(x, 10, axes=(2, 1), reshape=False, order=1), y


def blurred(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ndimage.gaussian_filter(x, (0, 1, 1)), y


def label_shifted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, (y + 1) % 10


def without_a_class(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x[y != 4], y[y != 4]


# The statistics that see each change: labels do not enter β1, and what moves pixels moves β1 most. Beside
# them the items of each set: a change is harder to tell from chance in fewer items, and sought sooner.
CHANGES = [
    (rotated, ("beta1",), 2000),
    (blurred, ("beta1",), 2000),
    (label_shifted, ("v_l2",), 1000),
    (without_a_class, ("beta1", "v_l2"), 2000),
]


@pytest.fixture(scope="module")
def halves(judge: Judge) -> tuple[Arrays, Arrays]:
    """2000 items that a change is made to, and 2000 as they are."""
    _, x, y = judge
    order = np.random.default_rng(1).permutation(len(x))[:4000]
    ours, theirs = order[:2000], order[2000:]
    return (x[ours], y[ours]), (x[theirs], y[theirs])


@pytest.mark.slow
@pytest.mark.parametrize(("change", "statistics", "count"), CHANGES)
def test_changes_of_mnist_are_detected(
    change: Change,
    statistics: tuple[str, ...],
    count: int,
    judge: Judge,
    halves: tuple[Arrays, Arrays],
) -> None:
    ours, theirs = ((x[:count], y[:count]) for x, y in halves)
    found = found_between(judge[0], change(*ours), theirs).statistics
    for statistic in statistics:
        assert found[statistic].p_value <= 0.01


@pytest.mark.slow
def test_unchanged_items_of_mnist_are_not_told_apart(
    judge: Judge, halves: tuple[Arrays, Arrays]
) -> None:
    found = found_between(judge[0], *halves).statistics
    for statistic in ("beta1", "v_l2"):
        assert found[statistic].p_value > 0.05
