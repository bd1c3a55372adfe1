"""PAC-Bayes in path space for a two-phase run: from its items to blocks of the kernel to bounds."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.path_space import Features, Posterior, drawn_errors
from gencheck.bounds.path_space_choice import Chosen, Problem, best_drawn, best_mean
from gencheck.bounds.split_ridge import SplitRidge, split_ridge
from gencheck.errors import InputError
from gencheck.guarantees.two_phase_run import Measured, TwoPhaseItems
from gencheck.load.split import Array
from gencheck.network.scaled import Scaled
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel

# Freeze items whose features span the posterior; all of them where there are fewer.
LANDMARKS = 1000

# Kernels with other items are of float32: directions of smaller eigenvalues would be their rounding.
_RANK_TOLERANCE = 1e-6

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

    Attributes
    ----------
    measured
        The kernels that they were made from, for whoever needs them again.
    """

    problem: Problem
    test: Features | None
    span: Span
    measured: Measured


@dataclass(frozen=True)
class PathSpaceCertificate:
    """The drawn classifier's bound and the mean classifier's, each with its own posterior.

    Attributes
    ----------
    drawn_test_error, mean_test_error
        On the test items, where there are some; of the drawn classifier, in the mean over draws.
    moved
        Ridge regression on a part of the freeze items, where one was asked for.
    """

    blocks: KernelBlocks
    drawn: Chosen
    mean: Chosen
    drawn_test_error: float | None
    mean_test_error: float | None
    moved: SplitRidge | None = None


def kernel_blocks(
    source: TwoPhaseItems,
    landmarks: int = LANDMARKS,
    seed: int = 0,
    progress: Progress = SILENT,
    first: Array | None = None,
) -> KernelBlocks:
    """Kernels of a run's freeze and test items with random freeze items, brought to the bound's form.

    Parameters
    ----------
    first
        Freeze items whose columns are needed too, which come first; drawn without looking at labels.

    Raises
    ------
    InputError
        No landmark was asked for, or the kernel is zero.
    """
    if landmarks < 1:
        raise InputError(where="--landmarks", found=str(landmarks), required="at least 1")
    items = len(source.freeze)
    order = np.random.default_rng(seed).permutation(items)
    if first is not None:
        order = np.concatenate([first, order[~np.isin(order, first)]])
    count = min(landmarks, items)
    measured = source.measured(order, max(count, 0 if first is None else len(first)), progress)
    features, columns = measured.features, measured.leading(count)
    span = spanned_by(source.kernel, features, count, columns.exponent)
    coordinates = span.coordinates(columns)
    # turned so that the items' own second moment is diagonal
    own = torch.from_numpy(coordinates[:items])
    values, right = torch.linalg.eigh(own.T @ own)
    coordinates = coordinates @ right.numpy()
    span = Span(source.freeze.items[order[:count]], span.basis @ right, columns.exponent)
    squares = _squares(measured.squares, columns.exponent)
    base, labels = features.outputs.numpy(), source.freeze.labels[order]
    problem = Problem(
        Features(coordinates[:items], squares[:items], base[:items]),
        labels,
        values.clamp(min=0).numpy(),
        residuals=np.eye(source.classes)[labels] - base[:items],
        scale_unit=_scale_unit(source, columns.exponent),
    )
    test = None
    if source.test is not None:
        test = Features(coordinates[items:], squares[items:], base[items:])
    return KernelBlocks(problem, test, span, measured)


def spanned_by(kernel: PathKernel, features: PathFeatures, count: int, exponent: int) -> Span:
    """An orthonormal basis of the first items' features, in float64: the divergence relies on it.

    Raises
    ------
    InputError
        The kernel is zero.
    """
    cross = kernel.between(features)
    rows = torch.arange(count)
    block = cross.between(rows, rows)
    values, vectors = torch.linalg.eigh((block + block.T) / 2)
    kept = values > _RANK_TOLERANCE * values[-1]
    if not bool(kept.any()):
        raise InputError(
            where="certify",
            found="a kernel of zeros",
            required="freeze items with path features",
            remedy="No gate is open on any item: train the standard phase further.",
        )
    basis = vectors[:, kept] / values[kept].sqrt()
    # for kernels in units of 2**exponent instead of the cross kernel's
    turned = torch.ldexp(basis, torch.tensor((exponent - cross.exponent) / 2))
    return Span(features.factors.items[:count], turned, exponent)


def _squares(diagonal: Scaled, exponent: int) -> Array:
    """K(x, x) in units of 2**exponent, float64."""
    values: Array = torch.ldexp(
        diagonal.mantissa.double(), torch.tensor(diagonal.exponent - exponent)
    ).numpy()
    return values


def _scale_unit(source: TwoPhaseItems, exponent: int) -> float:
    """The unit of s: the standard phase's margin over its feature norm, in the kernel's units."""
    norm = source.units.feature_norm
    return source.units.margin / math.sqrt(float(norm * norm * Magnitude.of(1.0, -exponent)))


def path_space_certificate(
    blocks: KernelBlocks,
    test_labels: Array | None,
    delta: float,
    prior_share: float | None = None,
) -> PathSpaceCertificate:
    """The least bounds of both classifiers, each of which holds with probability 1 − δ by itself.

    Parameters
    ----------
    prior_share
        The share of the freeze items that weights are moved on for the rest to test; None for none.

    Raises
    ------
    InputError
        That share has not all landmarks in it, or leaves no item to test.
    """
    moved = None if prior_share is None else moved_on_part(blocks, prior_share, delta)
    drawn, mean = best_drawn(blocks.problem, delta), best_mean(blocks.problem, delta)
    errors: tuple[float | None, float | None] = (None, None)
    if blocks.test is not None and test_labels is not None:
        errors = (
            _drawn_error(drawn.posterior, blocks.test, test_labels),
            float((mean.posterior.outputs(blocks.test).argmax(1) != test_labels).mean()),
        )
    return PathSpaceCertificate(blocks, drawn, mean, *errors, moved=moved)


def moved_on_part(blocks: KernelBlocks, share: float, delta: float) -> SplitRidge:
    """Ridge regression on a share of the freeze items, in their random order, tested by the rest.

    Raises
    ------
    InputError
        The part has fewer items than span the features, which no tested item may help to choose, or
        leaves none to test.
    """
    items, landmarks = len(blocks.problem.labels), len(blocks.span.landmarks)
    count = round(share * items)
    if not max(2, landmarks) <= count < items:
        raise InputError(
            where="--prior-share",
            found=f"{share:g} of {items} freeze items, {count}, and {landmarks} landmarks",
            required="a part with the landmarks in it and items left to test",
            remedy=f"--landmarks {count} at most, or a larger share.",
        )
    return split_ridge(blocks.problem, count, delta)


def _drawn_error(posterior: Posterior, items: Features, labels: Array) -> float:
    errors = drawn_errors(posterior.outputs(items), labels, posterior.variances(items))
    return float(errors.mean())
