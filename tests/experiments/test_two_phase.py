"""`two-phase` and `certified-error`: small runs on the embedded digits, held to independent sums."""

import io
import math
from pathlib import Path

import pytest

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.multiclass import MeasuredBound, constants_for
from gencheck.experiments import certified_error, data_dependent, two_phase
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.experiments.trained_gates import Scale
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
    scale = Scale(8, 150, 900, (24, 24))
    result = certified_error.experiment(scale, ExperimentOptions(), SILENT)
    assert len(result.rows) == 2 * len(scale.alphas)
    for row in result.rows:
        total = row["margin_loss"] + row["rademacher"] + row["confidence"]
        assert row["certified"] == pytest.approx(total)
        assert row["certified"] > row["test_error"]
        assert row["gates_test_set_bound"] < row["certified"]
        wrong = round(row["gates_error"] * row["items"])
        assert row["gates_error"] == pytest.approx(wrong / row["items"])
        level = math.log(len(scale.alphas) / 0.05)
        assert row["gates_test_set_bound"] == binomial_upper_end(wrong, row["items"], level)
        assert isinstance(row["penalty_at_end"], bool)
        assert row["penalty"] > 0
        assert 0 <= row["error"] <= row["margin_loss"] + 1e-9
        # no certificate is below what the confidence term alone costs
        least = 3 * math.sqrt(math.log(len(scale.alphas) / 0.05) / (2 * row["items"]))
        assert row["confidence"] >= least
        for kind in ("drawn", "mean"):
            assert row[f"{kind}_certified"] > row[f"{kind}_test_error"]
            assert row[f"{kind}_certified"] < row["certified"]
            assert row[f"{kind}_nats"] >= 0
    best = min(r["mean_certified"] for r in result.rows if r["task"] == "parity")
    assert result.comparisons[1].ours == best
    assert {c.name for c in constants_for(2)} >= {"binary"}


@pytest.mark.slow
def test_the_data_dependent_bound_adds_up() -> None:
    scale = Scale(8, 100, 900, (24, 24), alphas=(0.5,))
    result = data_dependent.experiment(scale, ExperimentOptions(), SILENT)
    assert [(row["weights_from"], row["radius"]) for row in result.rows] == [
        ("zero", "range"),
        ("zero", "standard-items"),
        ("standard", "range"),
        ("standard", "standard-items"),
    ]
    for row in result.rows:
        terms = row["sample_risk"] + row["beta1_term"] + row["v_term"] + row["beta3"]
        assert row["certified"] == pytest.approx(2 * terms + row["outside"])
        assert row["beta1_term"] == pytest.approx(row["beta1"] * row["w_norm"] ** 2)
        assert row["certified"] > row["test_error"]
    assert result.comparisons[1].ours < result.comparisons[0].ours
    assert f"{result.settings['hold_out']:.4f}" in result.verdict
    pytest.importorskip("matplotlib")
    figure = empty_figure(Path("figure.png"))
    result.plot(figure)
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(
    ("least_at", "at_end"), [(0.3, False), (7.2, False), (-8.1, False), (math.inf, True)]
)
def test_the_grid_of_ridges_goes_on_where_the_least_is_at_its_end(
    least_at: float, at_end: bool
) -> None:
    """A dip at 10^least_at is found wherever it is; a bound that levels off ends flagged."""

    def fitted(penalty: float) -> certified_error.Fitted:
        power = math.log10(penalty)
        risk = 0.1 + 10 ** -(power / 2 + 1) if math.isinf(least_at) else abs(power - least_at)
        bound = MeasuredBound("x", "y", 1.0, 1.0, risk, 0.0, 0.0, 0.0)
        return certified_error.Fitted(penalty, bound, 0.0, 0.0)

    found, ended = certified_error.least_on_grid(fitted)
    assert ended == at_end
    if not at_end:
        assert math.log10(found.penalty) == pytest.approx(least_at, abs=0.26)
    else:
        assert math.log10(found.penalty) > 2
