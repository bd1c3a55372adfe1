"""`gencheck data-indep` as users call it."""

import json
import math
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text

runner = CliRunner()
COMMON = ("--d-y", "10", "--delta", "0.1")


def document(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["data-indep", *arguments, "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("data-indep")))
    return doc


@pytest.mark.parametrize(("c", "expected"), [("0.5", 0.240760), ("0.1", 0.0144862)])
def test_worked_examples(c: str, expected: float) -> None:
    norms = ("--c-sigma", c, "--c-w", c)
    doc = document(*COMMON, *norms, "--m", "50000", "--alpha", "0.1")
    bound = doc["bound"]
    assert bound["risk"] == pytest.approx(expected, rel=5e-6)
    assert bound["slack"] == pytest.approx(sum(bound["terms"].values()))
    assert doc["inputs"]["m_sigma"] == 45_000
    same = document(*COMMON, *norms, "--m-sigma", "45000")
    assert same["bound"] == bound


def test_margin_loss_and_vacuous() -> None:
    norms = ("--c-sigma", "5", "--c-w", "5", "--m-sigma", "100", "--margin-loss", "0.25")
    bound = document(*COMMON, *norms)["bound"]
    assert bound["risk"] == pytest.approx(0.25 + bound["slack"])
    assert bound["risk"] > 1
    assert bound["vacuous"]


def test_a_delta_whose_inverse_is_past_floats() -> None:
    norms = ("--d-y", "2", "--c-sigma", "1", "--c-w", "1", "--m-sigma", "100")
    confidence = document(*norms, "--delta", "1e-310")["bound"]["terms"]["confidence"]
    assert confidence == pytest.approx((310 * math.log(10) / 200) ** 0.5)


def test_gate() -> None:
    norms = ("--c-sigma", "0.1", "--c-w", "0.1", "--m-sigma", "45000")
    assert document(*COMMON, *norms, "--max-risk", "0.02")["gate"]["passed"]
    assert not document(*COMMON, *norms, "--max-risk", "0.01", code=1)["gate"]["passed"]


def test_the_report_shows_terms_and_assumptions() -> None:
    norms = ("--c-sigma", "0.1", "--c-w", "0.1", "--m-sigma", "45000")
    result = runner.invoke(app, ["data-indep", *COMMON, *norms])
    assert result.exit_code == 0
    for part in ("rademacher", "confidence", "two-phase training", "Verdict: true 0-1 risk"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--m-sigma: found nothing"),
        (("--m", "100"), "--m-sigma: found nothing"),
        (("--m-sigma", "9", "--m", "9", "--alpha", "0.1"), "either --m-sigma, or --m and --alpha"),
        (("--m", "100", "--alpha", "1"), "--alpha: found 1"),
        (("--m", "100", "--alpha", "0.999"), "--m and --alpha: found 0 items left"),
        (("--m-sigma", "9", "--rho", "0"), "--rho: found 0"),
        (("--m-sigma", "9", "--rho", "nan"), "--rho: found nan"),
        (("--m-sigma", "9", "--margin-loss", "2"), "--margin-loss: found 2"),
        (("--m-sigma", "9", "--d-y", "1"), "--d-y: found 1"),
        (("--m-sigma", "9", "--c-w", "-1"), "--c-w: found -1"),
        (("--m-sigma", "9", "--delta", "2"), "--delta: found 2"),
        (("--m-sigma", "9", "--max-risk", "nan"), "--max-risk: found nan"),
        (("--m-sigma", "9", "--rho", "1e-300", "--c-w", "1e200"), "a bound past 1e308"),
        (("--m-sigma", "9", "--d-y", "1" + "0" * 400), "--d-y: found inf"),
        (("--m-sigma", "1e308"), "--m-sigma: found '1e308'"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str) -> None:
    base = ["data-indep", "--d-y", "10", "--c-sigma", "1", "--c-w", "1"]
    result = runner.invoke(app, [*base, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
