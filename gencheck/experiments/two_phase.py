"""How much accuracy does two-phase training cost? Its ratio to standard training, against α."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.experiments.experiment import Comparison, ExperimentOptions, ExperimentResult
from gencheck.experiments.images import (
    LabelledImages,
    convolutional_network,
    labelled_images,
)
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.progress import SILENT, Progress
from gencheck.training.architectures import mlp
from gencheck.training.loop import Training
from gencheck.training.path_ridge import RidgeOptions, path_ridge
from gencheck.training.phases import two_phase

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
SOLVERS = ("sgd", "ridge")


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes
    ----------
    items
        Training items of each seed, drawn anew from all; None for all.
    landmarks
        Items that span the ridge solution.
    """

    items: int | None
    epochs: int
    landmarks: int
    seeds: int
    convolutional: bool
    alphas: tuple[float, ...] = ALPHAS


SMALL = Scale(10_000, 15, 2000, 3, convolutional=False)
FULL = Scale(None, 60, 8000, 5, convolutional=True)
_WIDTHS = (256, 256)


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """Test accuracy of two-phase training over that of standard training, by α and solver.

    Raises
    ------
    InputError
        The data cannot be used, or no seed is asked for.
    """
    return experiment(FULL if options.full else SMALL, options, progress)


def experiment(scale: Scale, options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """As `run`, at a scale of the caller's."""
    seeds = scale.seeds if options.seeds is None else options.seeds
    if seeds < 1:
        raise InputError(where="--seeds", found=str(seeds), required="at least 1")
    images = labelled_images(options)
    progress.start("training", seeds * (1 + 2 * len(scale.alphas)), "networks")
    base: list[float] = []
    found: dict[tuple[float, str], list[float]] = {
        (alpha, solver): [] for alpha in scale.alphas for solver in SOLVERS
    }
    gates: dict[float, list[float]] = {alpha: [] for alpha in scale.alphas}
    for seed in range(options.seed, options.seed + seeds):
        chosen = _Items.drawn(images, scale, seed)
        base.append(chosen.base(scale, seed))
        progress.advance(1)
        for alpha in scale.alphas:
            alone, descended, solved = chosen.phases(scale, alpha, seed)
            gates[alpha].append(alone)
            found[alpha, "sgd"].append(descended)
            found[alpha, "ridge"].append(solved)
            progress.advance(2)
    progress.finish()
    return _result(images, scale, seed=options.seed, base=base, gates=gates, found=found)


@dataclass(frozen=True)
class _Items:
    """One seed's training items and all test items."""

    items: Tensor
    targets: Tensor
    test_items: Tensor
    test_labels: Tensor
    model: nn.Module

    @staticmethod
    def drawn(images: LabelledImages, scale: Scale, seed: int) -> "_Items":
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images.train_items), generator=generator)[: scale.items]
        shape = tuple(images.train_items.shape[1:])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = (
                convolutional_network(shape, images.classes)
                if scale.convolutional
                else mlp(shape, _WIDTHS, images.classes)
            )
        targets = torch.eye(images.classes)[images.train_labels[order]]
        return _Items(
            images.train_items[order].to(device),
            targets.to(device),
            images.test_items.to(device),
            images.test_labels,
            model.to(device),
        )

    def base(self, scale: Scale, seed: int) -> float:
        """The accuracy of standard training on all items."""
        everything = two_phase(
            self.model, (self.items, self.targets), 1.0, _training(scale), seed=seed
        )
        return self._accuracy(everything.network)

    def phases(self, scale: Scale, alpha: float, seed: int) -> tuple[float, float, float]:
        """The accuracies after the standard phase, and after the freeze phase by either solver."""
        training = _training(scale)
        made = two_phase(self.model, (self.items, self.targets), alpha, training, seed=seed)
        frozen = torch.from_numpy(made.freeze).to(self.items.device)
        shape = tuple(self.items.shape[1:])
        solved = path_ridge(
            lower(trace(made.gates, shape)),
            self.items[frozen],
            targets=self.targets[frozen].double().cpu(),
            test_items=self.test_items,
            plan=RidgeOptions(landmarks=scale.landmarks, seed=seed),
            progress=SILENT,
        )
        ridge = solved.outputs[len(frozen) :]
        right = (ridge.argmax(1) == self.test_labels).double().mean().item()
        return self._accuracy(made.gates), self._accuracy(made.network), right

    def _accuracy(self, model: nn.Module) -> float:
        with torch.no_grad():
            parts = [model(part).argmax(1).cpu() for part in self.test_items.split(1024)]
        return (torch.cat(parts) == self.test_labels).double().mean().item()


def _training(scale: Scale) -> Training:
    return Training(epochs=scale.epochs, batch_size=64, cosine=True)


def _result(
    images: LabelledImages,
    scale: Scale,
    seed: int,
    base: list[float],
    gates: dict[float, list[float]],
    found: dict[tuple[float, str], list[float]],
) -> ExperimentResult:
    def ratio(accuracies: list[float]) -> list[float]:
        return [own / whole for own, whole in zip(accuracies, base, strict=True)]

    ratios = {key: ratio(values) for key, values in found.items()}
    rows = tuple(
        {
            "alpha": alpha,
            "solver": solver,
            "gates_accuracy": statistics.fmean(gates[alpha]),
            "accuracy": statistics.fmean(found[alpha, solver]),
            "ratio": statistics.fmean(ratios[alpha, solver]),
            "ratio_deviation": _deviation(ratios[alpha, solver]),
        }
        for alpha in scale.alphas
        for solver in SOLVERS
    )
    tenth = min(scale.alphas, key=lambda alpha: abs(alpha - 0.1))
    means = {solver: statistics.fmean(ratios[tenth, solver]) for solver in SOLVERS}
    return ExperimentResult(
        name="two-phase",
        claim=(
            "Two-phase training keeps most of the test accuracy of standard training, even where a "
            "small share α of the items trains the gates."
        ),
        certainty="estimated",
        rows=rows,
        comparisons=tuple(
            Comparison(
                f"accuracy ratio at α = {tenth:g}, {solver}",
                None,
                means[solver],
                "the source shows curves against α",
            )
            for solver in SOLVERS
        ),
        settings={
            **images.record,
            "items_per_seed": scale.items or len(images.train_items),
            "network": "conv32-conv64-1024" if scale.convolutional else f"dense {_WIDTHS}",
            "loss": "squared, one-hot",
            "optimiser": "Adam 0.001, cosine to 0, batches of 64",
            "epochs": scale.epochs,
            "landmarks": scale.landmarks,
            "seed": seed,
            "seeds": len(base),
            "base_accuracy": statistics.fmean(base),
        },
        differs=(
            "Squared loss on one-hot targets, as the bounds have it; the source trains with "
            "cross-entropy and larger networks.",
            "Ridge regression in path space is ours: the exact minimiser of the freeze phase in the "
            f"span of {scale.landmarks:,} items, its penalty by leave-one-out.",
        ),
        verdict=(
            f"At α = {tenth:g} the two-phase network reaches {means['sgd']:.3f} of the accuracy of "
            f"standard training ({statistics.fmean(base):.4f}) by mini-batches and "
            f"{means['ridge']:.3f} by ridge regression."
        ),
        plot=lambda figure: _plot(figure, scale.alphas, ratios),
    )


def _deviation(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _plot(
    figure: Any, alphas: tuple[float, ...], ratios: dict[tuple[float, str], list[float]]
) -> None:
    axes = figure.add_subplot()
    for solver in SOLVERS:
        means = [statistics.fmean(ratios[alpha, solver]) for alpha in alphas]
        spread = [_deviation(ratios[alpha, solver]) or 0.0 for alpha in alphas]
        axes.errorbar(alphas, means, spread, marker="o", capsize=3, label=solver)
    axes.axhline(1, color="grey", linestyle=":", label="standard training")
    low = min(statistics.fmean(values) for values in ratios.values())
    axes.set(
        xlabel="α, the share of the items that trains the gates",
        ylabel="test accuracy, two-phase / standard",
        ylim=(math.floor(20 * low) / 20, None),
    )
    axes.legend()
