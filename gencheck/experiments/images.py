"""Labelled images for the experiments that train, and the convolutional network that they train."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.load.dataset import load_dataset
from gencheck.load.digits import load_digits
from gencheck.load.prepare import held_out, prepared, target_rows
from gencheck.load.split import Split

# Where a file has no test split.
TEST_SHARE = 1 / 6


@dataclass(frozen=True)
class LabelledImages:
    """Training and test items with labels.

    Attributes
    ----------
    train_items, test_items
        Shape (N, C, H, W) or (N, n), float32; bytes are scaled to [0, 1].
    train_labels, test_labels
        Shape (N,), int64, from 0 to `classes` − 1.
    record
        Where they are from and what was done to them.
    """

    train_items: Tensor
    train_labels: Tensor
    test_items: Tensor
    test_labels: Tensor
    classes: int
    record: dict[str, Any]


def labelled_images(options: ExperimentOptions) -> LabelledImages:
    """The items of `options.data`, or without one the handwritten digits that ship here.

    Raises
    ------
    InputError
        The file cannot be read, or its targets are no labels.
    """
    if options.data is None:
        images, labels = load_digits()
        split = Split(images, labels, "the embedded digits", np.arange(len(images)))
        train, test = held_out(split, TEST_SHARE, options.seed)
        origin = "handwritten digits of 8 × 8 pixels, shipped with gencheck"
    else:
        file = load_dataset(options.data)
        train, test = (
            (file.main, file.test)
            if file.test is not None
            else held_out(file.main, TEST_SHARE, options.seed)
        )
        origin = str(options.data)
    read = [split.loaded() for split in (train, test)]
    classes = _classes(read)
    (train_items, train_labels), (test_items, test_labels) = (
        _tensors(split, classes) for split in read
    )
    record = {
        "data": origin,
        "train_items": len(train_items),
        "test_items": len(test_items),
        "item_shape": list(train_items.shape[1:]),
        "classes": classes,
    }
    return LabelledImages(
        train_items=train_items,
        train_labels=train_labels,
        test_items=test_items,
        test_labels=test_labels,
        classes=classes,
        record=record,
    )


def _classes(splits: list[Split]) -> int:
    for split in splits:
        if split.targets.ndim != 1 or split.targets.dtype.kind not in "biu":
            raise InputError(
                where=split.where,
                found=f"targets of {split.targets.dtype} and shape {split.targets.shape}",
                required="one whole-number label an item",
            )
    return max(2, 1 + max(int(split.targets.max()) for split in splits))


def _tensors(split: Split, classes: int) -> tuple[Tensor, Tensor]:
    """Items channel-first where they are images, and labels."""
    stored = tuple(split.items.shape[1:])
    shape = stored
    if len(stored) == 2:
        shape = (1, *stored)
    elif len(stored) == 3 and stored[2] in {1, 3, 4} and stored[0] not in {1, 3, 4}:
        shape = (stored[2], *stored[:2])
    items, _ = prepared(split, shape, "float32")
    labels = target_rows(split, "classification", classes).argmax(1)
    return torch.from_numpy(items), torch.from_numpy(labels)


def convolutional_network(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Two 5 × 5 convolutions of 32 and 64 channels, each ReLU and max-pool 2, then 1024 and K units.

    Raises
    ------
    InputError
        The items are no images of shape (C, H, W).
    """
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise InputError(
            where="--full",
            found=f"items of shape {shape}",
            required="images, for a convolutional network",
        )
    channels, height, width = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * (height // 4) * (width // 4), 1024), nn.ReLU()),
        nn.Linear(1024, classes),
    )
