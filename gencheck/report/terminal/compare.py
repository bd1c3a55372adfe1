"""The terminal report of `compare`: one line a theory, then what each rests on; verdict last."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import at_most, confidence_text, shown
from gencheck.report.terminal.parts import facts_grid, section, title, verdict

_MARKS = {True: ("holds", "green"), False: ("fails", "red"), None: ("yours", "yellow")}


def render(doc: Document) -> RenderableType:
    """The report of one `compare` document."""
    return Group(
        _heading(doc),
        section("What does each theory certify?", below=1),
        _table(doc),
        Padding(
            Text(
                "Risk: a bound on the 0-1 error of new items; gap: the same less the error on the "
                f"sample. Each line on its own has probability {confidence_text(doc['delta'])}; "
                "together they have less.",
                style="dim",
            ),
            (1, 0, 0, 0),
        ),
        section("What does each rest on?"),
        *(_grounds(row) for row in doc["theories"]),
        _verdict(doc),
    )


def _heading(doc: Document) -> RenderableType:
    model, data, inputs = doc["model"], doc["data"], doc["inputs"]
    table = facts_grid()
    operations = ", ".join(f"{count} {name}" for name, count in model["operations"].items())
    table.add_row("model", inputs["checkpoint"]["path"])
    table.add_row("", f"{model['parameters']:,} parameters; {operations}")
    of = inputs["data"]["path"]
    table.add_row(
        "sample S", f"{data['sample']:,} items of {of}, 0-1 error {data['sample_error']:.2%}"
    )
    table.add_row(
        "reference T", f"{data['reference']:,} items, 0-1 error {data['reference_error']:.2%}"
    )
    for note in [*inputs["preprocessing"], *inputs["assumptions"]]:
        table.add_row("note", note)
    return Group(title(doc), table)


def _table(doc: Document) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("theory", no_wrap=True)
    table.add_column("risk ≤", justify="right", no_wrap=True)
    table.add_column("gap ≤", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("says", no_wrap=True)
    for row in doc["theories"]:
        logs = row.get("log10", {})
        table.add_row(
            row["name"],
            _figure(row["risk"], logs.get("risk")),
            _figure(row["gap"], logs.get("gap")),
            _certainty(row),
            _says(row),
            style="bold" if row["name"] == doc["certified"]["name"] else "",
        )
    return table


def _certainty(row: dict[str, Any]) -> Text:
    if row["vacuous"] is None:
        return Text("no bound", style="dim")
    return Text(row["certainty"], style="green" if row["certainty"] == "certified" else "yellow")


def _says(row: dict[str, Any]) -> Text:
    if row["vacuous"] is None:
        return Text("–", style="dim")
    return Text("vacuous", style="dim") if row["vacuous"] else Text("something", style="green")


def _figure(value: float | None, log10: float | None) -> str:
    """A bound in at most nine characters, rounded up where it says something."""
    if value is None:
        return "–" if log10 is None else f"10^{log10:.1f}"
    return at_most(value, 4) if value < 1 else f"{value:.4g}"


def _grounds(row: dict[str, Any]) -> RenderableType:
    """The quantity, the constants, the assumptions and the source of one theory."""
    table = facts_grid()
    logs = row.get("log10", {})
    if row["measure"] is not None or "measure" in logs:
        table.add_row("", f"{shown(row['measure'], logs.get('measure'))}  {row['unit']}")
    if row["subject"] != "0-1 risk":
        table.add_row("", f"about the {row['subject']}")
    if "reason" in row:
        table.add_row("", row["reason"])
    for assumption in row["assumptions"]:
        mark, style = _MARKS[assumption["met"]]
        table.add_row(Text(mark, style=style), assumption["statement"])
    if row["constants"]:
        table.add_row("with", Text(_constants(row["constants"]), style="dim"))
    table.add_row("from", Text(row["source"], style="dim"))
    return Padding(
        Group(Text(row["name"], style="bold"), Padding(table, (0, 0, 0, 2))), (1, 0, 0, 0)
    )


def _constants(constants: dict[str, Any]) -> str:
    logs = constants.get("log10", {})
    parts = []
    for name, value in constants.items():
        if name in {"log10", "reason"} or isinstance(value, list):
            continue
        text = f"10^{logs[name]:.1f}" if value is None and name in logs else _number(value)
        parts.append(f"{name} {text}")
    return ", ".join(parts)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _verdict(doc: Document) -> RenderableType:
    certified = [row for row in doc["theories"] if row["certainty"] == "certified"]
    (named,) = (row for row in certified if row["name"] == doc["certified"]["name"])
    others = [row for row in certified if row is not named]
    saying = [row["name"] for row in others if not row["vacuous"]]
    rest = f"Of the {len(others)} other certified bounds {', '.join(saying) or 'none'} "
    rest += "says something." if len(saying) < 2 else "say something."
    if not others:
        rest = "No other theory here certifies anything of such a network."
    if named["vacuous"]:
        return verdict(f"Verdict: vacuous, even the {named['name']} bound. {rest}", "yellow")
    return verdict(
        f"Verdict: 0-1 risk at most {at_most(named['risk'], 4)} with probability "
        f"{confidence_text(doc['delta'])} (the {named['name']} bound, named in advance). {rest}",
        "green",
    )
