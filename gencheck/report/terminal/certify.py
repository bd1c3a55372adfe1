"""The terminal report of `certify`: one row a certificate, the verdict last."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import at_most
from gencheck.report.terminal.parts import facts_grid, risk_ending, title


def render(doc: Document) -> RenderableType:
    """The report of one `certify` document."""
    verdict = doc["verdict"]["name"]
    (chosen,) = (row for row in doc["certificates"] if row["name"] == verdict)
    return Group(
        title(doc),
        _facts(doc),
        Padding(_table(doc["certificates"], verdict), (1, 0, 1, 0)),
        *[Text(f"{row['name']}: {row['classifier']}", style="dim") for row in doc["certificates"]],
        Padding(Text(_terms(chosen)), (1, 0, 0, 0)),
        *risk_ending(
            doc, chosen["assumes"], chosen["risk"], 4, f" ({verdict}: {chosen['classifier']})"
        ),
    )


def _facts(doc: Document) -> RenderableType:
    inputs, measured = doc["inputs"], doc["measured"]
    landmarks = min(inputs["landmarks"], measured["m_sigma"])
    facts = facts_grid()
    facts.add_row("run", inputs["run"]["path"])
    test = f"; {measured['test_items']:,} to test" if measured["test_items"] else "; none to test"
    facts.add_row(
        "items", f"{measured['m_sigma']:,} of the freeze phase, {measured['d_y']} classes{test}"
    )
    facts.add_row("span", f"{measured['rank']:,} dimensions, of {landmarks:,} items")
    shared = f", over {inputs['runs']:,} for each run compared" if inputs["runs"] > 1 else ""
    each = f"{inputs['delta']:g} for each row by itself"
    if inputs["target"] is not None:
        each = f"{inputs['delta']:g}: half for each row by itself, half for the disagreement"
        facts.add_row("target", inputs["target"]["model"]["path"])
        facts.add_row("unlabelled", inputs["target"]["unlabelled"]["path"])
    facts.add_row("delta", f"{each}{shared}")
    return facts


def _table(rows: list[dict[str, Any]], verdict: str) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("bound")
    for name in ("freeze error", "test error", "risk ≤"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        marks = ["verdict"] if row["name"] == verdict else []
        marks += ["vacuous"] if row["vacuous"] else []
        table.add_row(
            row["name"],
            _rate(row["error"]),
            _rate(row["test_error"]),
            at_most(row["risk"], 4),
            " · ".join(marks),
            style="bold" if row["name"] == verdict else "",
        )
    return table


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _terms(row: dict[str, Any]) -> str:
    shown = ", ".join(f"{name.replace('_', ' ')} {_term(v)}" for name, v in row["terms"].items())
    return f"{row['name']}: {shown}"


def _term(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
