"""A two-phase run with its items: the gates, the weights, and what each phase and the test had."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gencheck.audit.model import AuditedModel, load_model
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.multiclass import margin_unit, margins_of
from gencheck.errors import InputError
from gencheck.load.dataset import load_dataset
from gencheck.load.digest import sha256_of
from gencheck.load.prepare import candidate_shapes, prepared, target_rows
from gencheck.load.run_folder import RunFolder, positions_of, read_run_folder
from gencheck.load.split import Array, Split
from gencheck.network.ir import Network
from gencheck.network.scaled import Scaled
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel

# Items of the standard phase that the units of grids are read off, at most: any number would do that
# does not depend on the freeze phase's items.
UNIT_ITEMS = 4096


@dataclass(frozen=True)
class PhaseItems:
    """Items as the model takes them, shape (N, …), float32; labels and positions in their file, (N,)."""

    items: Tensor
    labels: Array
    indices: Array

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Array | slice) -> "PhaseItems":
        return PhaseItems(self.items[rows], self.labels[rows], self.indices[rows])


@dataclass(frozen=True)
class Units:
    """What grids are in units of, from the standard phase alone.

    Attributes
    ----------
    feature_norm
        The root of the mean of ‖z‖².
    margin
        The mean absolute margin of h⁰.
    """

    feature_norm: Magnitude
    margin: float


@dataclass(frozen=True)
class Measured:
    """Freeze items in some order and then the test items, and what the kernel says of them.

    Attributes
    ----------
    order
        The freeze item that each of the first n rows belongs to, shape (n,).
    features
        Their gates, and h⁰.
    columns
        K(i, l) of all with the first L, shape (n + t, L).
    squares
        K(i, i) of all, shape (n + t,), float64.
    """

    order: Array
    features: PathFeatures
    columns: Scaled
    squares: Scaled

    def leading(self, count: int) -> Scaled:
        """The columns of the first `count` items."""
        return Scaled(self.columns.mantissa[:, :count], self.columns.exponent)


@dataclass(frozen=True)
class TwoPhaseItems:
    """Gates, and the items of each phase: all that a certificate in path space needs.

    Attributes
    ----------
    gates
        The standard phase's network, which decides the gates and gives h⁰.
    freeze, standard, test
        The items of each phase, and others where there are some.
    """

    gates: Network
    freeze: PhaseItems
    standard: PhaseItems
    test: PhaseItems | None

    @property
    def classes(self) -> int:
        """The number K of outputs."""
        return self.gates.output_count

    @cached_property
    def kernel(self) -> PathKernel:
        """The path kernel under the gates."""
        return PathKernel.of(self.gates)

    @cached_property
    def units(self) -> Units:
        """Units of grids, 1 where the standard phase had no items."""
        some = self.standard[:: max(1, -(-len(self.standard) // UNIT_ITEMS))]
        if not len(some):
            return Units(Magnitude.of(1.0), 1.0)
        features = self.kernel.features(some.items)
        margins = margins_of(features.outputs.numpy(), some.labels)
        squares = self.kernel.diagonal(features)
        return Units(root_mean(squares, len(some)), margin_unit(margins))

    def pooled(self, order: Array, progress: Progress = SILENT) -> PathFeatures:
        """Gates and h⁰ of the freeze items in `order`, then of the test items."""
        parts = [self.freeze.items[order]]
        if self.test is not None:
            parts.append(self.test.items)
        return self.kernel.features(torch.cat(parts), progress)

    def measured(self, order: Array, landmarks: int, progress: Progress = SILENT) -> Measured:
        """`pooled`, with kernels: of all items with the first `landmarks`, and with themselves."""
        features = self.pooled(order, progress)
        columns = self.kernel.columns(features, landmarks, progress)
        return Measured(order, features, columns, self.kernel.diagonal(features))


@dataclass(frozen=True)
class TwoPhaseRun:
    """A finished run and its data.

    Attributes
    ----------
    model
        The weights under the gates; the gates' own network where the freeze phase was solved.
    items
        The gates, and what each phase had.
    test
        The test items as they are stored, where there are some.
    """

    folder: RunFolder
    model: AuditedModel
    items: TwoPhaseItems
    test: Split | None

    @property
    def solved(self) -> bool:
        """True where the freeze phase was solved in path space."""
        return self.folder.solved


def digests(items: Tensor) -> list[bytes]:
    """A digest of each item's numbers: items that are the same have the same."""
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in items.numpy()]


def repeated_items(items: TwoPhaseItems) -> int:
    """How many items of the freeze phase equal one of the standard phase, or one before them."""
    seen, count = set(digests(items.standard.items)), 0
    for digest in digests(items.freeze.items):
        count += digest in seen
        seen.add(digest)
    return count


def root_mean(squares: Scaled, count: int) -> Magnitude:
    """The root of the mean of the first `count` numbers, none of them negative."""
    mean = squares.mantissa[:count].double().mean()
    return Magnitude.of(float(mean), squares.exponent).sqrt()


def read_two_phase_run(
    folder: Path,
    data: Path,
    x_key: str | None = None,
    y_key: str | None = None,
    with_test: bool = True,
) -> TwoPhaseRun:
    """The run in a folder, with the items of its data file, those to test with only where asked for.

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
    loaded = load_dataset(data, x_key, y_key)
    main = loaded.main

    def at(positions: Array) -> Split:
        return main.taken(positions_of(positions, main.indices, main.where)).loaded()

    freeze = at(run.freeze)
    shapes = list(candidate_shapes(tuple(freeze.items.shape[1:])))
    model = (
        load_model(run.gates, None, shapes)
        if run.solved
        else load_model(run.weights, None, shapes, gates=run.gates)
    )
    test = None
    if with_test and len(run.held_out):
        test = at(run.held_out)
    elif with_test and loaded.test is not None:
        test = loaded.test.loaded()
    items = TwoPhaseItems(
        model.network if model.gates is None else model.gates,
        freeze=_phase_items(model, freeze),
        standard=_phase_items(model, at(run.standard)),
        test=None if test is None or not len(test) else _phase_items(model, test),
    )
    return TwoPhaseRun(run, model, items, test)


def _phase_items(model: AuditedModel, split: Split) -> PhaseItems:
    items, _ = prepared(split, model.item_shape, "float32")
    rows = target_rows(split, "classification", model.network.output_count)
    return PhaseItems(torch.from_numpy(items), rows.argmax(1).astype(np.int64), split.indices)
