"""--report: Markdown, JUnit and JSON, and the summary of a step of GitHub Actions."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.markdown import to_markdown

runner = CliRunner()
SCORE = ["val-bound", "--m-val", "1000", "--n-models", "20", "--val-error", "2%"]


def reported(folder: Path, *words: str, code: int = 0) -> Any:
    options = [
        word for kind in ("md", "xml", "json") for word in ("--report", str(folder / f"r.{kind}"))
    ]
    done = runner.invoke(app, [*words, *options])
    assert done.exit_code == code, done.stderr
    return done


def test_a_failed_gate_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    shown = reported(tmp_path, *SCORE, "--max-risk", "3%", code=1)
    text = (tmp_path / "r.md").read_text()
    assert text.startswith("## gencheck val-bound: gate **failed**\n")
    assert "| max-risk | 0.03 | 0.03586775222 | **failed** |" in text
    assert "What would pass: " in text
    assert "**Verdict: true risk at most 0.035868 with probability 0.95, whichever" in text
    for line in shown.stdout.splitlines():
        assert line.rstrip() in text
    assert summary.read_text() == f"before\n{text}\n"
    root = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert root.attrib == {"tests": "1", "failures": "1", "errors": "0"}
    (case,) = root.iter("testcase")
    assert case.attrib == {"classname": "gencheck.val-bound", "name": "max-risk"}
    (failure,) = case.iter("failure")
    assert failure.attrib["message"] == "max-risk 0.03, value 0.03586775222"
    doc = json.loads((tmp_path / "r.json").read_text())
    assert doc["gate"]["passed"] is False


def test_a_passed_gate_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    reported(tmp_path, *SCORE, "--max-risk", "4%", "--json")
    assert "gate passed" in summary.read_text()
    root = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert root.attrib["failures"] == "0"
    assert len(list(root.iter("failure"))) == 0
    summary.unlink()
    reported(tmp_path, *SCORE)
    assert not summary.exists()
    assert (tmp_path / "r.md").read_text().startswith("## gencheck val-bound\n")
    assert ElementTree.parse(tmp_path / "r.xml").getroot().attrib["tests"] == "0"


def test_a_summary_that_cannot_be_written_decides_no_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "missing" / "s.md"))
    done = runner.invoke(app, [*SCORE, "--max-risk", "4%"])
    assert done.exit_code == 0
    assert "GITHUB_STEP_SUMMARY" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("r.pdf", "suffix '.pdf'"), ("r", "suffix ''"), ("missing/r.md", "no folder")],
)
def test_reports_are_refused_before_the_work(name: str, words: str, tmp_path: Path) -> None:
    done = runner.invoke(app, [*SCORE, "--report", str(tmp_path / name)])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert words in done.stderr


def test_two_results_need_two_files(tmp_path: Path) -> None:
    path = str(tmp_path / "r.json")
    done = runner.invoke(app, [*SCORE, "--output", path, "--report", path])
    assert done.exit_code == 2
    assert "a file named twice" in done.stderr
    losses = tmp_path / "l.csv"
    losses.write_text("loss\n0\n1\n")
    link = tmp_path / "l.md"
    link.symlink_to(losses)
    words = ["val-bound", "--losses", str(losses), "--n-models", "1", "--report", str(link)]
    assert "a file that the command reads" in runner.invoke(app, words).stderr


def test_user_text_stays_text_in_markdown_and_junit(tmp_path: Path) -> None:
    evil = tmp_path / "``` <script>|x\x1b[31m\n# y.csv"
    evil.write_text("loss\n" + "0\n1\n" * 20)
    words = ["val-bound", "--losses", str(evil), "--n-models", "1", "--max-risk", "0.1"]
    reported(tmp_path, *words, code=1)
    text = (tmp_path / "r.md").read_text()
    assert "\x1b" not in text
    assert "\n# y.csv" not in text
    assert "\n````\n" in text
    ElementTree.parse(tmp_path / "r.xml")
    doc = {
        "schema": "gencheck.x/1",
        "gencheck": "0",
        "inputs": {},
        "gate": {
            "passed": False,
            "checks": [{"name": "a|<b>", "limit": 1.0, "value": None, "passed": False}],
        },
    }
    text = to_markdown(doc, "Verdict: <b>*x*</b>")
    assert "| a\\|&lt;b&gt; | 1 | n/a | **failed** |" in text
    assert "**Verdict: &lt;b&gt;\\*x\\*&lt;/b&gt;**" in text


def test_every_command_that_computes_takes_reports() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        names = command.callback.__annotations__
        computes = "output" in names and command.callback.__name__ != "demo"
        assert computes == ("report" in names), command.callback
