"""Every experiment's plot: it can be drawn, holds the result, and has named axes or bars."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gencheck.experiments import random_labels, ranking
from gencheck.experiments.experiment import ExperimentOptions, ExperimentResult
from gencheck.experiments.measured_sets import Scale
from gencheck.experiments.pairs import Pairs, Trained, darc1_result
from gencheck.experiments.registry import experiment_named
from gencheck.progress import SILENT
from gencheck.report.figure import empty_figure

pytest.importorskip("matplotlib")


def drawn(result: ExperimentResult) -> Any:
    """The figure, after it was rendered to bytes."""
    figure = empty_figure(Path("figure.png"))
    result.plot(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
    return figure


@pytest.mark.parametrize("name", ["validation-example", "independent-example", "linear-failure"])
def test_formulas_and_constructions(name: str) -> None:
    figure = drawn(experiment_named(name)(ExperimentOptions(), SILENT))
    assert figure.axes[0].get_xlabel()
    assert len(figure.axes[0].get_lines()) >= 3


@pytest.mark.slow
def test_paradox() -> None:
    result = experiment_named("paradox")(ExperimentOptions(), SILENT)
    figure = drawn(result)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [row["value"] for row in result.rows]


def test_darc1() -> None:
    groups = [tuple(Trained(0.0, e, 2.0) for e in errors) for errors in ((0.1, 0.2), (0.1, 0.1))]
    settings = {"network": "dense", "items_per_seed": 100, "data": "made up"}
    figure = drawn(darc1_result(Pairs(0, 0.1, *groups), settings))
    lines = [list(line.get_ydata()) for line in figure.axes[0].get_lines()]
    assert lines == [[0.1, 0.1], [0.2, 0.1]]


@pytest.mark.slow
def test_random_labels() -> None:
    scale = random_labels.Scale(30, 20, (8,), 3)
    result = random_labels.experiment(scale, ExperimentOptions(), SILENT)
    figure = drawn(result)
    true = figure.axes[0].get_lines()[0].get_xdata()
    read = [row["true_labels"] for row in result.rows if row["figure"] != "β3"]
    assert np.allclose(true, np.maximum(np.array(read, dtype=float), 1e-6))


@pytest.mark.slow
def test_ranking() -> None:
    result = ranking.experiment(Scale(100, 30, 30, 2, (8,), 2, 1), ExperimentOptions(), SILENT)
    figure = drawn(result)
    for axes, outcome in zip(figure.axes, ("gap", "error"), strict=True):
        values = axes.get_lines()[0].get_xdata()
        assert list(values) == [row[outcome] for row in result.rows]
        assert outcome in axes.get_xlabel()
