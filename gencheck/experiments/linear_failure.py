"""Linear models: parameters of any norm, any distance from the truth, and no error at all."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.experiments.experiment import (
    SOURCE,
    Comparison,
    ExperimentOptions,
    ExperimentResult,
    Row,
)
from gencheck.progress import Progress

Matrix = NDArray[np.float64]

# What training and test error must not exceed, as the mean square of one output's deviation.
EPSILON = 1e-6
# Norm and distance alike, in multiples of the truth's norm.
MULTIPLES = (1e1, 1e3, 1e6, 1e9)

_ROUNDING = 1e-12


@dataclass(frozen=True)
class LinearTask:
    """Items X and X_test of n features, and the truth W*, of shape (n, s), that labels both.

    Attributes
    ----------
    train, test
        Shapes (m, n) and (t, n).
    """

    train: Matrix
    test: Matrix
    truth: Matrix
    origin: str

    @property
    def stack(self) -> Matrix:
        """[X; X_test], of shape (m + t, n)."""
        return np.vstack([self.train, self.test])


def parameters_at(
    stack: Matrix, truth: Matrix, norm: float, distance: float, seed: int = 0
) -> Matrix:
    """W with stack·W = stack·W*, ‖W‖_F = `norm` and ‖W − W*‖_F = `distance`.

    W = W* + a·U + b·V with U the direction of the part of W* that `stack` does not see, V another
    direction that it does not see, orthogonal to U, drawn from `seed`, and a² + b² = distance².

    Raises
    ------
    InputError
        `stack` sees every direction (its rank is n), leaves only one, or no parameters have that norm
        at that distance (the triangle inequality); names the norms that there are.
    """
    unseen = _null_space(stack)
    if unseen.shape[1] * truth.shape[1] < 2:
        raise InputError(
            where="the stack of training and test items",
            found=f"rank {stack.shape[1] - unseen.shape[1]} with {stack.shape[1]} features",
            required="a rank below the number of features, with two free directions or more",
        )
    inside = unseen.T @ truth
    hidden = float(np.linalg.norm(inside))
    seen = math.sqrt(max(0.0, float(np.linalg.norm(truth)) ** 2 - hidden**2))
    low, high = math.hypot(seen, hidden - distance), math.hypot(seen, hidden + distance)
    if not low * (1 - _ROUNDING) <= norm <= high * (1 + _ROUNDING):
        raise InputError(
            where="the norm",
            found=f"{norm:g} at a distance of {distance:g}",
            required=f"a norm from {low:g} to {high:g}",
        )
    other = np.random.default_rng(seed).standard_normal(inside.shape)
    if hidden > 0:
        along = inside / hidden
        other -= float((other * along).sum()) * along
        # from ‖W‖² = ‖W*‖² + 2a·hidden + distance², factored so that large numbers do not cancel
        a = ((norm - distance) * (norm + distance) - seen**2 - hidden**2) / (2 * hidden)
        a = min(max(a, -distance), distance)
    else:
        along, a = np.zeros_like(inside), 0.0
    b = math.sqrt((distance - a) * (distance + a))
    step = a * along + b * other / np.linalg.norm(other)
    found: Matrix = truth + unseen @ step
    return found


def _null_space(stack: Matrix) -> Matrix:
    """An orthonormal basis of the directions that no item sees, of shape (n, n − rank)."""
    _, values, rows = np.linalg.svd(stack, full_matrices=True)
    rank = int((values > values[0] * max(stack.shape) * np.finfo(float).eps).sum())
    basis: Matrix = rows[rank:].T
    return basis


def memorised(train: Matrix, labels: Matrix) -> Matrix:
    """The least-norm W with train·W = labels, for any labels, where `train` has rank m."""
    return np.asarray(np.linalg.lstsq(train, labels, rcond=None)[0], dtype=np.float64)


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """Build the theorem's parameters and measure norm, distance, training and test error.

    Raises
    ------
    InputError
        The data cannot be used, or its items leave no free direction.
    """
    task = _task(options)
    distances = [multiple * float(np.linalg.norm(task.truth)) for multiple in MULTIPLES]
    rows = [
        _row(
            "same outputs as the truth",
            task,
            parameters_at(task.stack, task.truth, distance, distance, options.seed),
        )
        for distance in distances
    ]
    rng = np.random.default_rng(options.seed)
    labels = rng.standard_normal((len(task.train), task.truth.shape[1]))
    rows.append(_row("memorises random labels", task, memorised(task.train, labels), labels))
    worst = max(max(float(str(row["train_mse"])), float(str(row["test_mse"]))) for row in rows[:-1])
    return ExperimentResult(
        name="linear-failure",
        claim=(
            "With more features than training items and a rank-deficient stack of training and test "
            "items, a linear model can memorise any labels, and has parameters arbitrarily large and "
            "arbitrarily far from the truth whose training and test errors are at most ε."
        ),
        certainty="constructed",
        rows=tuple(rows),
        comparisons=(Comparison("largest error of the construction (ε is 1e-6)", None, worst),),
        settings={
            "data": task.origin,
            "m": len(task.train),
            "test_items": len(task.test),
            "n": task.train.shape[1],
            "outputs": task.truth.shape[1],
            "rank_of_stack": int(np.linalg.matrix_rank(task.stack)),
            "epsilon": EPSILON,
            "first_seed": options.seed,
            "source": SOURCE,
        },
        differs=(
            "The source proves that such parameters exist; here they are built, in float64. Errors "
            "are mean squares per output against the truth's outputs, so what is left is round-off.",
        ),
        verdict=(
            f"The errors stay at or below {worst:.2g} while norm and distance reach "
            f"{distances[-1]:.3g}: neither says anything about the test error here."
            if worst <= EPSILON
            else f"Round-off has taken the errors to {worst:.2g}, past ε = {EPSILON:g}."
        ),
        plot=lambda figure: _plot(rows[:-1], figure),
    )


def _task(options: ExperimentOptions) -> LinearTask:
    rng = np.random.default_rng(options.seed)
    if options.data is None:
        m, t, n, s = (1000, 1000, 4000, 10) if options.full else (50, 50, 200, 3)
        train, test = rng.standard_normal((m, n)), rng.standard_normal((t, n))
        return LinearTask(train, test, rng.standard_normal((n, s)), "Gaussian items")
    # images need torch, Gaussian items do not
    from gencheck.experiments.images import labelled_images

    images = labelled_images(options)
    n = images.train_items[0].numel()
    count = min(3 * n // 8, len(images.train_items), len(images.test_items))
    train, test = (
        items.flatten(1).double().numpy()[rng.permutation(len(items))[:count]]
        for items in (images.train_items, images.test_items)
    )
    truth = rng.standard_normal((n, images.classes)) / math.sqrt(n)
    return LinearTask(train, test, truth, str(images.record["data"]))


def _row(what: str, task: LinearTask, found: Matrix, labels: Matrix | None = None) -> Row:
    targets = task.train @ task.truth if labels is None else labels
    return {
        "parameters": what,
        "norm": float(np.linalg.norm(found)),
        "distance_from_truth": float(np.linalg.norm(found - task.truth)),
        "train_mse": float(np.square(task.train @ found - targets).mean()),
        "test_mse": float(np.square(task.test @ (found - task.truth)).mean()),
    }


def _plot(rows: list[Row], figure: Any) -> None:
    axes = figure.add_subplot()
    for key in ("train_mse", "test_mse"):
        axes.loglog(
            [row["distance_from_truth"] for row in rows],
            [row[key] for row in rows],
            "o-",
            label=key,
        )
    axes.axhline(EPSILON, color="grey", linestyle=":", label="ε")
    axes.set(xlabel="distance from the truth, and norm", ylabel="mean squared error")
    axes.legend()
