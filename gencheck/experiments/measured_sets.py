"""Candidate training sets: what figures say of each, and what comes of training on it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gencheck.audit.discrepancy import Discrepancies
from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.rank import RankedSet, rank
from gencheck.experiments.defective_sets import KINDS, Pool
from gencheck.experiments.images import LabelledImages
from gencheck.progress import Progress
from gencheck.training.architectures import mlp
from gencheck.training.loop import Training, fit, squared_loss


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes
    ----------
    own
        Items that train the one network that figures are taken under.
    items, reference
        m of each candidate set, and the items of T.
    levels
        Strengths of each kind of defect.
    epochs
        Of each network that is trained on a candidate set.
    """

    own: int
    items: int
    reference: int
    levels: int
    widths: tuple[int, ...]
    epochs: int
    seeds: int


@dataclass(frozen=True)
class MeasuredSet:
    """One candidate set: what figures say before training, and what came of training on it.

    Attributes
    ----------
    figures
        By name; the larger, the worse the set should be.
    gap, error
        Of a network trained on the set from new weights: squared loss on fresh items less that on the
        set, and the 0-1 error on fresh items.
    """

    kind: str
    strength: float
    figures: dict[str, float]
    gap: float
    error: float


def measured_sets(
    images: LabelledImages, scale: Scale, seed: int, progress: Progress
) -> list[MeasuredSet]:
    """All candidate sets of one seed, under one network that saw none of them."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images.train_items), generator=generator)
    own, rest = order[: scale.own], order[scale.own :]
    pool = Pool(images.train_items[rest], images.train_labels[rest], images.classes, scale.items)
    judging = torch.randperm(len(images.test_items), generator=generator)
    parts = [
        (images.test_items[part], images.test_labels[part])
        for part in (judging[: scale.reference], judging[scale.reference :])
    ]
    model = _trained(images, scale, (images.train_items[own], images.train_labels[own]), seed)
    new = _untrained(images, scale, seed)
    judge = _Judge(model, new, _labelled(parts[0], images.classes))
    found: list[MeasuredSet] = []
    for kind, spoilt in KINDS.items():
        for level in range(1, scale.levels + 1):
            strength = level / scale.levels
            sample = spoilt(pool, strength, generator)
            # weights of its own for each network, so that one lucky draw is not everyone's
            later = _trained(images, scale, sample, 1_000_003 + 1000 * seed + len(found))
            figures = judge.figures(_labelled(sample, images.classes))
            risks = [_risks(later, part, images.classes) for part in (sample, parts[1])]
            gap, error = risks[1][0] - risks[0][0], risks[1][1]
            found.append(MeasuredSet(kind, strength, figures, gap=gap, error=error))
            progress.advance(1)
    return found


def _labelled(part: tuple[Tensor, Tensor], classes: int) -> Labelled:
    return Labelled(part[0], torch.eye(classes, dtype=torch.float64)[part[1]])


def _trained(
    images: LabelledImages, scale: Scale, part: tuple[Tensor, Tensor], seed: int
) -> nn.Sequential:
    model = _untrained(images, scale, seed)
    fit(model, part[0], torch.eye(images.classes)[part[1]], Training(scale.epochs, 32), seed)
    return model


def _untrained(images: LabelledImages, scale: Scale, seed: int) -> nn.Sequential:
    shape = tuple(images.train_items.shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mlp(shape, scale.widths, images.classes)


def _risks(model: nn.Module, part: tuple[Tensor, Tensor], classes: int) -> tuple[float, float]:
    """The mean squared loss and the 0-1 error."""
    with torch.no_grad():
        outputs = torch.cat([model(items) for items in part[0].split(1024)])
    wrong = (outputs.argmax(1) != part[1]).double().mean()
    return float(squared_loss(outputs, torch.eye(classes)[part[1]])), float(wrong)


class _Judge:
    """One network that saw no candidate set, the same before its training, and the reference T."""

    def __init__(self, trained: nn.Sequential, new: nn.Sequential, reference: Labelled) -> None:
        shape = tuple(reference.items.shape[1:])
        self.trained, self.new = (model_of_module(each, [shape]) for each in (trained, new))
        self.embedding = trained[:-1]
        self.reference = reference
        self.pixels = Discrepancies(reference)
        self.embedded = Discrepancies(self._embedded(reference))

    def figures(self, sample: Labelled) -> dict[str, float]:
        """All figures of one candidate set, by name."""
        ranked = self._ranked(self.trained, sample)
        assert ranked.gap.sample_error is not None
        pixels, embedded = self.pixels.of(sample), self.embedded.of(self._embedded(sample))
        return {
            "v_frobenius": float(ranked.v_frobenius),
            "v_frobenius_normalised": ranked.v_frobenius_normalised,
            "v_frobenius_untrained": float(self._ranked(self.new, sample).v_frobenius),
            "v_l2": float(ranked.v_l2),
            "beta1": float(ranked.beta1),
            "mmd_pixels": pixels[0],
            "mmd_pixels_labels": pixels[1],
            "mmd_embeddings": embedded[0],
            "mmd_embeddings_labels": embedded[1],
            "class_shares": ranked.label_difference,
            "model_loss": ranked.gap.sample_risk,
            "model_error": ranked.gap.sample_error,
            "inverse_size": 1 / len(sample.items),
        }

    def _ranked(self, model: AuditedModel, sample: Labelled) -> RankedSet:
        return rank(model, {"": sample}, self.reference, "classification", AuditOptions()).sets[0]

    def _embedded(self, part: Labelled) -> Labelled:
        """The last hidden layer in place of the items."""
        with torch.no_grad():
            return Labelled(self.embedding(part.items), part.targets)
