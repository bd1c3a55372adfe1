"""Counts and errors by class, in the document and in the page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.class_errors import ClassErrors, ClassPart, class_errors
from gencheck.cli.app import app

# the model names the class of the largest input
LABELS = {"train": [0, 0, 1, 1], "test": [0, 1, 3, 3, 3]}
NAMED = {"train": [0, 1, 1, 1], "test": [0, 0, 3, 0, 3]}


def expected() -> list[dict[str, object]]:
    sets = {"sample": "train", "reference": "test"}
    rows: list[dict[str, object]] = []
    for label in (0, 1, 3):
        row: dict[str, object] = {"label": label}
        for name, split in sets.items():
            pairs = list(zip(LABELS[split], NAMED[split], strict=True))
            own = [guess for truth, guess in pairs if truth == label]
            wrong = sum(guess != label for guess in own)
            row[name] = {"count": len(own), "share": len(own) / len(pairs), "errors": wrong}
        rows.append(row)
    return rows


def test_counts_are_those_of_a_loop() -> None:
    labels, named = (np.array(of["train"] + of["test"]) for of in (LABELS, NAMED))
    found = class_errors(labels, named, 4, {0: "ant"}.get)
    assert [one.label for one in found] == [0, 1, 3]
    assert found[0] == ClassErrors(0, "ant", ClassPart(2, 0.5, 1), ClassPart(1, 0.2, 0))
    assert found[1].class_name is None


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_document_and_the_page_have_a_table(task: str, tmp_path: Path) -> None:
    count = 4 if task == "classification" else 1
    module = nn.Linear(4, count, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.eye(4)[:count])
    torch.export.save(torch.export.export(module, (torch.zeros(3, 4),)), tmp_path / "m.pt2")
    arrays = {f"x_{split}": np.eye(4, dtype=np.float32)[NAMED[split]] for split in NAMED}
    arrays |= {f"y_{split}": np.array(LABELS[split]) for split in LABELS}
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]
    words = ["concentrate", str(tmp_path / "m.pt2"), str(tmp_path / "d.npz"), "--task", task]
    words += ["--permutations", "0", "--beta2-budget", "0", "--json"]
    done = CliRunner().invoke(app, [*words, "--report", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    doc = json.loads(done.stdout)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    if task == "regression":
        assert "classes" not in doc
        assert "Which classes?" not in page
        return
    assert doc["classes"] == expected()
    assert (
        doc["gap"]["reference_error"] == sum(c["reference"]["errors"] for c in doc["classes"]) / 5
    )
    table = page.partition("Which classes?")[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]]
    assert rows[0] == ["0", "2", "50.0 %", "1 (50.0 %)", "1", "20.0 %", "0 (0.0 %)"]
    assert rows[2] == ["3", "0", "0.0 %", "0", "3", "60.0 %", "1 (33.3 %)"]
