"""PAC-Bayes in path space for a two-phase run: from its items to blocks of the kernel to bounds."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.path_space import Features, Posterior, drawn_errors
from gencheck.bounds.path_space_choice import Chosen, Problem, best_drawn, best_mean
from gencheck.errors import InputError
from gencheck.guarantees.two_phase_run import TwoPhaseRun
from gencheck.load.split import Array
from gencheck.network.algebra import Scaled
from gencheck.progress import SILENT, Progress
from gencheck.training.ridge import RidgeProblem

# Freeze items whose features span the posterior; all of them where there are fewer.
LANDMARKS = 1000

_ROWS = 4096


@dataclass(frozen=True)
class Span:
    """The span of some items' features: coordinates φ(x) = k(x, landmarks) · basis.

    Attributes
    ----------
    landmarks
        The items, shape (L, …), in the run's dtype.
    basis
        Shape (L, d), float64, for kernels in units of 2**exponent.
    """

    landmarks: Tensor
    basis: Tensor
    exponent: int

    def coordinates(self, columns: Scaled) -> Array:
        """φ of items with kernel columns K(x, l), shape (N, L): shape (N, d)."""
        basis = torch.ldexp(self.basis, torch.tensor(columns.exponent - self.exponent))
        parts = [rows.double() @ basis for rows in columns.mantissa.split(_ROWS)]
        return torch.cat(parts).numpy()


@dataclass(frozen=True)
class KernelBlocks:
    """What the bound needs of the freeze items, and the same of the test items.

    Everything is in units of 2**exponent of the kernel, so that no norm overflows.
    """

    problem: Problem
    test: Features | None
    span: Span


@dataclass(frozen=True)
class PathSpaceCertificate:
    """The drawn classifier's bound and the mean classifier's, each with its own posterior.

    Attributes
    ----------
    drawn_test_error, mean_test_error
        On the test items, where there are some; of the drawn classifier, in the mean over draws.
    """

    blocks: KernelBlocks
    drawn: Chosen
    mean: Chosen
    drawn_test_error: float | None
    mean_test_error: float | None


def kernel_blocks(
    run: TwoPhaseRun, landmarks: int = LANDMARKS, seed: int = 0, progress: Progress = SILENT
) -> KernelBlocks:
    """Kernels of a run's freeze and test items with random freeze items, brought to the bound's form.

    Raises
    ------
    InputError
        No landmark was asked for, or the kernel is zero.
    """
    if landmarks < 1:
        raise InputError(where="--landmarks", found=str(landmarks), required="at least 1")
    items = len(run.freeze)
    order = np.random.default_rng(seed).permutation(items)
    features = run.pooled(order, progress)
    count = min(landmarks, items)
    columns = run.kernel.columns(features, count, progress)
    squares = _squares(run.kernel.diagonal(features), columns.exponent)
    ridge = RidgeProblem.of(columns.mantissa[:count], columns.mantissa[:items])
    basis = ridge.vectors / ridge.values.sqrt()
    assert ridge.spectrum.right is not None
    basis = basis @ ridge.spectrum.right
    span = Span(run.freeze.items[order[:count]], basis, columns.exponent)
    coordinates = span.coordinates(columns)
    base = features.outputs.numpy()
    labels = run.freeze.labels[order]
    residuals = np.eye(run.classes)[labels] - base[:items]
    problem = Problem(
        Features(coordinates[:items], squares[:items], base[:items]),
        labels,
        ridge.spectrum.values.numpy(),
        residuals,
        scale_unit=_scale_unit(run, columns.exponent),
    )
    test = None
    if run.test is not None:
        test = Features(coordinates[items:], squares[items:], base[items:])
    return KernelBlocks(problem, test, span)


def _squares(diagonal: Scaled, exponent: int) -> Array:
    """K(x, x) in units of 2**exponent, float64."""
    values: Array = torch.ldexp(
        diagonal.mantissa.double(), torch.tensor(diagonal.exponent - exponent)
    ).numpy()
    return values


def _scale_unit(run: TwoPhaseRun, exponent: int) -> float:
    """The unit of s: the standard phase's margin over its feature norm, in the kernel's units."""
    norm = run.units.feature_norm
    return run.units.margin / math.sqrt(float(norm * norm * Magnitude.of(1.0, -exponent)))


def path_space_certificate(
    blocks: KernelBlocks, test_labels: Array | None, delta: float
) -> PathSpaceCertificate:
    """The least bounds of both classifiers, each of which holds with probability 1 − δ by itself."""
    drawn, mean = best_drawn(blocks.problem, delta), best_mean(blocks.problem, delta)
    errors: tuple[float | None, float | None] = (None, None)
    if blocks.test is not None and test_labels is not None:
        errors = (
            _drawn_error(drawn.posterior, blocks.test, test_labels),
            float((mean.posterior.outputs(blocks.test).argmax(1) != test_labels).mean()),
        )
    return PathSpaceCertificate(blocks, drawn, mean, *errors)


def _drawn_error(posterior: Posterior, items: Features, labels: Array) -> float:
    errors = drawn_errors(posterior.outputs(items), labels, posterior.variances(items))
    return float(errors.mean())
