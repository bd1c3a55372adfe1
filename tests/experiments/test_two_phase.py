"""`two-phase` and `certified-error`: small runs on the embedded digits, held to independent sums."""

import io
import math
from pathlib import Path

import pytest

from gencheck.bounds.multiclass import constants_for
from gencheck.experiments import certified_error, two_phase
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.progress import SILENT
from gencheck.report.figure import empty_figure

TINY = two_phase.Scale(400, 6, 120, 2, convolutional=False, alphas=(0.2, 0.6))


@pytest.mark.slow
def test_ratios_are_those_of_the_accuracies() -> None:
    result = two_phase.experiment(TINY, ExperimentOptions(), SILENT)
    base = result.settings["base_accuracy"]
    assert 0.5 < base <= 1
    assert [(row["alpha"], row["solver"]) for row in result.rows] == [
        (0.2, "sgd"),
        (0.2, "ridge"),
        (0.6, "sgd"),
        (0.6, "ridge"),
    ]
    for row in result.rows:
        # means of ratios and the ratio of means differ by the spread over two seeds
        assert row["ratio"] == pytest.approx(row["accuracy"] / base, abs=0.05)
        assert row["accuracy"] > row["gates_accuracy"] - 0.05
        assert row["ratio_deviation"] is not None
    again = two_phase.experiment(TINY, ExperimentOptions(), SILENT)
    assert again.rows == result.rows
    pytest.importorskip("matplotlib")

    figure = empty_figure(Path("figure.png"))
    result.plot(figure)
    figure.savefig(io.BytesIO(), format="png")
    assert len(figure.axes[0].get_lines()) >= 3


@pytest.mark.slow
def test_certificates_add_up_and_hold_on_the_test_items() -> None:
    scale = certified_error.Scale(8, 150, 900, (24, 24))
    result = certified_error.experiment(scale, ExperimentOptions(), SILENT)
    assert len(result.rows) == 2 * len(certified_error.ALPHAS)
    for row in result.rows:
        total = row["margin_loss"] + row["rademacher"] + row["confidence"]
        assert row["certified"] == pytest.approx(total)
        assert row["certified"] > row["test_error"]
        assert row["gates_test_set_bound"] < row["certified"]
        # no certificate is below what the confidence term alone costs
        least = 3 * math.sqrt(math.log(len(certified_error.ALPHAS) / 0.05) / (2 * row["items"]))
        assert row["confidence"] >= least
    best = min(r["certified"] for r in result.rows if r["task"] == "parity")
    assert result.comparisons[1].ours == best
    assert {c.name for c in constants_for(2)} >= {"binary"}
