"""The terminal report of `compare-scores`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.parts import assumed, facts_grid, gate_lines, title


def render(doc: Document) -> RenderableType:
    """One record a candidate, what is assumed, the gate, the answer in a sentence last."""
    parts: list[RenderableType] = [title(doc)]
    inputs = doc["inputs"]
    for found in doc["comparisons"]:
        parts.append(Padding(_record(doc, found), (0, 0, 1, 0)))
        if found["strata"]:
            parts.append(Padding(_strata(found), (0, 0, 1, 0)))
        if found["differing"]:
            parts.append(Padding(_differing(found), (0, 0, 1, 0)))
    if doc["items_left_out"]:
        parts.append(Text(f"note: {doc['items_left_out']:,} items that one side lacks left out"))
    parts += assumed(doc["assumes"])
    verdicts = [_verdict(doc["baseline"], found, inputs) for found in doc["comparisons"]]
    return Group(*parts, *gate_lines(doc), Text(""), *verdicts)


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
    sides = f"between {improvement['lower']:.4g} and {improvement['upper']:.4g}"
    facts.add_row(
        "improvement", f"{improvement['value']:.4g}, {sides} with probability {1 - level:.6g}"
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


def _strata(found: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("stratum", overflow="fold")
    for name in ("items", "wins", "losses", "improvement", "between", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found["strata"]:
        ends = row["improvement"]
        counts = (f"{row[name]:,}" for name in ("units", "wins", "losses"))
        shown = (f"{ends[name]:.4g}" for name in ("value", "lower", "upper"))
        table.add_row(Text(row["name"]), *counts, *shown)
    return table


def _differing(found: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("items on which they differ", overflow="fold")
    table.add_column("baseline", justify="right", no_wrap=True)
    table.add_column("candidate", justify="right", no_wrap=True)
    for item in found["differing"]:
        table.add_row(Text(item["id"]), f"{item['baseline']:g}", f"{item['candidate']:g}")
    total = found["table"]["wins"] + found["table"]["losses"]
    if total > len(found["differing"]):
        table.add_row(Text(f"… and {total - len(found['differing']):,} more"), "", "")
    return table


def _verdict(baseline: str, found: dict[str, Any], inputs: dict[str, Any]) -> RenderableType:
    delta, name = inputs["delta"], found["candidate"]
    if found["p_adjusted"] <= delta:
        better = found["improvement"]["value"] > 0
        text = (
            f"Verdict: {name} is {'better' if better else 'worse'} than {baseline} "
            f"(p = {found['p_adjusted']:.3g})."
        )
        style = "green" if better else "red"
    else:
        text = (
            f"Verdict: no difference between {name} and {baseline} that chance does not make "
            f"(p = {found['p_adjusted']:.3g})."
        )
        if found["items_to_decide"] is not None:
            text += f" About {found['items_to_decide']:,} items that differ as these do would decide it."
        style = "yellow"
    return Text(text, style=f"bold {style}")
