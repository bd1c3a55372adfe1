"""Results that show themselves: in a notebook, in a script, as data."""

import html
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import torch

import gencheck
from gencheck.audit.options import AuditOptions
from gencheck.errors import MissingDependency
from gencheck.interactive import Audit
from gencheck.report.schema import schema_text
from tests.networks import build

SCRIPT = Path(__file__).parents[2] / "docs" / "from_python.py"


@pytest.fixture(scope="module")
def audit() -> Audit:
    torch.manual_seed(0)
    module = build("residual")
    shape = (40, 1, 4, 4)
    x = torch.randn(shape)
    y = torch.arange(40) % 2
    options = AuditOptions(permutations=30, beta2_budget=0.0)
    return gencheck.audit_module(module, (x[:25], y[:25]), (x[25:], y[25:]), options=options)


def test_the_document_is_that_of_the_command_line(audit: Audit) -> None:
    document = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    jsonschema.validate(document, json.loads(schema_text("concentrate")))
    assert document["beta1"]["value"] == float(audit.beta1.value)
    assert document["inputs"]["permutations"] == 30


def test_the_report_is_that_of_the_command_line(audit: Audit) -> None:
    text = audit.report()
    assert "Verdict:" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "a module in memory" in text


def test_one_line_says_what_came_out(audit: Audit) -> None:
    assert re.fullmatch(r"<gencheck audit, 25 against 15 items: .*>", repr(audit))


def test_a_notebook_shows_the_page_in_a_frame(audit: Audit) -> None:
    shown = audit._repr_html_()
    assert shown.startswith("<iframe")
    page = html.unescape(shown.split('srcdoc="', 1)[1])
    assert page.startswith("<!doctype html>")
    # escaped whole: nothing of the page ends the attribute
    assert shown.count('"') == 4


def test_the_items_are_a_table(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(rows: list[dict[str, Any]], columns: list[str]) -> Any:
        return rows, columns

    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=frame))  # type: ignore[arg-type]
    rows, columns = audit.to_pandas()
    assert columns == ["set", "index", "label", "share"]
    assert [row["share"] for row in rows] == [item.share for item in audit.attribution]
    monkeypatch.setitem(sys.modules, "pandas", None)  # type: ignore[arg-type]
    with pytest.raises(MissingDependency, match=r"gencheck\[pandas\]"):
        audit.to_pandas()


def test_the_script_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    made = runpy.run_path(str(SCRIPT))
    said = capsys.readouterr().out
    assert said.startswith("<gencheck audit, 300 against 200 items")
    assert "Verdict:" in said
    assert made["document"]["data"] == {"sample": 300, "reference": 200, "task": "classification"}
