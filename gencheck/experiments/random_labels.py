"""A network that fits random labels and one that fits true ones, and what each theory says of both."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.audit.api import audit_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.result import ConcentrationResult
from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.margin import MarginBound, independent_bound
from gencheck.experiments.experiment import (
    SOURCE,
    Comparison,
    ExperimentOptions,
    ExperimentResult,
    Row,
)
from gencheck.experiments.images import LabelledImages, labelled_images
from gencheck.progress import Progress
from gencheck.training.architectures import mlp
from gencheck.training.loop import Training, fit

DELTA, RHO = 0.05, 1.0
BOUNDS = ("validation bound", "data-dependent bound", "its tightest form", "data-independent bound")


@dataclass(frozen=True)
class Scale:
    """How large a run is: items of S and of T, hidden units, epochs."""

    sample: int
    reference: int
    widths: tuple[int, ...]
    epochs: int


SMALL = Scale(1000, 1000, (64, 64), 300)
FULL = Scale(10_000, 10_000, (512, 512), 500)


@dataclass(frozen=True)
class Finding:
    """One trained network with its audit and the bounds that need more than the audit.

    Attributes
    ----------
    c_sigma
        √(mean ‖z‖²) over S.
    validation
        The upper end of the 0-1 risk by the reference items alone, at 1 − `DELTA`.
    """

    audit: ConcentrationResult
    margin_loss: float
    c_sigma: float
    validation: float
    independent: MarginBound


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """Train both networks of each seed, audit both, and set what the theories say side by side.

    Raises
    ------
    InputError
        The data cannot be used.
    """
    return experiment(FULL if options.full else SMALL, options, progress)


def experiment(scale: Scale, options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """As `run`, at a scale of the caller's."""
    images = labelled_images(options)
    count = options.seeds or 1
    rows: list[Row] = []
    for seed in range(options.seed, options.seed + count):
        true, random = (
            finding(images, scale, seed, shuffled, progress) for shuffled in (False, True)
        )
        rows += _rows(seed, true, random)
    sizes = [
        min(scale.sample, len(images.train_items)),
        min(scale.reference, len(images.test_items)),
    ]
    return ExperimentResult(
        name="random-labels",
        claim=(
            "Networks that generalise are large enough to fit random labels, so a theory that judges "
            "by the class of networks cannot tell the two apart; what can is the data."
        ),
        certainty="estimated",
        rows=tuple(rows),
        comparisons=_comparisons(rows),
        settings={
            **images.record,
            "sample": sizes[0],
            "reference": sizes[1],
            "network": f"dense {scale.widths}",
            "loss": "squared, on one-hot labels",
            "optimiser": "Adam 0.001, batches of 32",
            "epochs": scale.epochs,
            "first_seed": options.seed,
            "seeds": count,
            "delta": DELTA,
            "rho": RHO,
            "source": SOURCE,
        },
        differs=(
            "The source argues from published experiments on random labels; here both networks are "
            "trained and audited. Random labels are drawn uniformly, for S and for T.",
            "The data-independent bound assumes gates that never saw S and norms fixed beforehand; "
            "both networks trained their gates on S, so its figure is shown for its size only.",
        ),
        verdict=_verdict(rows),
        plot=partial(_plot, rows),
    )


def finding(
    images: LabelledImages, scale: Scale, seed: int, shuffled: bool, progress: Progress
) -> Finding:
    """A network trained on true labels, or on random ones where `shuffled`, and all about it."""
    generator = torch.Generator().manual_seed(seed)
    sample, reference = (
        _chosen(items, labels, count, images.classes if shuffled else None, generator)
        for items, labels, count in (
            (images.train_items, images.train_labels, scale.sample),
            (images.test_items, images.test_labels, scale.reference),
        )
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = mlp(tuple(sample[0].shape[1:]), scale.widths, images.classes)
    targets = torch.eye(images.classes)[sample[1]]
    fit(model, sample[0], targets, Training(scale.epochs, 32), seed, progress=progress)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    audit = audit_module(
        model,
        sample,
        reference=reference,
        task="classification",
        options=AuditOptions(device=device, seed=seed),
        progress=progress,
    )
    assert audit.gap.reference_error is not None
    errors = round(audit.gap.reference_error * len(reference[1]))
    margin_loss, c_sigma = ramp_loss(model, *sample, RHO), root_mean_feature_norm(model, sample[0])
    c_w = max(math.sqrt(float(norm)) for norm in audit.path_norms.l2_squared_per_output)
    return Finding(
        audit=audit,
        margin_loss=margin_loss,
        c_sigma=c_sigma,
        validation=binomial_upper_end(errors, len(reference[1]), -math.log(DELTA)),
        independent=independent_bound(
            len(sample[1]),
            RHO,
            d_y=images.classes,
            c_sigma=c_sigma,
            c_w=c_w,
            delta=DELTA,
            margin_loss=margin_loss,
        ),
    )


def _chosen(
    items: Tensor, labels: Tensor, count: int, classes: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`count` items drawn at random, with their labels or with uniform ones from `classes`."""
    order = torch.randperm(len(items), generator=generator)[:count]
    if classes is None:
        return items[order], labels[order]
    return items[order], torch.randint(classes, (len(order),), generator=generator)


@torch.no_grad()
def ramp_loss(model: nn.Module, items: Tensor, labels: Tensor, rho: float) -> float:
    """The mean of 1 at margins ≤ 0, 0 at margins ≥ ρ, linear between; margin h_y − max_{k≠y} h_k."""
    outputs = model(items).double()
    own = outputs.gather(1, labels[:, None])[:, 0]
    others = outputs.scatter(1, labels[:, None], -math.inf).amax(1)
    return float((1 - (own - others) / rho).clamp(0, 1).mean())


@torch.no_grad()
def root_mean_feature_norm(model: nn.Sequential, items: Tensor) -> float:
    """√(mean ‖z(x)‖²) of a dense ReLU network with biases.

    ‖z‖² = a_H + 1 with a_0 = ‖x‖² and a_h = (a_{h−1} + 1) · (active units of layer h): every path to a
    layer goes on through each of its active units, and each unit's bias starts one.
    """
    values = items.flatten(1)
    norms = values.double().square().sum(1)
    for layer in model:
        values = layer(values)
        if isinstance(layer, nn.ReLU):
            norms = (norms + 1) * (values > 0).sum(1)
    return float((norms + 1).mean().sqrt())


def _rows(seed: int, true: Finding, random: Finding) -> list[Row]:
    quantities: dict[str, Callable[[Finding], float]] = {
        "training error": lambda f: _known(f.audit.gap.sample_error),
        "reference error": lambda f: _known(f.audit.gap.reference_error),
        "squared loss on S": lambda f: f.audit.gap.sample_risk,
        "gap of the squared loss": lambda f: f.audit.gap.gap,
        "β1": lambda f: float(f.audit.beta1.value),
        "β2 (upper end)": lambda f: f.audit.beta2.upper,
        "β3": lambda f: f.audit.beta3,
        "path norm Σ‖w_k‖₂²": lambda f: float(f.audit.path_norms.l2_squared),
        "path norm Σ‖w_k‖₁": lambda f: float(f.audit.path_norms.l1),
        "C_σ = √mean‖z‖²": lambda f: f.c_sigma,
        "margin loss, ρ = 1": lambda f: f.margin_loss,
    }
    rows = [_row(seed, name, read(true), read(random), "") for name, read in quantities.items()]
    gaps = [(float(f.audit.bound.value), _vacuous(f, tightest=False)) for f in (true, random)]
    tight = [(float(f.audit.tightest.value), _vacuous(f, tightest=True)) for f in (true, random)]
    bounds = (
        [(f.validation, f.validation >= 1) for f in (true, random)],
        gaps,
        tight,
        [(f.independent.risk, f.independent.vacuous) for f in (true, random)],
    )
    for name, ((a, a_vacuous), (b, b_vacuous)) in zip(BOUNDS, bounds, strict=True):
        rows.append(_row(seed, name, a, b, _says(a_vacuous, b_vacuous)))
    return rows


def _row(seed: int, name: str, true: float, random: float, says: str) -> Row:
    return {
        "seed": seed,
        "figure": name,
        "true_labels": true,
        "random_labels": random,
        "says": says,
    }


def _known(error: float | None) -> float:
    assert error is not None
    return error


def _vacuous(found: Finding, *, tightest: bool) -> bool:
    bound = found.audit.tightest if tightest else found.audit.bound
    risk, largest = found.audit.gap.sample_risk, found.audit.largest_loss
    return bound.is_vacuous(risk, largest, "classification")


def _says(true_vacuous: bool, random_vacuous: bool) -> str:
    if true_vacuous and random_vacuous:
        return "vacuous for both"
    if true_vacuous or random_vacuous:
        return f"vacuous for {'true' if true_vacuous else 'random'} labels only"
    return "not vacuous for either"


def _comparisons(rows: list[Row]) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(f"{name}, {labels.replace('_', ' ')}", None, _mean(rows, name, labels))
        for name in ("training error", "reference error")
        for labels in ("true_labels", "random_labels")
    )


def _mean(rows: list[Row], figure: str, labels: str) -> float:
    values = [float(str(row[labels])) for row in rows if row["figure"] == figure]
    return sum(values) / len(values)


def _verdict(rows: list[Row]) -> str:
    def times(name: str) -> str:
        return f"{_mean(rows, name, 'random_labels') / _mean(rows, name, 'true_labels'):.3g}"

    errors = [_mean(rows, "training error", kind) for kind in ("true_labels", "random_labels")]
    readings = sorted({f"{row['figure']}: {row['says']}" for row in rows if row["says"]})
    return (
        f"Training errors {errors[0]:.4g} (true) and {errors[1]:.4g} (random). Against true labels, "
        f"random ones have {times('path norm Σ‖w_k‖₂²')} times the squared path norm and "
        f"{times('its tightest form')} times the tightest data-dependent bound. Bounds: "
        f"{'; '.join(readings)}."
    )


def _plot(rows: list[Row], figure: Any) -> None:
    axes = figure.add_subplot()
    names = list(dict.fromkeys(str(row["figure"]) for row in rows if row["figure"] != "β3"))
    for labels, marker in (("true_labels", "o"), ("random_labels", "x")):
        values = [max(_mean(rows, name, labels), 1e-6) for name in names]
        axes.plot(values, names, marker, label=labels.replace("_", " "))
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.legend()
