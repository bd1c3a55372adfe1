"""Options in the user's words: accuracy, per cent, confidence; help, tasks, tables and logs."""

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

from gencheck.cli import progress_bar
from gencheck.cli.app import _GROUPS, app, callback_of, command_names
from gencheck.cli.options import complement, delta_of, share
from gencheck.errors import InputError
from gencheck.report.terminal.fitting import FittingTable

runner = CliRunner()
SCORE = ["val-bound", "--m-val", "10000", "--n-models", "20"]


def document(*words: str) -> dict[str, Any]:
    done = runner.invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    doc: dict[str, Any] = json.loads(done.stdout)
    return doc


def test_accuracy_is_one_less_the_error() -> None:
    plain = document(*SCORE, "--val-error", "0.0201")
    for words in ("0.9799", "97.99%", " 97.99 %"):
        doc = document(*SCORE, "--val-accuracy", words)
        assert doc["bounds"] == plain["bounds"]
        assert doc["inputs"]["val_error"] == 0.0201
        assert doc["inputs"]["errors"] == 201
        assert doc["inputs"]["val_accuracy"] == 0.9799
    for more in (["--val-error", "0.1"], ["--loss-range", "0", "2"]):
        both = runner.invoke(app, [*SCORE, "--val-accuracy", "0.9", *more])
        assert both.exit_code == 2
        assert "--val-accuracy" in both.stderr
    assert runner.invoke(app, [*SCORE, "--val-accuracy", "98"]).exit_code == 2
    assert runner.invoke(app, [*SCORE, "--val-accuracy", "98 apples"]).exit_code == 2


def test_per_cent_and_decimals_are_exact() -> None:
    assert share("5%") == share("0.05") == share(0.05) == 0.05
    assert share("0.1%") == 0.001
    assert complement(0.9) == 0.1
    assert complement(0.9799) == 0.0201
    gate = runner.invoke(app, [*SCORE, "--val-error", "2%", "--max-risk", "2.1%", "--json"])
    assert gate.exit_code == 1
    assert json.loads(gate.stdout)["gate"]["checks"][0]["limit"] == 0.021


def test_delta_or_confidence() -> None:
    assert delta_of(None, None) == delta_of(0.05, None) == delta_of(None, 0.95) == 0.05
    with pytest.raises(InputError, match="--delta and --confidence: found both"):
        delta_of(0.1, 0.9)
    for wrong in (0.0, 1.0, 95.0, float("nan")):
        with pytest.raises(InputError, match="--confidence"):
            delta_of(None, wrong)


def test_every_command_that_errs_with_a_probability_takes_both() -> None:
    with_delta = []
    for command in command_names():
        names = set(callback_of(command).__annotations__)
        assert ("delta" in names) == ("confidence" in names), command
        with_delta += [command] if "delta" in names else []
    assert {"val-bound", "data-indep", "compare", "concentrate", "compare-scores"} <= set(
        with_delta
    )
    norms = ["--m-sigma", "45000", "--d-y", "10", "--c-sigma", "0.1", "--c-w", "0.1"]
    for words in ([*SCORE, "--val-error", "0"], ["data-indep", *norms]):
        one, other = document(*words, "--delta", "0.1"), document(*words, "--confidence", "90%")
        assert one == other
        assert document(*words) == document(*words, "--delta", "5%")


def test_certify_takes_delta_for_confidence(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(nn.Linear(4, 2).state_dict(), tmp_path / "m.pt")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(40, 4)), rng.integers(2, size=40)
    np.savez(tmp_path / "d.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    words = ["concentrate", str(tmp_path / "m.pt"), str(tmp_path / "d.npz"), "--certify"]
    words += ["--gates-independent", "--input-range", "0", "1", "--permutations", "0"]
    words += ["--beta2-budget", "0"]
    one, other = document(*words, "--delta", "0.1"), document(*words, "--confidence", "0.9")
    assert one["certified"] == other["certified"]
    assert one["certified"]["confidence"] == 0.9


def test_alone_it_names_three_tasks_and_no_list() -> None:
    done = runner.invoke(app, [])
    assert done.exit_code == 0
    commands = re.findall(r"^  gencheck (\S+)", done.stdout, re.MULTILINE)
    assert commands == ["val-bound", "concentrate", "train", "certify"]
    assert max(map(len, done.stdout.splitlines())) <= 82
    assert done.stdout.count("\n\n") == 4


def test_help_groups_every_command_once() -> None:
    names = command_names()
    assert len(set(names)) == len(names)
    done = runner.invoke(app, ["--help"])
    places = [done.stdout.index(f"{title}:") for title in _GROUPS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", command_names())
def test_help_has_room_for_words_at_80_columns(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = runner.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    # of 80 columns at least 44 are left for what an option means
    wraps = [line for line in done.stdout.splitlines() if re.match(r" {8,}\S", line)]
    assert all(len(line) - len(line.lstrip()) <= 36 for line in wraps)


def printed(table: FittingTable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_cut_no_number_and_break_no_word() -> None:
    headings = ["property", "largest eigenvalue", "value", "share of the items"]
    rows = [
        [
            "sharpness",
            "of the loss's Hessian at the minimum that was found",
            "7.42211e+10",
            "12.5%",
        ],
        ["non-robustness", "in a step of half that radius, at most", "70,782.8", "100%"],
    ]
    for width in range(45, 120, 5):
        text = printed(FittingTable(headings, rows), width)
        words = text.split()
        for row in rows:
            assert row[2] in words
            assert row[3] in words
            assert row[0] in words
        assert "…" not in text
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    wide, narrow = (printed(FittingTable(headings, rows), width) for width in (100, 40))
    assert wide.count("\n") <= 5
    assert narrow.count("property") == 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        [*SCORE, "--val-error", "2%", "--max-risk", "5%"],
        [
            "val-bound",
            "--m-val",
            "1e8",
            "--n-models",
            "10^300",
            "--val-error",
            "0.0201",
            "--explain",
        ],
        [
            *("data-indep", "--m", "60000", "--alpha", "0.5", "--d-y", "10", "--c-sigma", "1e9"),
            *("--c-w", "1e9", "--rho", "1e-5"),
        ],
        ["compare-scores", "s.csv", "s.csv"],
        *(["reproduce", f"{name}-example"] for name in ("validation", "independent")),
        ["reproduce", "paradox"],
        *(["explain", name] for name in ("terms", "supported", "β1")),
    ],
    ids=" ".join,
)
def test_reports_stay_within_80_columns(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("label,prediction\n" + "1,1\n1,0\n" * 20)
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_table_that_just_fits_is_no_list_of_records() -> None:
    headings, rows = ["seed", "figure"], [["0", "a" * 24], ["1", "b"]]
    assert printed(FittingTable(headings, rows), 30).count("seed") == 1
    assert printed(FittingTable(headings, rows), 29).count("seed") == 2


def test_a_figure_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    doc = document("reproduce", "validation-example")
    from gencheck.report.terminal.reproduce import render

    console = Console(file=io.StringIO(), width=80, markup=False)
    console.print(render(doc))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    for row in doc["rows"]:
        assert f"{row['risk']:.6g}" in text


def test_a_log_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bars = progress_bar.ProgressBars()
    bars._console = Console(file=io.StringIO(), width=80, markup=False)
    bars.start("gram", 1000.0, "pairs")
    for _ in range(100):
        clock[0] += 1.0
        bars.advance(10.0)
    assert isinstance(bars._console.file, io.StringIO)
    lines = bars._console.file.getvalue().splitlines()
    assert lines == [
        f"gencheck: gram: {part} %, 10 pairs/s, {part} s so far".replace(" %", "%")
        for part in (30, 60, 90)
    ]
