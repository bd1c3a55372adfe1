"""The demonstration: small two-phase networks on the embedded digits, and the files of an audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gencheck.atomic import make_folder, write_whole
from gencheck.audit.model import load_model
from gencheck.load.digits import load_digits
from gencheck.load.run_folder import GATES, WEIGHTS
from gencheck.load.split import Array
from gencheck.progress import SILENT, Progress
from gencheck.report.train import write_record
from gencheck.training.loop import Training
from gencheck.training.request import TrainRequest
from gencheck.training.run import train

TRAIN_COUNT, VALIDATION_COUNT = 1000, 397
# The candidates among which the validation items choose: the |F| of the validation bound.
WEIGHT_DECAYS = (0.0, 0.1, 1.0, 3.0)
ALPHA = 0.3
_EPOCHS = 30


@dataclass(frozen=True)
class DemoFiles:
    """What the demonstration leaves in its folder.

    Attributes
    ----------
    run
        The chosen network's folder: gates, weights, split and record of its two phases.
    data
        Arrays x_train, y_train, x_test, y_test.
    predictions
        The chosen network's predictions on the validation items: columns label, prediction.
    candidates
        How many networks the validation items chose among.
    """

    run: Path
    data: Path
    predictions: Path
    candidates: int


def make_demo(folder: Path, seed: int = 0, progress: Progress = SILENT) -> DemoFiles:
    """Train the candidates, choose the best on the validation items, and write the files.

    Raises
    ------
    InputError
        The folder cannot be made or written.
    """
    images, labels = load_digits()
    order = np.random.default_rng(seed).permutation(len(images))
    own, validation, test = np.split(order, [TRAIN_COUNT, TRAIN_COUNT + VALIDATION_COUNT])
    make_folder(folder, "--out")
    data = folder / "digits.npz"
    arrays = {
        "x_train": images[own],
        "y_train": labels[own],
        "x_test": images[test],
        "y_test": labels[test],
    }
    write_whole(
        data, lambda buffer: np.savez_compressed(buffer, allow_pickle=False, **arrays), "--out"
    )
    with _one_thread():
        runs = [_trained(data, folder, decay, seed, progress) for decay in WEIGHT_DECAYS]
        predicted = [_predictions(run, images[validation]) for run in runs]
    errors = [(guess != labels[validation]).mean() for guess in predicted]
    best = int(np.argmin(errors))
    files = DemoFiles(runs[best], data, folder / "predictions.csv", len(runs))
    pairs = zip(labels[validation].tolist(), predicted[best].tolist(), strict=True)
    rows = ["label,prediction", *(f"{label},{guess}" for label, guess in pairs)]
    write_whole(files.predictions, "".join(f"{row}\r\n" for row in rows).encode(), "--out")
    return files


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread.

    On a busy machine they would spend minutes waiting for it at every step.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(data: Path, folder: Path, decay: float, seed: int, progress: Progress) -> Path:
    training = Training(_EPOCHS, batch_size=32, weight_decay=decay)
    request = TrainRequest(
        data=data,
        architecture="mlp:32,32",
        out=folder / f"decay-{decay:g}",
        alpha=ALPHA,
        training=training,
        freeze=training,
        seed=seed,
        # the library that writes them is an extra, and the demonstration needs none
        safetensors=False,
        overwrite=True,
    )
    write_record(request, train(request, progress=progress), {}, None)
    return request.out


def _predictions(run: Path, images: Array) -> Array:
    shape = tuple(images.shape[1:])
    subject = load_model(run / f"{WEIGHTS}.pt2", None, [shape], gates=run / f"{GATES}.pt2")
    predicted: Array = subject.own_output(torch.from_numpy(images)).argmax(1).numpy()
    return predicted
