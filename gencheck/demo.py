"""The demonstration: small networks trained on the embedded digits, and the files of an audit."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.load.digits import load_digits
from gencheck.progress import SILENT, Progress
from gencheck.train.files import save_program
from gencheck.train.loop import Training, fit

TRAIN_COUNT, VALIDATION_COUNT = 1000, 397
# The candidates among which the validation items choose: the |F| of the validation bound.
WEIGHT_DECAYS = (0.0, 0.1, 1.0, 3.0)
_EPOCHS = 30


@dataclass(frozen=True)
class DemoFiles:
    """What the demonstration leaves in its folder.

    Attributes
    ----------
    checkpoint
        The chosen network, a torch.export program.
    data
        Arrays x_train, y_train, x_test, y_test.
    predictions
        The chosen network's predictions on the validation items: columns label, prediction.
    candidates
        How many networks the validation items chose among.
    """

    checkpoint: Path
    data: Path
    predictions: Path
    candidates: int


def make_demo(folder: Path, seed: int = 0, progress: Progress = SILENT) -> DemoFiles:
    """Train the candidates, choose the best on the validation items, and write the three files."""
    images, labels = load_digits()
    order = np.random.default_rng(seed).permutation(len(images))
    train, validation, test = np.split(order, [TRAIN_COUNT, TRAIN_COUNT + VALIDATION_COUNT])
    items, targets = torch.from_numpy(images).flatten(1), torch.eye(10)[torch.from_numpy(labels)]
    with _one_thread():
        candidates = [
            _trained(items[train], targets[train], decay, seed, progress) for decay in WEIGHT_DECAYS
        ]
    predicted = [_predictions(model, items[validation]) for model in candidates]
    errors = [(guess != labels[validation]).mean() for guess in predicted]
    best = int(np.argmin(errors))

    folder.mkdir(parents=True, exist_ok=True)
    files = DemoFiles(
        folder / "model.pt2", folder / "digits.npz", folder / "predictions.csv", len(candidates)
    )
    save_program(candidates[best], (64,), files.checkpoint)
    np.savez_compressed(
        files.data,
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )
    with files.predictions.open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["label", "prediction"])
        rows.writerows(zip(labels[validation].tolist(), predicted[best].tolist(), strict=True))
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


def _trained(
    items: Tensor, targets: Tensor, weight_decay: float, seed: int, progress: Progress
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
        )
    training = Training(epochs=_EPOCHS, batch_size=32, weight_decay=weight_decay)
    fit(model, items, targets, training, seed, progress=progress)
    return model


def _predictions(model: nn.Module, items: Tensor) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    with torch.no_grad():
        return model(items).argmax(1).numpy()  # type: ignore[no-any-return]
