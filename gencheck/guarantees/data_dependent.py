"""The data-dependent bound for a two-phase run: from its items to coordinates to certificates.

The features are those in the span of items of the standard phase, which no freeze item decided: for
weights in that span the bound is that of path space, and every moment in it is a matrix of that size.
"""

from dataclasses import dataclass

import numpy as np
import torch

from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.span_concentration import Radii, SpanCertificate, span_certificate
from gencheck.errors import InputError
from gencheck.guarantees.path_space import spanned_by
from gencheck.guarantees.two_phase_run import TwoPhaseItems
from gencheck.load.split import Array
from gencheck.network.features import squared_feature_norm
from gencheck.progress import SILENT, Progress

# Items of the standard phase that the radii are read off, at most.
_RADIUS_ITEMS = 10_000
ORIGINS = ("zero", "standard")
RADII = ("range", "standard-items")


@dataclass(frozen=True)
class Spanned:
    """Items in the span: φ of shape (N, d), h⁰ of shape (N, K), labels."""

    coordinates: Array
    base: Array
    labels: Array


@dataclass(frozen=True)
class SpanItems:
    """The items of a run in units in which the mean of ‖φ‖² over `others` is 1.

    Attributes
    ----------
    freeze, others, test
        The freeze items, items of the standard phase that span nothing, and the test items.
    share
        The share of ‖z‖² that the span has, over the freeze items.
    largest
        B ≥ ‖φ‖² for every input in the range.
    """

    freeze: Spanned
    others: Spanned
    test: Spanned | None
    share: float
    largest: float


@dataclass(frozen=True)
class DataDependent:
    """One certificate: where weights are measured from, what the radii are, and the test error.

    Attributes
    ----------
    origin
        ``zero``: path weights and targets as they are; ``standard``: their distance from the standard
        phase's, and what its network leaves of the targets.
    radius
        ``range``: of every input in the range; ``standard-items``: the largest of the standard phase.
    """

    origin: str
    radius: str
    radii: Radii
    certificate: SpanCertificate
    test_error: float | None


def span_items(
    source: TwoPhaseItems,
    landmarks: int,
    input_reach: float,
    seed: int = 0,
    progress: Progress = SILENT,
) -> SpanItems:
    """Kernels with items of the standard phase, as coordinates.

    Parameters
    ----------
    landmarks
        How many items span, drawn at random; at most half of the standard phase's.
    input_reach
        The largest magnitude of an input coordinate.

    Raises
    ------
    InputError
        The standard phase has fewer than two items, or the kernel is zero.
    """
    count = min(landmarks, len(source.standard) // 2)
    if count < 1:
        raise InputError(
            where="the data-dependent bound",
            found=f"{len(source.standard)} items of the standard phase",
            required="two or more: features are taken in their span",
        )
    order = np.random.default_rng(seed).permutation(len(source.standard))
    known = source.standard[order[: count + _RADIUS_ITEMS]]
    parts = [known[:count], known[count:], source.freeze]
    parts += [] if source.test is None else [source.test]
    features = source.kernel.features(torch.cat([part.items for part in parts]), progress)
    columns = source.kernel.columns(features, count, progress)
    coordinates = spanned_by(source.kernel, features, count, columns.exponent).coordinates(columns)
    ends = np.cumsum([len(part) for part in parts])
    unit = float((coordinates[ends[0] : ends[1]] ** 2).sum(1).mean())
    made = [
        Spanned(own / np.sqrt(unit), base, part.labels)
        for own, base, part in zip(
            np.split(coordinates, ends[:-1]),
            np.split(features.outputs.numpy(), ends[:-1]),
            parts,
            strict=True,
        )
    ]
    squares = source.kernel.diagonal(features)
    whole = squares.mantissa[ends[1] : ends[2]].double().sum()
    scale = Magnitude.of(1 / unit, -columns.exponent)
    share = Magnitude.of(float(whole), squares.exponent) * scale
    largest = Magnitude.of(*squared_feature_norm(source.gates, input_reach)) * scale
    return SpanItems(
        freeze=made[2],
        others=made[1],
        test=made[3] if source.test is not None else None,
        share=float((made[2].coordinates ** 2).sum()) / float(share),
        largest=float(largest),
    )


def data_dependent(items: SpanItems, origin: str, radius: str, delta: float) -> DataDependent:
    """The certificate for weights measured from `origin`, with one kind of radius.

    The radius of residuals is 1 for one-hot targets themselves; around the standard phase it is the
    largest of that phase's items, whatever `radius`, since outputs have no range.
    """
    moved = origin == "standard"
    feature = items.largest
    if radius == "standard-items":
        feature = float((items.others.coordinates**2).sum(1).max())
    wanted, known = _wanted(items.freeze, moved), _wanted(items.others, moved)
    radii = Radii(feature, float((known**2).sum(1).max()))
    found = span_certificate(items.freeze.coordinates, wanted, radii, delta)
    error = None
    if items.test is not None:
        outputs = items.test.coordinates @ found.weights + moved * items.test.base
        error = float((outputs.argmax(1) != items.test.labels).mean())
    return DataDependent(origin, radius, radii, found, error)


def _wanted(items: Spanned, moved: bool) -> Array:
    """One-hot targets, less h⁰ where weights are measured from the standard phase's."""
    targets = np.eye(items.base.shape[1])[items.labels]
    return targets - items.base if moved else targets
