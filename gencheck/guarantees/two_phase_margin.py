"""The data-independent bound measured on a two-phase network: margins, norms, features, union."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.multiclass import (
    Ball,
    Constant,
    MeasuredBound,
    constants_for,
    margin_bound,
    margins_of,
)
from gencheck.guarantees.path_weight_norms import (
    Solution,
    Weights,
    difference_of_two,
    squared_distances,
    weights_from,
)
from gencheck.guarantees.run_solution import read_solution
from gencheck.guarantees.two_phase_run import (
    Measured,
    TwoPhaseRun,
    Units,
    read_two_phase_run,
    root_mean,
)
from gencheck.load.split import Array
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.path_kernel import PathKernel

# Each origin of the weights gets half of δ.
_ORIGINS = 2


@dataclass(frozen=True)
class Certificate:
    """What the data-independent bound certifies for a two-phase network.

    Attributes
    ----------
    items, classes, error
        m_σ, d_y, and the 0-1 error on the m_σ items.
    test_error
        On the items of the test split, where they were read and there are some.
    feature_norm
        C_σ: the root of their mean of ‖z‖².
    unit
        The unit of the grid of γ: the same figure on the standard phase's items.
    margin_unit
        The unit of the grid of ρ: the mean absolute margin of the standard phase's network on its
        own items.
    weights
        Norms, from each origin.
    bounds
        The best of both origins for each theory, best theory last.
    origins
        The origin that each bound is from.
    """

    items: int
    classes: int
    error: float
    test_error: float | None
    feature_norm: Magnitude
    unit: Magnitude
    margin_unit: float
    weights: tuple[Weights, ...]
    bounds: tuple[MeasuredBound, ...]
    origins: tuple[str, ...]

    @property
    def certified(self) -> MeasuredBound:
        """The headline, chosen by a rule that does not look: the last theory is never the worse."""
        return self.bounds[-1]


@dataclass(frozen=True)
class _Scores:
    """Outputs on the freeze items and then the test items, labels, the root of the mean of ‖z‖²."""

    outputs: Tensor
    labels: Array
    feature_norm: Magnitude
    units: Units


def measured_certificate(
    folder: Path,
    data: Path,
    delta: float,
    x_key: str | None = None,
    y_key: str | None = None,
    progress: Progress = SILENT,
) -> Certificate:
    """Certify the 0-1 risk of the network in the folder of a two-phase run, on the run's own data.

    Parameters
    ----------
    delta
        1 − the confidence of this run alone: of several that are compared, each gets its share.

    Raises
    ------
    InputError
        As `read_two_phase_run` raises it.
    """
    run = read_two_phase_run(folder, data, x_key, y_key, with_test=False)
    return margin_certificate(run, delta, progress)


def margin_certificate(
    run: TwoPhaseRun,
    delta: float,
    progress: Progress = SILENT,
    measured: Measured | None = None,
) -> Certificate:
    """Certify the 0-1 risk of a run's network by its margins and path weights.

    Everything comes from the freeze phase's items, which the gates have not seen, but the grids'
    units, which come from the others.

    Parameters
    ----------
    measured
        Kernels that are there already, of these items with `own_landmarks` first.
    """
    scores, weights = (_of_ridge if run.solved else _of_network)(run, progress, measured)
    test_labels = None if run.items.test is None else run.items.test.labels
    return _certificate(scores, weights, delta, test_labels)


def _of_network(
    run: TwoPhaseRun, progress: Progress, measured: Measured | None
) -> tuple[_Scores, list[Weights]]:
    network, gates = run.model.network, run.items.gates
    pooled = (
        run.items.freeze.items
        if run.items.test is None
        else torch.cat([run.items.freeze.items, run.items.test.items])
    )
    held = PathKernel.of(network, gates=gates).features(pooled, progress)
    networks = [(network, gates)]
    if network.output_count == 2:
        networks.append((difference_of_two(network), difference_of_two(gates)))
    moved, whole = zip(*(squared_distances(own, base) for own, base in networks), strict=True)
    weights = [weights_from("standard phase", list(moved)), weights_from("zero", list(whole))]
    # the gates are those of the standard phase, and with them z
    squares = run.items.kernel.diagonal(held) if measured is None else measured.squares
    size = root_mean(squares, len(run.items.freeze))
    return _Scores(held.outputs, run.items.freeze.labels, size, run.items.units), weights


def run_outputs(run: TwoPhaseRun, items: Tensor, progress: Progress = SILENT) -> Array:
    """Outputs h of the run's own network at other items, gates held, shape (N, K)."""
    outputs: Array
    if not run.solved:
        kernel = PathKernel.of(run.model.network, gates=run.items.gates)
        outputs = kernel.features(items, progress).outputs.numpy()
        return outputs
    found, marks, centred = read_solution(run)
    features = run.items.kernel.features(
        torch.cat([run.items.freeze.items[marks], items]), progress
    )
    own = found.on(run.items.kernel, features, progress).products
    outputs = (own + features.outputs if centred else own)[len(marks) :].numpy()
    return outputs


def _of_ridge(
    run: TwoPhaseRun, progress: Progress, measured: Measured | None
) -> tuple[_Scores, list[Weights]]:
    found, marks, centred = read_solution(run)
    count = len(marks)
    if measured is not None and np.array_equal(measured.order[:count], marks):
        order, features, squares = measured.order, measured.features, measured.squares
        applied = found.by_columns(measured.leading(count))
    else:
        order = np.concatenate([marks, np.setdiff1d(np.arange(len(run.items.freeze)), marks)])
        features = run.items.pooled(order, progress)
        applied = found.on(run.items.kernel, features, progress)
        squares = run.items.kernel.diagonal(features)
    outputs = applied.products + features.outputs if centred else applied.products
    shift = torch.tensor(squares.exponent - applied.exponent)
    solution = Solution(
        applied.coefficients,
        products=applied.products[:count],
        squares=torch.ldexp(squares.mantissa[:count], shift),
        exponent=applied.exponent,
        base=features.outputs[:count],
        rounding=torch.finfo(features.factors.items.dtype).eps,
    )
    if centred:
        weights = [
            Weights("standard phase", solution.norms()),
            Weights("zero", solution.norms_around(run.items.gates)),
        ]
    else:
        weights = [Weights("zero", solution.norms())]
    size = root_mean(squares, len(order))
    return _Scores(outputs, run.items.freeze.labels[order], size, run.items.units), weights


def _certificate(
    scores: _Scores, weights: list[Weights], delta: float, test_labels: Array | None
) -> Certificate:
    labels, count = scores.labels, len(scores.labels)
    outputs, apart = scores.outputs[:count].numpy(), scores.outputs[count:].numpy()
    classes = outputs.shape[1]
    margins = margins_of(outputs, labels)
    best = [
        _best(margins, constant, classes=classes, scores=scores, weights=weights, delta=delta)
        for constant in constants_for(classes)
    ]
    return Certificate(
        items=len(labels),
        classes=classes,
        error=float((margins <= 0).mean()),
        test_error=None if test_labels is None else float((apart.argmax(1) != test_labels).mean()),
        feature_norm=scores.feature_norm,
        unit=scores.units.feature_norm,
        margin_unit=scores.units.margin,
        weights=tuple(weights),
        bounds=tuple(bound for bound, _ in best),
        origins=tuple(origin for _, origin in best),
    )


def _best(
    margins: Array,
    constant: Constant,
    classes: int,
    scores: _Scores,
    weights: list[Weights],
    delta: float,
) -> tuple[MeasuredBound, str]:
    """The better origin's bound, in units in which the standard phase's feature norm is 1."""
    found = []
    for seen in weights:
        # ⟨u, z⟩ is unchanged when z shrinks and u grows; in these units neither overflows
        radius = float(seen.norms[constant.norm] * scores.units.feature_norm)
        size = float(scores.feature_norm * _inverse(scores.units.feature_norm))
        if not math.isfinite(radius):
            radius = 1e300
        offset = None if seen.origin == "zero" else scores.units.margin
        ball = Ball(radius, size, offset)
        bound = margin_bound(margins, constant, classes, ball, delta / _ORIGINS)
        found.append((bound, seen.origin))
    return min(found, key=lambda pair: pair[0].risk)


def _inverse(value: Magnitude) -> Magnitude:
    return Magnitude.of(1 / value.mantissa, -value.exponent)
