"""The classifiers that the rows of `gencheck certify` speak of: their labels, and files of them."""

import csv
import io
from pathlib import Path

import numpy as np
from torch import Tensor

from gencheck.atomic import write_whole
from gencheck.bounds.path_space import Posterior
from gencheck.errors import InputError
from gencheck.guarantees.certificate import DRAWN, HOLD_OUT, MARGIN, MEAN, MOVED
from gencheck.guarantees.drawn_classifier import DrawnClassifier
from gencheck.guarantees.path_space import PathSpaceCertificate
from gencheck.guarantees.two_phase_margin import run_outputs
from gencheck.guarantees.two_phase_run import TwoPhaseRun
from gencheck.load.split import Array


def path_space_classifier(
    run: TwoPhaseRun, found: PathSpaceCertificate, name: str
) -> DrawnClassifier:
    """The classifier of a row that lives in path space; that of `hold-out-moved` has no noise."""
    posterior = (found.mean if name == MEAN else found.drawn).posterior
    if name == MOVED:
        assert found.moved is not None
        posterior = Posterior(0.0, np.zeros(len(found.moved.mean)), found.moved.mean)
    return DrawnClassifier(run.items.gates, found.blocks.span, posterior)


def labels_of(
    run: TwoPhaseRun, found: PathSpaceCertificate, name: str, items: Tensor, drawn: int
) -> Array:
    """What the classifier of the row `name` says of items as the run takes them, shape (N,).

    Parameters
    ----------
    drawn
        The seed of the weights that are drawn anew for every item, for `pac-bayes-drawn`.
    """
    if name in (HOLD_OUT, MARGIN):
        own = name == MARGIN
        outputs = (
            run_outputs(run, items) if own else run.items.kernel.features(items).outputs.numpy()
        )
        labels: Array = outputs.argmax(1)
        return labels
    classifier = path_space_classifier(run, found, name)
    return classifier.predict(items, drawn if name == DRAWN else None)


def save_predictions(
    run: TwoPhaseRun, found: PathSpaceCertificate, name: str, path: Path, drawn: int
) -> None:
    """Write item, label and prediction of the test items, as `val-bound --predictions` reads them.

    Raises
    ------
    InputError
        The run has no test items, or the file cannot be written.
    """
    test = run.items.test
    if test is None:
        raise InputError(
            where="--save-predictions",
            found="a run without items to test on",
            required="a test split in DATA, or items held out by gencheck train --holdout",
            remedy="For other items: --save FILE.npz and gencheck.DrawnClassifier.",
        )
    predicted = labels_of(run, found, name, test.items, drawn)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("item", "label", "prediction"))
    rows.writerows(
        zip(test.indices.tolist(), test.labels.tolist(), predicted.tolist(), strict=True)
    )
    write_whole(path, text.getvalue().encode(), "--save-predictions")


def require_classifier_file(path: Path, verdict: str, run: Path) -> None:
    """Do nothing where the verdict is of a classifier that may be written to `path`.

    Raises
    ------
    InputError
        The verdict is of a network that the run has already, or the file is in the run's folder.
    """
    if verdict in (HOLD_OUT, MARGIN):
        raise InputError(
            where=f"--save with --verdict {verdict}",
            found="a verdict on a network that is in the run's folder already",
            required=f"--verdict {DRAWN}, {MEAN} or {MOVED}",
        )
    require_outside_run("--save", path, run)


def require_outside_run(option: str, path: Path, run: Path) -> None:
    """Do nothing where `path` is not in the run's folder.

    Raises
    ------
    InputError
        It is.
    """
    if run.resolve() in path.resolve().parents:
        raise InputError(
            where=f"{option} {path}",
            found="a file in the run's folder",
            required="a file elsewhere: the certificate names the run by the SHA-256 of its folder",
        )
