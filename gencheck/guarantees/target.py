"""A network that was trained on everything, certified through a two-phase run: what the two say."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.audit.model import load_model
from gencheck.audit.two_classes import as_two_classes
from gencheck.bounds.disagreement import SOURCE, disagreement_bound
from gencheck.errors import InputError
from gencheck.guarantees.certificate import (
    DRAWN,
    TARGET,
    CertifiedRow,
    CertifyRequest,
    TargetRequest,
)
from gencheck.guarantees.certified_classifiers import labels_of
from gencheck.guarantees.path_space import PathSpaceCertificate
from gencheck.guarantees.two_phase_run import TwoPhaseRun, digests
from gencheck.load.losses import numbers_of
from gencheck.load.prepare import candidate_shapes, prepared
from gencheck.load.split import Array, Split
from gencheck.load.table import read_table
from gencheck.load.unlabelled import load_unlabelled

_TABLES = (".csv", ".parquet", ".npy")
_BATCH = 1024


@dataclass(frozen=True)
class Target:
    """What the target says of the unlabelled items.

    Attributes
    ----------
    items
        As the run takes them, shape (n, …), float32.
    labels
        The target's, shape (n,).
    repeats
        Which of them equal an item that trained the run, shape (n,): what they say of others is unknown.
    test_error
        On the run's test items, where there are some and the target is a model.
    """

    items: Tensor
    labels: Array
    repeats: Array
    test_error: float | None

    @property
    def repeated(self) -> int:
        """How many repeat one."""
        return int(self.repeats.sum())


def read_target(request: TargetRequest, run: TwoPhaseRun, x_key: str | None) -> Target:
    """The target's labels on the unlabelled items.

    Raises
    ------
    InputError
        The items are the run's own, are not as the run or the target takes them, or the target has
        other classes than the run.
    UnsupportedModel
        The model has operations outside the path view.
    """
    split = load_unlabelled(request.unlabelled, x_key)
    rows, _ = prepared(split, run.model.item_shape, "float32")
    items = torch.from_numpy(rows)
    repeats = _repeats(items, run)
    if 2 * repeats.sum() > len(items):
        raise InputError(
            where=f"--unlabelled {request.unlabelled}",
            found=f"{repeats.sum()} of {len(items)} items that trained the run",
            required="items that trained neither the run nor the target",
            remedy="An .npz with x_test gives these; the items themselves need no labels.",
        )
    if request.model.suffix in _TABLES:
        labels = _labels_in(request, len(items), run.items.classes)
        return Target(items, labels, repeats, None)
    told = _model(request, split, run.items.classes)
    test_error = None
    if run.test is not None and run.items.test is not None:
        test_error = float((told(run.test) != run.items.test.labels).mean())
    return Target(items, told(split), repeats, test_error)


def _repeats(items: Tensor, run: TwoPhaseRun) -> Array:
    own = {*digests(run.items.standard.items), *digests(run.items.freeze.items)}
    return np.array([digest in own for digest in digests(items)])


def _labels_in(request: TargetRequest, count: int, classes: int) -> Array:
    """The column ``prediction`` of a table, or its only column."""
    table = read_table(request.model)
    name = "prediction" if len(table.columns) > 1 else next(iter(table.columns))
    if name not in table.columns or len(table) != count:
        raise InputError(
            where=f"--target {request.model}",
            found=f"columns {', '.join(table.columns)}, {len(table)} rows",
            required=f"a column prediction with {count} rows, one for each item of "
            f"{request.unlabelled} in its order",
        )
    found = numbers_of(table, name)
    bad = (found != np.floor(found)) | (found < 0) | (found >= classes)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            where=f"--target {request.model}, column {name!r}, row {row}",
            found=f"{found[row]:g}",
            required=f"a whole number from 0 to {classes - 1}, one of the run's classes",
        )
    return found.astype(np.int64)


def _model(request: TargetRequest, split: Split, classes: int) -> Callable[[Split], Array]:
    """What gives the labels of a checkpoint's model on items as they are stored."""
    shapes = list(candidate_shapes(tuple(split.items.shape[1:])))
    model = load_model(request.model, request.factory, shapes, key=request.key)
    if model.network.output_count == 1 and classes == 2:
        model = as_two_classes(model)
    if model.network.output_count != classes:
        raise InputError(
            where=f"--target {request.model}",
            found=f"{model.network.output_count} outputs",
            required=f"{classes}, one for each class of the run",
        )

    def labels(given: Split) -> Array:
        rows, _ = prepared(given, model.item_shape, "float32")
        parts = torch.from_numpy(rows).split(_BATCH)
        outputs = torch.cat([model.own_output(part).detach() for part in parts])
        if not bool(outputs.isfinite().all()):
            raise InputError(
                where=f"--target {request.model}",
                found=f"an output that is not finite on {given.where}",
                required="finite outputs",
            )
        found: Array = outputs.argmax(1).numpy()
        return found

    return labels


def target_row(
    target: Target,
    run: TwoPhaseRun,
    found: PathSpaceCertificate,
    surrogate: CertifiedRow,
    request: CertifyRequest,
) -> CertifiedRow:
    """R(target) ≤ the surrogate's certificate + the upper end of their disagreement, both at δ/2."""
    said = labels_of(run, found, surrogate.name, target.items, request.drawn)
    # an item that trained the run tells nothing of how often the two disagree: at worst they do
    count, items = int(((said != target.labels) | target.repeats).sum()), len(target.labels)
    bound = disagreement_bound(surrogate.risk, count, items, request.row_delta)
    assumed = [
        "the unlabelled items are independent draws from the same distribution; they trained, chose "
        f"and stopped neither the target nor the run ({target.repeated} of them equal an item of the "
        "run's, and count as disagreements)",
        "half of δ is the surrogate's, half the disagreement's",
    ]
    if surrogate.name == DRAWN:
        assumed.append(
            f"the surrogate drew its weights with seed {request.drawn}, named beforehand"
        )
    return CertifiedRow(
        TARGET,
        f"the target, through {surrogate.name}",
        risk=bound.risk,
        error=None,
        test_error=target.test_error,
        terms={
            "surrogate": surrogate.name,
            "surrogate_risk": bound.surrogate_risk,
            "disagreement": bound.disagreement,
            "disagreements": count,
            "unlabelled_items": items,
            "repeated_items": target.repeated,
        },
        assumes=(*surrogate.assumes, *assumed),
        source=SOURCE,
    )
