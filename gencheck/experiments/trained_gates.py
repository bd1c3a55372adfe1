"""Gates trained on a share of the items: what the experiments on certificates start from."""

from dataclasses import dataclass

import numpy as np
import torch

from gencheck.experiments.images import LabelledImages
from gencheck.guarantees.two_phase_run import PhaseItems, TwoPhaseItems
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.training.architectures import mlp
from gencheck.training.loop import Training, fit
from gencheck.training.phases import phase_positions

DELTA = 0.05


@dataclass(frozen=True)
class Scale:
    """Epochs of the standard phase, landmarks, training items (None: all), widths, values of α.

    `shift` is by how many pixels images of the standard phase are moved at random.
    """

    epochs: int
    landmarks: int
    items: int | None
    widths: tuple[int, ...]
    alphas: tuple[float, ...] = (0.1, 0.3, 0.5)
    shift: int = 0


SMALL = Scale(15, 1000, None, (256, 256))


def trained(
    images: LabelledImages, task: str, alpha: float, scale: Scale, seed: int
) -> TwoPhaseItems:
    """Gates trained on a share α of the items, and what each phase has."""
    classes = 2 if task == "parity" else images.classes
    labels, test_labels = images.train_labels, images.test_labels
    if task == "parity":
        labels, test_labels = labels % 2, test_labels % 2
    count = min(scale.items or len(labels), len(labels))
    first, second = phase_positions(count, alpha, seed)
    shape = tuple(images.train_items.shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = mlp(shape, scale.widths, classes)
    chosen = torch.from_numpy(first)
    targets = torch.eye(classes)[labels[chosen]]
    training = Training(scale.epochs, 64, cosine=True, shift=scale.shift)
    fit(model, images.train_items[chosen], targets, training, seed)
    whole = PhaseItems(images.train_items, labels.numpy(), np.arange(len(labels)))
    test = PhaseItems(images.test_items, test_labels.numpy(), np.arange(len(test_labels)))
    return TwoPhaseItems(lower(trace(model, shape)), whole[second], whole[first], test)
