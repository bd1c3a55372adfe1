"""The terminal report of `reproduce`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document


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
    parts.append(Padding(Text(f"Verdict: {doc['verdict']}", style="bold"), (1, 0, 0, 0)))
    return Group(*parts)


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for key in rows[0]:
        words = any(isinstance(row[key], str) for row in rows)
        table.add_column(key.replace("_", " "), justify="left" if words else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _comparisons(comparisons: list[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("figure", "source", "ours", ""):
        table.add_column(heading, justify="right" if heading in {"source", "ours"} else "left")
    for entry in comparisons:
        source = "no number" if entry["source"] is None else _cell(entry["source"])
        table.add_row(entry["figure"], source, _cell(entry["ours"]), entry["note"], style="bold")
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
