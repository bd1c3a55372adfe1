"""The terminal report of `reproduce`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.fitting import FittingTable
from gencheck.report.terminal.parts import verdict


def render(doc: Document) -> RenderableType:
    """The report of one `reproduce` document: claim, table, the source's figures beside ours."""
    parts: list[RenderableType] = [
        Text(f"gencheck reproduce {doc['experiment']}", style="bold"),
        Text(f"claim: {doc['claim']}"),
        Padding(_table(doc["rows"]), (1, 0), expand=False),
    ]
    if doc["comparisons"]:
        parts.append(Padding(_comparisons(doc["comparisons"]), (0, 0, 1, 0), expand=False))
    parts += [Text(f"differs: {text}", style="dim") for text in doc["differs"]]
    return Group(*parts, verdict(f"Verdict: {doc['verdict']}"))


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    headings = [key.replace("_", " ") for key in rows[0]]
    return FittingTable(headings, [[_cell(value) for value in row.values()] for row in rows])


def _comparisons(comparisons: list[dict[str, Any]]) -> RenderableType:
    rows = []
    for entry in comparisons:
        source = "no number" if entry["source"] is None else _cell(entry["source"])
        rows.append([entry["figure"], source, _cell(entry["ours"]), entry["note"]])
    return FittingTable(["figure", "source", "ours", "note"], rows, style="bold")


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
