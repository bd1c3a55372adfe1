"""The data-independent bound measured on a two-phase network: margins, norms, features, union."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gencheck.bounds.magnitude import Magnitude, total
from gencheck.bounds.multiclass import Constant, MeasuredBound, constants_for, margin_bound
from gencheck.errors import InputError
from gencheck.load.dataset import load_dataset
from gencheck.load.digest import sha256_of
from gencheck.load.prepare import candidate_shapes, prepared, target_rows
from gencheck.load.run_folder import RunFolder, positions_of, read_run_folder
from gencheck.load.split import Array, Split
from gencheck.network.innerproducts import squared_feature_norms
from gencheck.network.ir import Network
from gencheck.network.terms import kernel_program
from gencheck.pathweights import (
    Weights,
    difference_of_two,
    norms_around,
    norms_of_solution,
    squared_distances,
    weights_from,
)
from gencheck.progress import SILENT, Progress
from gencheck.spectral.executors import executor_for
from gencheck.spectral.factors import forward
from gencheck.spectral.gram import kernel_columns
from gencheck.subject import Subject, load_subject

# Each origin of the weights gets half of δ.
_ORIGINS = 2

_BATCH = 1024


@dataclass(frozen=True)
class Certificate:
    """What the data-independent bound certifies for a two-phase network.

    Attributes
    ----------
    items, classes, error
        m_σ, d_y, and the 0-1 error on the m_σ items.
    feature_norm
        C_σ: the root of their mean of ‖z‖².
    unit
        The grid's unit of margins: the same figure on the standard phase's items.
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
    feature_norm: Magnitude
    unit: Magnitude
    weights: tuple[Weights, ...]
    bounds: tuple[MeasuredBound, ...]
    origins: tuple[str, ...]

    @property
    def certified(self) -> MeasuredBound:
        """The headline, chosen by a rule that does not look: the last theory is never the worse."""
        return self.bounds[-1]


@dataclass(frozen=True)
class _Scores:
    """What was measured on the freeze items and the standard items."""

    outputs: Tensor
    labels: Array
    feature_norm: Magnitude
    unit: Magnitude


def measured_certificate(
    folder: Path,
    data: Path,
    delta: float,
    x_key: str | None = None,
    y_key: str | None = None,
    progress: Progress = SILENT,
) -> Certificate:
    """Certify the 0-1 risk of the network in the folder of a two-phase run, on the run's own data.

    Everything comes from the freeze phase's items, which the gates have not seen, but the grid's
    unit, which comes from the others.

    Raises
    ------
    InputError
        The folder is none of a two-phase run, or the data are not those that it was trained on.
    """
    run = read_run_folder(folder)
    if not run.trained_on(sha256_of(data)):
        raise InputError(
            where=f"--data {data}",
            found="other data than the run was trained on (SHA-256 differs)",
            required=f"the data named in {folder / 'run.json'}",
            remedy="The bound needs items that the gates have not seen and the weights were fitted "
            "to; for other data use gencheck val-bound on the predictions.",
        )
    main = load_dataset(data, x_key, y_key).main
    freeze = main.taken(positions_of(run.freeze, main.indices, main.where)).loaded()
    standard = main.taken(positions_of(run.standard, main.indices, main.where)).loaded()
    shapes = list(candidate_shapes(tuple(freeze.items.shape[1:])))
    if run.solved:
        return _of_ridge(run, shapes, freeze, standard, delta, progress)
    subject = load_subject(run.weights, None, shapes, gates=run.gates)
    return _of_network(subject, freeze, standard, delta, progress)


def _of_network(
    subject: Subject, freeze: Split, standard: Split, delta: float, progress: Progress
) -> Certificate:
    items, labels = _items(subject, freeze)
    gates = subject.gates
    assert gates is not None
    _, outputs = forward(subject.network, items, _BATCH, progress, gates=gates)
    unit = _feature_norm(gates, _items(subject, standard)[0])
    scores = _Scores(outputs, labels, _feature_norm(gates, items), unit)
    networks = [(subject.network, gates)]
    if subject.network.output_count == 2:
        networks.append((difference_of_two(subject.network), difference_of_two(gates)))
    moved, whole = zip(*(squared_distances(own, base) for own, base in networks), strict=True)
    weights = [weights_from("standard phase", list(moved)), weights_from("zero", list(whole))]
    return _certificate(scores, weights, delta)


def _of_ridge(
    run: RunFolder,
    shapes: list[tuple[int, ...]],
    freeze: Split,
    standard: Split,
    delta: float,
    progress: Progress,
) -> Certificate:
    subject = load_subject(run.gates, None, shapes)
    network = subject.network
    coefficients, marks, centred = _solution(run, freeze)
    items, labels = _items(subject, freeze)
    rest = np.setdiff1d(np.arange(len(items)), marks)
    order = torch.from_numpy(np.concatenate([marks, rest]))
    program = kernel_program(network, patches=False)
    executor = executor_for(network, program, len(items), "cpu")
    program = kernel_program(network, patches=executor == "matrix")
    factors, base = forward(network, items[order], _BATCH, progress)
    kernel, exponent = kernel_columns(program, factors, len(marks), _BATCH, executor, progress)
    own = torch.cat([rows.double() @ coefficients for rows in kernel.split(_BATCH)])
    outputs = (own + base if centred else own)[order.argsort()]
    square = coefficients.T @ (kernel[: len(marks)].double() @ coefficients)
    moved = [norms_of_solution(square, exponent)]
    at_marks = base[: len(marks)]
    inner = coefficients.T @ at_marks  # ⟨u_k, w⁰_l⟩ in units of the kernel's inverse scale
    if centred:
        weights = [
            Weights("standard phase", moved[0]),
            Weights("zero", norms_around(network, square, inner, exponent)),
        ]
    else:
        weights = [Weights("zero", moved[0])]
    unit = _feature_norm(network, _items(subject, standard)[0])
    scores = _Scores(outputs, labels, _feature_norm(network, items), unit)
    return _certificate(scores, weights, delta)


def _solution(run: RunFolder, freeze: Split) -> tuple[Tensor, Array, bool]:
    """Coefficients, the landmarks' places among the freeze items, and whether it is centred."""
    try:
        with np.load(run.solution, allow_pickle=False) as arrays:
            coefficients = torch.from_numpy(arrays["coefficients"])
            positions, centred = arrays["landmarks"], bool(arrays["centred"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            where=str(run.solution),
            found=f"{type(error).__name__}: {error}",
            required="the solution that gencheck train --solver ridge wrote",
        ) from error
    return coefficients, positions_of(positions, freeze.indices, str(run.solution)), centred


def _items(subject: Subject, split: Split) -> tuple[Tensor, Array]:
    items, _ = prepared(split, subject.item_shape, "float32")
    rows = target_rows(split, "classification", subject.network.output_count)
    return torch.from_numpy(items), rows.argmax(1)


def _feature_norm(gates: Network, items: Tensor) -> Magnitude:
    """The root of the mean of ‖z‖²."""
    if not len(items):
        return Magnitude.of(1.0)
    sums = []
    for part in items.split(_BATCH):
        squares = squared_feature_norms(gates, part.double())
        sums.append(Magnitude.of(float(squares.mantissa.sum()), squares.exponent))
    return (total(sums) * Magnitude.of(1 / len(items))).sqrt()


def _certificate(scores: _Scores, weights: list[Weights], delta: float) -> Certificate:
    outputs, labels = scores.outputs.numpy(), scores.labels
    classes = outputs.shape[1]
    rows = np.arange(len(labels))
    own = outputs[rows, labels]
    others = outputs.copy()
    others[rows, labels] = -np.inf
    margins = own - others.max(1)
    best = [
        _best(margins, constant, classes, scores, weights, delta)
        for constant in constants_for(classes)
    ]
    return Certificate(
        items=len(labels),
        classes=classes,
        error=float((margins <= 0).mean()),
        feature_norm=scores.feature_norm,
        unit=scores.unit,
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
        radius = float(seen.norms[constant.norm] * scores.unit)
        size = float(scores.feature_norm * _inverse(scores.unit))
        if not math.isfinite(radius):
            radius = 1e300
        bound = margin_bound(margins, constant, classes, radius, size, delta / _ORIGINS)
        found.append((bound, seen.origin))
    return min(found, key=lambda pair: pair[0].risk)


def _inverse(value: Magnitude) -> Magnitude:
    return Magnitude.of(1 / value.mantissa, -value.exponent)
