"""The certified part of `concentrate`'s terminal report."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gencheck.report.terminal.figures import shown
from gencheck.report.terminal.parts import facts_grid, figures_grid


def certified_section(certified: dict[str, Any]) -> RenderableType:
    """What holds for the distribution itself, at which confidence, and what it takes for granted."""
    logs = certified.get("log10", {})
    error = certified["zero_one"] is not None or "zero_one" in logs
    rows = [
        ("β1 ≤", "beta1", certified["forms"]["beta1"] + " form"),
        ("β2 ≤", "beta2", certified["forms"]["beta2"]),
        ("β3 ≤", "beta3", certified["forms"]["beta3"]),
        ("squared-loss risk ≤", "bound", "on the distribution, not on T"),
        *([("0-1 error ≤", "zero_one", "twice that")] if error else []),
    ]
    table = figures_grid(words="dim")
    for label, key, note in rows:
        table.add_row(label, shown(certified[key], logs.get(key)), note)
    notes = facts_grid()
    for assumption in certified["assumptions"]:
        notes.add_row("assumes", assumption)
    outcome = " It says nothing about the error: vacuous." if certified["vacuous"] else ""
    head = f"Certified: with probability {certified['confidence']:g}, all of these hold.{outcome}"
    return Group(Text(head), Padding(table, (1, 0)), notes)
