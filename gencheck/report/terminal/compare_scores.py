"""The terminal report of `compare-scores`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import confidence_text, rounded
from gencheck.report.terminal.parts import (
    assumed,
    facts_grid,
    figures_table,
    gate_lines,
    title,
    verdicts,
)


def render(doc: Document) -> RenderableType:
    """One record a candidate, what is assumed, the gate, the answer in a sentence last."""
    parts: list[RenderableType] = [title(doc)]
    for found in doc["comparisons"]:
        parts.append(Padding(_record(doc, found), (0, 0, 1, 0)))
        if found["strata"]:
            parts.append(Padding(_strata(found), (0, 0, 1, 0)))
        if found["differing"]:
            parts.append(Padding(_differing(found), (0, 0, 1, 0)))
    if doc["items_left_out"]:
        parts.append(Text(f"note: {doc['items_left_out']:,} items that one side lacks left out"))
    parts += assumed(doc["assumes"])
    delta = doc["inputs"]["delta"]
    answers = [_verdict(doc["baseline"], found, delta) for found in doc["comparisons"]]
    return Group(*parts, *gate_lines(doc), verdicts(answers))


def _record(doc: Document, found: dict[str, Any]) -> Table:
    facts = facts_grid()
    counts, loss, improvement = found["table"], found["loss"], found["improvement"]
    facts.add_row("baseline", f"{doc['baseline']}: mean loss {loss['baseline']:.6g}")
    facts.add_row("candidate", f"{found['candidate']}: mean loss {loss['candidate']:.6g}")
    facts.add_row("items", f"{found['items']:,}, matched by {doc['matched_by']}")
    facts.add_row("candidate wins", f"{counts['wins']:,}")
    facts.add_row("baseline wins", f"{counts['losses']:,}")
    if "both_wrong" in counts:
        both = f"both right {counts['both_right']:,}, both wrong {counts['both_wrong']:,}"
        facts.add_row("ties", f"{counts['ties']:,}: {both}")
    else:
        facts.add_row("ties", f"{counts['ties']:,}")
    many = len(doc["comparisons"])
    level = doc["inputs"]["delta"] / many
    sides = "between {} and {}".format(*_ends(improvement))
    facts.add_row(
        "improvement",
        f"{improvement['value']:.4g}, {sides} with probability {confidence_text(level)}",
    )
    adjusted = f"; Holm, over {many} candidates: {found['p_adjusted']:.3g}" if many > 1 else ""
    facts.add_row("p-value", f"{found['p_value']:.3g} ({found['test']}){adjusted}")
    margin = doc["inputs"]["margin"]
    if margin or doc["inputs"]["require_better"]:
        facts.add_row(
            "better", f"p = {found['better']['p_adjusted']:.3g} against no more than {margin:g}"
        )
    if found["items_needed"] is not None:
        facts.add_row(
            "items needed",
            f"about {found['items_needed']:,} to find a difference of this size in 80 % of runs",
        )
    return facts


def _ends(interval: dict[str, float]) -> tuple[str, str]:
    """Its ends, rounded outwards."""
    return rounded(interval["lower"], 4, up=False), rounded(interval["upper"], 4, up=True)


def _strata(found: dict[str, Any]) -> Table:
    heads = ("items", "wins", "losses", "improvement", "between", "")
    table = figures_table("stratum", heads)
    for row in found["strata"]:
        ends = row["improvement"]
        counts = (f"{row[name]:,}" for name in ("units", "wins", "losses"))
        table.add_row(Text(row["name"]), *counts, f"{ends['value']:.4g}", *_ends(ends))
    return table


def _differing(found: dict[str, Any]) -> Table:
    table = figures_table("items on which they differ", ("baseline", "candidate"))
    for item in found["differing"]:
        table.add_row(Text(item["id"]), f"{item['baseline']:g}", f"{item['candidate']:g}")
    total = found["table"]["wins"] + found["table"]["losses"]
    if total > len(found["differing"]):
        table.add_row(Text(f"… and {total - len(found['differing']):,} more"), "", "")
    return table


def _verdict(baseline: str, found: dict[str, Any], delta: float) -> tuple[str, str]:
    """The answer of one comparison, and its colour."""
    name, p_value = found["candidate"], f"(p = {found['p_adjusted']:.3g})"
    if found["p_adjusted"] <= delta:
        word, colour = (
            ("better", "green") if found["improvement"]["value"] > 0 else ("worse", "red")
        )
        return f"Verdict: {name} is {word} than {baseline} {p_value}.", colour
    text = (
        f"Verdict: no difference between {name} and {baseline} that chance does not make {p_value}."
    )
    if found["items_to_decide"] is not None:
        text += (
            f" About {found['items_to_decide']:,} items that differ as these do would decide it."
        )
    return text, "yellow"
