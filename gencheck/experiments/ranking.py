"""How well do figures of a data set foretell what a network trained on it will do."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.experiments.defective_sets import KINDS
from gencheck.experiments.experiment import ExperimentOptions, ExperimentResult, Row
from gencheck.experiments.images import LabelledImages, labelled_images
from gencheck.experiments.measured_sets import MeasuredSet, Scale, measured_sets
from gencheck.experiments.rank_correlation import Correlation, correlations, spearman
from gencheck.progress import Progress

LEADING = "v_frobenius"
_LEAST = 20
_ROUNDS = 2000
_OUTCOMES = ("gap", "error")

SMALL = Scale(own=2000, items=300, reference=300, levels=10, widths=(64, 64), epochs=30, seeds=1)
FULL = replace(SMALL, own=3000, items=500, reference=500, seeds=5)


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """Candidate sets with six kinds of defects, their figures, and the networks trained on them.

    Raises
    ------
    InputError
        The data cannot be used: no pictures, or too few.
    """
    return experiment(FULL if options.full else SMALL, options, progress)


def experiment(scale: Scale, options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """As `run`, at a scale of the caller's."""
    images = labelled_images(options)
    fitting = _fitting(scale, images)
    count = options.seeds or scale.seeds
    progress.start("training", count * len(KINDS) * scale.levels, "candidate sets")
    found = [
        measured_sets(images, fitting, seed, progress)
        for seed in range(options.seed, options.seed + count)
    ]
    progress.finish()
    return ranking_result(images, fitting, options.seed, found)


def _fitting(scale: Scale, images: LabelledImages) -> Scale:
    """The scale as far as the items go."""
    train, test = len(images.train_items), len(images.test_items)
    own = min(scale.own, train // 3)
    items, reference = min(scale.items, (train - own) // 5), min(scale.reference, test // 2)
    if images.train_items.dim() != 4 or min(items, reference) < _LEAST:
        raise InputError(
            where="--data",
            found=f"{train:,} training and {test:,} test items of {images.record['item_shape']}",
            required=f"pictures, at least {8 * _LEAST} to train on and {2 * _LEAST} to test",
        )
    return replace(scale, own=own, items=items, reference=reference)


def ranking_result(
    images: LabelledImages, scale: Scale, first_seed: int, found: Sequence[Sequence[MeasuredSet]]
) -> ExperimentResult:
    """Correlations of every figure with what came of training, from the measured sets of each seed."""
    rows = _rows(found)
    return ExperimentResult(
        name="ranking",
        claim=(
            "Ours, not the source's: under one network that saw none of them, the distance ‖V‖_F of "
            "moments in path space orders data sets as networks later trained on them turn out."
        ),
        certainty="estimated",
        rows=rows,
        comparisons=(),
        settings={
            **images.record,
            "sets": sum(map(len, found)),
            "kinds": ", ".join(KINDS),
            "items_per_set": scale.items,
            "reference": scale.reference,
            "judging_items": len(images.test_items) - scale.reference,
            "network_items": scale.own,
            "network": f"dense {scale.widths}",
            "loss": "squared, on one-hot labels",
            "optimiser": "Adam 0.001, batches of 32",
            "epochs": scale.epochs,
            "first_seed": first_seed,
            "seeds": len(found),
            "bootstrap_rounds": _ROUNDS,
        },
        differs=(
            "The source bounds the gap by such moments and by the weights; it claims no order of data "
            "sets.",
            "Intervals are the bootstrap's, over seeds and sets: estimated. They speak of these kinds "
            "of defects in these strengths.",
        ),
        verdict=_verdict(rows),
        plot=partial(_plot, rows),
    )


def _rows(found: Sequence[Sequence[MeasuredSet]]) -> tuple[Row, ...]:
    """One row a figure: its correlations with gap and error over all sets, and within each kind."""
    names = list(found[0][0].figures)
    figures = [np.array([[each.figures[n] for each in sets] for n in names]) for sets in found]
    by: dict[str, list[Correlation]] = {}
    outcomes: dict[str, list[Any]] = {}
    for outcome in _OUTCOMES:
        outcomes[outcome] = [np.array([getattr(each, outcome) for each in sets]) for sets in found]
        by[outcome] = correlations(
            figures, outcomes[outcome], names.index(LEADING), rounds=_ROUNDS, seed=0
        )
    within = {}
    for kind in KINDS:
        chosen = [np.array([each.kind == kind for each in sets]) for sets in found]
        within[kind] = np.mean(
            [
                spearman(values[:, own], errors[own])
                for values, errors, own in zip(figures, outcomes["error"], chosen, strict=True)
            ],
            0,
        )
    rows = []
    for place, name in enumerate(names):
        row: dict[str, str | float | None] = {"figure": name}
        for outcome in _OUTCOMES:
            correlation = by[outcome][place]
            row |= {
                outcome: correlation.value,
                f"{outcome}_low": correlation.low,
                f"{outcome}_high": correlation.high,
                f"{outcome}_beside_{LEADING}": _judgement(correlation),
            }
        for kind in KINDS:
            value = float(within[kind][place])
            row[f"error_{kind}"] = None if np.isnan(value) else value
        rows.append(row)
    return tuple(rows)


def _judgement(correlation: Correlation) -> str:
    low, high = correlation.difference
    if low == high == 0:
        return "itself"
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _verdict(rows: Sequence[Row]) -> str:
    leading = next(row for row in rows if row["figure"] == LEADING)
    text = (
        f"‖V‖_F has a rank correlation of {leading['error']:.2f} with the later network's error and "
        f"of {leading['gap']:.2f} with its gap."
    )
    for outcome in _OUTCOMES:
        better = [r["figure"] for r in rows if r[f"{outcome}_beside_{LEADING}"] == "better"]
        undecided = [r["figure"] for r in rows if r[f"{outcome}_beside_{LEADING}"] == "undecided"]
        text += f" For the {outcome}, better than it: {', '.join(map(str, better)) or 'none'}"
        text += f"; not told apart from it: {', '.join(map(str, undecided)) or 'none'}."
    return text


def _plot(rows: Sequence[Row], figure: Any) -> None:
    for place, outcome in enumerate(_OUTCOMES, 1):
        axes = figure.add_subplot(1, 2, place)
        values, low, high = (
            np.array([row[key] for row in rows], dtype=float)
            for key in (outcome, f"{outcome}_low", f"{outcome}_high")
        )
        heights = np.arange(len(rows))
        spread = np.clip([values - low, high - values], 0, None)
        axes.errorbar(values, heights, xerr=spread, fmt="o", capsize=3)
        axes.set_yticks(heights, [str(row["figure"]) for row in rows] if place == 1 else [])
        axes.invert_yaxis()
        axes.axvline(0, color="grey", linewidth=0.5)
        axes.set_xlabel(f"rank correlation with the {outcome}")
