"""The source's example of the validation guarantee: m = 10,000, |F| = 10⁹, δ = 0.1."""

import math
from typing import Any

from gencheck.bounds.bound import Bound
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.validation import validation_bounds
from gencheck.experiments.experiment import (
    SOURCE,
    Comparison,
    ExperimentOptions,
    ExperimentResult,
    Row,
)
from gencheck.progress import Progress

ITEMS, MODELS, DELTA = 10_000, 10**9, 0.1
# The bounds tighten with a small error, which the source's slack does not show.
ERRORS = (0, 201, 1000)
_ITEMS_PLOTTED = [round(10 ** (2 + i / 10)) for i in range(41)]


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """The slack of every validation bound at the source's numbers.

    2CL/(3m) + √(2γ²L/m) with L = ln(|F|/δ) and C = γ² = 1 is the source's 6.94 %; the other bounds
    hold under the same assumptions.
    """
    rows = tuple(row for count in ERRORS for row in _rows(count))
    ours = _slack("bernstein", ITEMS, 0)
    tightest = min(bound.slack for bound in _bounds(ITEMS, ERRORS[1]))
    return ExperimentResult(
        name="validation-example",
        claim=(
            "With 10,000 validation items, whichever of 10⁹ models is chosen on them has a true risk "
            "of at most its validation error plus 6.94 %, with probability 0.9."
        ),
        certainty="certified",
        rows=rows,
        comparisons=(
            Comparison("slack at m = 10,000, |F| = 10⁹, δ = 0.1", 0.0694, ours, "C = γ² = 1"),
        ),
        settings={
            "m_val": ITEMS,
            "n_models": MODELS,
            "delta": DELTA,
            "errors": list(ERRORS),
            "source": SOURCE,
        },
        differs=("No data and no randomness: the formula at the source's own numbers.",),
        verdict=(
            f"The slack is {ours:.6f}, the source's figure. At {ERRORS[1]} errors in {ITEMS:,} items "
            f"the tightest of the bounds that need no more has a slack of {tightest:.6f}."
        ),
        plot=_plot,
    )


def _rows(count: int) -> list[Row]:
    return [
        {"errors": count, "bound": bound.name, "risk": bound.risk, "slack": bound.slack}
        for bound in _bounds(ITEMS, count)
    ]


def _bounds(m: int, count: int) -> tuple[Bound, ...]:
    evidence = Evidence(m, count / m, binary=True)
    return validation_bounds(evidence, math.log(MODELS) - math.log(DELTA))


def _slack(name: str, m: int, count: int) -> float:
    (slack,) = (bound.slack for bound in _bounds(m, count) if bound.name == name)
    return slack


def _plot(figure: Any) -> None:
    axes = figure.add_subplot()
    for bound in _bounds(ITEMS, ERRORS[1]):
        slacks = [_slack(bound.name, m, round(m * ERRORS[1] / ITEMS)) for m in _ITEMS_PLOTTED]
        axes.loglog(_ITEMS_PLOTTED, slacks, label=bound.name)
    axes.plot(ITEMS, 0.0694, "k*", label="source, 6.94 %")
    axes.set(
        xlabel="validation items", ylabel="slack at an error near 2 %", title="|F| = 10⁹, δ = 0.1"
    )
    axes.legend()
