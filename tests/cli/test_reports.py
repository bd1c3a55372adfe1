"""--report: Markdown, JUnit and JSON, and the summary of a step of GitHub Actions."""

import html
import json
import platform
import re
import shlex
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app, callback_of, command_names
from gencheck.report.markdown import to_markdown

runner = CliRunner()
SCORE = ["val-bound", "--m-val", "1000", "--n-models", "20", "--val-error", "2%"]


def reported(folder: Path, *words: str, code: int = 0) -> Any:
    options = [
        word
        for kind in ("html", "md", "svg", "xml", "json")
        for word in ("--report", str(folder / f"r.{kind}"))
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
    picture = ElementTree.parse(tmp_path / "r.svg").getroot()
    assert "gate" in " ".join(picture.itertext()).lower()
    page = (tmp_path / "r.html").read_text()
    assert '<span class="badge failed">gate failed</span>' in page
    assert "<li>the |F| models were fixed before the validation items were seen</li>" in page
    assert page.count('<div class="bar"') == len(doc["bounds"])


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
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
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


def test_the_page_says_how_to_repeat_it(tmp_path: Path) -> None:
    data = tmp_path / "my <scores>.csv"
    data.write_text("label,prediction\n" + "1,1\n" * 99 + "1,0\n")
    words = ["val-bound", "--predictions", str(data), "--n-models", "20", "--max-risk", "90%"]
    reported(tmp_path, *words)
    page = html.unescape((tmp_path / "r.html").read_text())
    typed = re.search(r'<pre class="typed">(.*)</pre>', page)
    assert typed is not None
    assert shlex.split(typed[1])[: len(words) + 1] == ["gencheck", *words]
    assert f"{data}, SHA-256 {sha256(data.read_bytes()).hexdigest()}" in page
    assert f"Python {platform.python_version()}" in page


def test_every_command_that_computes_takes_reports() -> None:
    for command in command_names():
        names = callback_of(command).__annotations__
        computes = "output" in names and command not in {"config", "demo"}
        assert computes == ("report" in names), command


def audited(folder: Path, shift: float) -> str:
    """The page of an audit of pictures, the reference with `shift` times the size of the sample."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 2))
    torch.export.save(torch.export.export(module, (torch.zeros(3, 6, 6),)), folder / "m.pt2")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 6, 6)), rng.integers(2, size=120)
    x[60:] *= shift
    np.savez(folder / "d.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    words = ["concentrate", str(folder / "m.pt2"), str(folder / "d.npz"), "--beta2-budget", "0.1"]
    reported(folder, *words)
    return (folder / "r.html").read_text(encoding="utf-8")


def test_the_page_of_an_audit(tmp_path: Path) -> None:
    page = audited(tmp_path, 3.0)
    assert page.count('<svg class="null"') >= 6
    assert "Which items?" in page
    assert 'viewBox="0 0 6 6"' in page
    # nothing outside the file, and no script
    assert not re.findall(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:|//|file:)", page)
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_every_null_distribution_is_drawn_whole(tmp_path: Path) -> None:
    page = audited(tmp_path, 1.3)
    doc = json.loads((tmp_path / "r.json").read_text())
    found = doc["permutation"]
    known = {k: v for k, v in found.items() if isinstance(v, dict) and v["p_value"] is not None}
    plots = re.findall(r'<svg class="null"[^>]*aria-label="([^"]*)">(.*?)</svg>', page, re.DOTALL)
    # β3 of one-hot targets is 0 under every labelling
    changing = [
        v for v in known.values() if v["null_histogram"]["low"] != v["null_histogram"]["high"]
    ]
    assert len(changing) == len(known) - 1 == len(plots)
    for one in known.values():
        shown, observed = one["null_histogram"], one["observed"]
        counts, low, high = shown["counts"], shown["low"], shown["high"]
        assert sum(counts) == found["rounds"] == 200
        assert low <= one["null_median"] <= one["null_95"] <= high
        # bins wholly beyond the observed value hold no more than what its p-value counted, those
        # that reach it no fewer
        reached = round(one["p_value"] * 201) - 1
        edges = np.linspace(low, high, len(counts) + 1)
        room = 1e-9 * max(abs(high), abs(low))
        beyond = sum(
            c for c, edge in zip(counts, edges[:-1], strict=True) if edge > observed + room
        )
        touching = sum(
            c for c, edge in zip(counts, edges[1:], strict=True) if edge >= observed - room
        )
        assert beyond <= reached <= touching
    for (label, drawn), one in zip(plots, changing, strict=True):
        assert f"observed {one['observed']:.4g};" in label
        bars = sum(1 for count in one["null_histogram"]["counts"] if count)
        assert drawn.count("<rect") == bars
        assert drawn.count("<line") == 2


def test_items_are_left_out_of_the_page_where_chance_explains_them(tmp_path: Path) -> None:
    page = audited(tmp_path, 1.0)
    assert "Which items?" not in page
    assert "Where on the input?" not in page


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_an_error(width: int, dark: bool, tmp_path: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    audited(tmp_path, 3.0)
    picture = tmp_path / "page.png"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += ["--force-dark-mode"] if dark else []
    done = subprocess.run(
        [
            *(browser, *options, f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--window-size={width},2000", f"--screenshot={picture}"),
            (tmp_path / "r.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # what the page itself gets wrong, or asks for, stands in the console
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 10_000
    image = Image.open(picture).convert("L")
    assert image.width == width
    assert (image.getpixel((2, 2)) < 128) == dark
