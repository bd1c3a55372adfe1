"""The two worked examples: the source's figures, from formulas written out here."""

import math

import pytest

from gencheck.cli.app import app
from gencheck.experiments.experiment import ExperimentOptions, ExperimentResult
from gencheck.experiments.registry import experiment_named
from gencheck.progress import SILENT
from tests.experiments.runs import reproduced, runner, without_times


def test_validation_example() -> None:
    doc = reproduced("validation-example")
    level = math.log(10**9 / 0.1)
    (comparison,) = doc["comparisons"]
    assert comparison["ours"] == pytest.approx(
        2 * level / (3 * 10_000) + math.sqrt(2 * level / 10_000), rel=1e-12
    )
    assert comparison["ours"] == pytest.approx(comparison["source"], abs=5e-5)
    assert doc["certainty"] == "certified"
    for row in doc["rows"]:
        assert row["risk"] - row["slack"] == pytest.approx(row["errors"] / 10_000, abs=1e-12)


def test_independent_example() -> None:
    doc = reproduced("independent-example")
    for norm, comparison in zip((0.5, 0.1), doc["comparisons"], strict=True):
        slack = 2 * 100 * norm**2 / math.sqrt(45_000) + math.sqrt(math.log(10) / 90_000)
        assert comparison["ours"] == pytest.approx(slack, rel=1e-12)
        assert comparison["ours"] == pytest.approx(comparison["source"], abs=5e-5)


@pytest.mark.parametrize("name", ["validation-example", "independent-example"])
def test_report_and_library_say_the_same(name: str) -> None:
    result = experiment_named(name)(ExperimentOptions(), SILENT)
    assert isinstance(result, ExperimentResult)
    doc = reproduced(name)
    assert [comparison.ours for comparison in result.comparisons] == [
        comparison["ours"] for comparison in doc["comparisons"]
    ]
    run = runner.invoke(app, ["reproduce", name])
    assert run.exit_code == 0
    assert f"{result.comparisons[0].ours:.6g}" in run.stdout
    assert "Verdict: " in run.stdout
    assert without_times(doc) == without_times(reproduced(name))
