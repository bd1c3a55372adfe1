"""Does DARC1 lower the test error? The same networks with and without the term, seed by seed."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.experiments.experiment import ExperimentOptions, ExperimentResult
from gencheck.experiments.images import (
    LabelledImages,
    convolutional_network,
    labelled_images,
)
from gencheck.experiments.pairs import Pairs, Trained, darc1_result
from gencheck.progress import Progress
from gencheck.training.architectures import mlp
from gencheck.training.regularisers.darc import DARC1, largest_mean_magnitude

# λ is chosen among these on training items that are held out, never on the test set.
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_SELECTION_SEEDS = 3
_LEARNING_RATE, _MOMENTUM = 0.05, 0.9


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes
    ----------
    items
        Training items of each seed, drawn anew from all; None for all.
    held_out
        Of those, the share on which λ is chosen.
    """

    items: int | None
    epochs: int
    batch_size: int
    seeds: int
    held_out: float
    convolutional: bool


SMALL = Scale(10_000, 30, 64, 10, 0.2, convolutional=False)
FULL = Scale(None, 100, 64, 5, 1 / 6, convolutional=True)
_WIDTHS = (256,)


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """Test-error ratio DARC1/base over seeds, with the paired test, and max_k Σ|h_k| of both.

    Raises
    ------
    InputError
        The data cannot be used, or fewer than two seeds are asked for: no paired test exists then.
    """
    return experiment(FULL if options.full else SMALL, options, progress)


def experiment(scale: Scale, options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """As `run`, at a scale of the caller's."""
    seeds = scale.seeds if options.seeds is None else options.seeds
    if seeds < 2:
        raise InputError(
            where="--seeds", found=str(seeds), required="at least 2, for a paired comparison"
        )
    images = labelled_images(options)
    count = len(images.train_items) if scale.items is None else scale.items
    count = min(count, len(images.train_items))
    progress.start("training", _SELECTION_SEEDS * (1 + len(LAMBDAS)) + 2 * seeds, "networks")
    validated = _validated(images, count, scale, options.seed, progress)
    lam = min(LAMBDAS, key=lambda candidate: validated[candidate])
    base: list[Trained] = []
    darc: list[Trained] = []
    for seed in range(options.seed, options.seed + seeds):
        chosen = _order(len(images.train_items), seed)[:count]
        for candidate, results in ((0.0, base), (lam, darc)):
            results.append(
                _trained(
                    images, chosen, judges=_test(images), lam=candidate, seed=seed, scale=scale
                )
            )
            progress.advance(1)
    progress.finish()
    settings = _settings(images, scale, count, validated, lam)
    return darc1_result(Pairs(options.seed, lam, tuple(base), tuple(darc)), settings)


def _settings(
    images: LabelledImages, scale: Scale, count: int, validated: dict[float, float], lam: float
) -> dict[str, Any]:
    return {
        **images.record,
        "items_per_seed": count,
        "network": "conv32-conv64-1024" if scale.convolutional else f"dense {_WIDTHS}",
        "loss": "cross-entropy",
        "optimiser": f"SGD {_LEARNING_RATE}, momentum {_MOMENTUM}, cosine to 0",
        "epochs": scale.epochs,
        "batch_size": scale.batch_size,
        "lambda": lam,
        "lambda_chosen_by": f"mean error of {_SELECTION_SEEDS} networks on held-out training items",
        "held_out_error": {f"{key:g}": value for key, value in validated.items()},
        "device": _device(),
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _validated(
    images: LabelledImages, count: int, scale: Scale, seed: int, progress: Progress
) -> dict[float, float]:
    """The mean error of each λ, and of 0, on training items that were held out."""
    errors: dict[float, list[float]] = {lam: [] for lam in (0.0, *LAMBDAS)}
    for repetition in range(_SELECTION_SEEDS):
        # seeds of their own: networks of the comparison do not choose their λ
        own = 1_000_003 + seed + repetition
        chosen = _order(len(images.train_items), own)[:count]
        cut = round(scale.held_out * count)
        rest, held = chosen[cut:], chosen[:cut]
        judges = (images.train_items[held], images.train_labels[held])
        for lam, found in errors.items():
            found.append(
                _trained(images, rest, judges=judges, lam=lam, seed=own, scale=scale).test_error
            )
            progress.advance(1)
    return {lam: statistics.fmean(found) for lam, found in errors.items()}


def _order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _test(images: LabelledImages) -> tuple[Tensor, Tensor]:
    return images.test_items, images.test_labels


def _trained(
    images: LabelledImages,
    chosen: Tensor,
    judges: tuple[Tensor, Tensor],
    lam: float,
    seed: int,
    scale: Scale,
) -> Trained:
    """One network on the items `chosen`; same seed, same initial weights and order for every λ."""
    device = _device()
    items, labels = (t[chosen].to(device) for t in (images.train_items, images.train_labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = tuple(items.shape[1:])
        model = (
            convolutional_network(shape, images.classes)
            if scale.convolutional
            else mlp(shape, _WIDTHS, images.classes)
        ).to(device)
    _descend(model, items, labels=labels, term=DARC1(lam), seed=seed, scale=scale)
    outputs = _outputs(model, items)
    judged = _outputs(model, judges[0].to(device))
    return Trained(
        train_error=_error(outputs, labels),
        test_error=_error(judged, judges[1].to(device)),
        magnitude=largest_mean_magnitude(outputs).item(),
    )


def _descend(
    model: nn.Module, items: Tensor, labels: Tensor, term: DARC1, seed: int, scale: Scale
) -> None:
    """Momentum descent of cross-entropy + DARC1, the rate falling to zero along a cosine."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(model.parameters(), _LEARNING_RATE, momentum=_MOMENTUM)
    steps = scale.epochs * math.ceil(len(items) / scale.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(scale.epochs):
        order = torch.randperm(len(items), generator=generator).to(items.device)
        for batch in order.split(scale.batch_size):
            optimiser.zero_grad()
            outputs = model(items[batch])
            loss = nn.functional.cross_entropy(outputs, labels[batch])
            if term.lam:
                loss = loss + term(outputs)
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def _outputs(model: nn.Module, items: Tensor) -> Tensor:
    return torch.cat([model(batch) for batch in items.split(1024)])


def _error(outputs: Tensor, labels: Tensor) -> float:
    return (outputs.argmax(1) != labels).double().mean().item()
