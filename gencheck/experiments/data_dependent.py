"""The data-dependent bound of a two-phase network: is it informative, and which term decides it."""

import math
from dataclasses import replace
from typing import Any

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.experiments.experiment import Comparison, ExperimentOptions, ExperimentResult, Row
from gencheck.experiments.images import labelled_images
from gencheck.experiments.trained_gates import DELTA, SMALL, Scale, trained
from gencheck.guarantees.data_dependent import (
    ORIGINS,
    RADII,
    DataDependent,
    data_dependent,
    span_items,
)
from gencheck.progress import Progress

SCALE = replace(SMALL, alphas=(0.5,))
# What guessing one of the classes in the data errs on is 1 − 1/K; a bound from there on says nothing.
_WORDS = {"zero": "path weights from zero", "standard": "path weights from the standard phase's"}


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """β1 ‖W‖² + 2 ‖V‖ ‖W‖ + β3 above the training loss, all certified, for gates that saw none of it.

    Raises
    ------
    InputError
        The data cannot be used.
    """
    return experiment(SCALE, options, progress)


def experiment(scale: Scale, options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """As `run`, at a scale of the caller's, whose first α is taken."""
    images = labelled_images(options)
    alpha = scale.alphas[0]
    source = trained(images, "classes", alpha, scale, options.seed)
    # features and images are in the file's own units; bytes are scaled to [0, 1]
    reach = float(max(images.train_items.abs().max(), images.test_items.abs().max()))
    items = span_items(source, scale.landmarks, reach, options.seed, progress)
    progress.start("certifying", len(ORIGINS) * len(RADII), "bounds")
    found = []
    for origin in ORIGINS:
        for radius in RADII:
            found.append(data_dependent(items, origin, radius, DELTA))
            progress.advance(1)
    progress.finish()
    count = len(items.freeze.labels)
    wrong = int((items.freeze.base.argmax(1) != items.freeze.labels).sum())
    held_out = binomial_upper_end(wrong, count, -math.log(DELTA))
    best = {origin: _least(found, origin) for origin in ORIGINS}
    return ExperimentResult(
        name="data-dependent",
        claim="The gap of a network is at most β1 Σ‖w_k‖² + 2 Σ‖v_k‖‖w_k‖ + β3, for all weights at once.",
        certainty="certified",
        rows=tuple(_row(f) for f in found),
        comparisons=tuple(
            Comparison(
                f"certified 0-1 error, {_WORDS[origin]}",
                None,
                best[origin].certificate.zero_one,
                f"test error {best[origin].test_error:.4f}",
            )
            for origin in ORIGINS
        ),
        settings={
            **images.record,
            "network": f"dense {scale.widths}",
            "epochs": scale.epochs,
            "alpha": alpha,
            "freeze_items": count,
            "landmarks": scale.landmarks,
            "share_of_the_span": items.share,
            "input_reach": reach,
            "delta": DELTA,
            "seed": options.seed,
            "hold_out": held_out,
        },
        differs=(
            "The source states no number. Features are taken in the span of items of the standard "
            f"phase, which has {items.share:.3f} of ‖z‖²; V is bounded in Frobenius norm.",
            "Each row holds with probability 0.95 by itself.",
        ),
        verdict=_verdict(best, held_out, 1 - 1 / images.classes),
        plot=lambda figure: _plot(figure, found),
    )


def _least(found: list[DataDependent], origin: str) -> DataDependent:
    own = [f for f in found if f.origin == origin]
    return min(own, key=lambda f: f.certificate.zero_one)


def _row(f: DataDependent) -> Row:
    own = f.certificate
    return {
        "weights_from": f.origin,
        "radius": f.radius,
        "square_bound": f.radii.feature,
        "beta1": own.beta1,
        "v_frobenius": own.v,
        "w_norm": own.norm,
        "penalty": own.penalty if math.isfinite(own.penalty) else None,
        "sample_risk": own.sample_risk,
        "beta1_term": own.beta1_term,
        "v_term": own.v_term,
        "beta3": own.beta3,
        "outside": own.outside,
        "certified": own.zero_one,
        "test_error": f.test_error,
    }


def _verdict(best: dict[str, DataDependent], held_out: float, guessing: float) -> str:
    parts = []
    for origin, found in best.items():
        own = found.certificate
        says = "informative" if own.zero_one < guessing else "no better than guessing"
        parts.append(
            f"{_WORDS[origin].capitalize()}: {own.zero_one:.4f}, {says} (guessing errs on "
            f"{guessing:.2f}); of it {2 * own.sample_risk:.4f} are twice the training loss, "
            f"{2 * own.beta1_term:.4f} β1's, {2 * own.v_term:.4f} V's."
        )
    return " ".join(parts) + f" The hold-out bound on the gates' own network: {held_out:.4f}."


def _plot(figure: Any, found: list[DataDependent]) -> None:
    axes = figure.add_subplot()
    names = [f"{f.origin}, {f.radius}" for f in found]
    below = [0.0] * len(found)
    parts = {
        "training loss": [2 * f.certificate.sample_risk for f in found],
        "β1 ‖W‖²": [2 * f.certificate.beta1_term for f in found],
        "2 ‖V‖ ‖W‖": [2 * f.certificate.v_term for f in found],
        "β3 and items outside": [2 * f.certificate.beta3 + f.certificate.outside for f in found],
    }
    for label, sizes in parts.items():
        axes.bar(names, sizes, bottom=below, label=label)
        below = [a + b for a, b in zip(below, sizes, strict=True)]
    axes.axhline(1, color="grey", linestyle=":", label="vacuous from here on")
    axes.set(ylabel="0-1 error, at most")
    axes.legend()
