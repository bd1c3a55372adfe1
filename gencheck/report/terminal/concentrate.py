"""The terminal report of `concentrate`: the answer first, then what it rests on; verdict last."""

import math
from collections import Counter
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.printable import printable
from gencheck.report.answer import NAMES, answer, items_stand_out, size, statistics, theory, verdict
from gencheck.report.item_names import named
from gencheck.report.json import Document
from gencheck.report.terminal import parts
from gencheck.report.terminal.certified import certified_section
from gencheck.report.terminal.direction import direction_section
from gencheck.report.terminal.figures import shown
from gencheck.report.terminal.parts import facts_grid, figures_grid, gate_lines, section, title
from gencheck.report.terminal.warned import warnings_section

_BAR_WIDTH = 40


def render(doc: Document) -> RenderableType:
    """The report of one `concentrate` document."""
    return Group(
        Text(answer(doc), style="bold"),
        Text(size(doc)),
        Text(""),
        _heading(doc),
        *warnings_section(doc),
        *_noise(doc),
        *_blame(doc),
        section("How concentrated is the sample under this model?"),
        _betas(doc),
        section("What does theory say?"),
        _costs(doc),
        _bars(doc),
        Text(f"Theory: {theory(doc)}"),
        section("How sure?"),
        _certainty(doc),
        *gate_lines(doc),
        parts.verdict(verdict(doc)),
    )


def _heading(doc: Document) -> RenderableType:
    model, data, inputs = doc["model"], doc["data"], doc["inputs"]
    table = facts_grid()
    table.add_row("model", inputs["checkpoint"]["path"])
    operations = ", ".join(f"{count} {name}" for name, count in model["operations"].items())
    table.add_row("", f"{model['parameters']:,} parameters; {operations}")
    shape = " × ".join(str(extent) for extent in model["input_shape"])
    table.add_row("", f"{shape} → {model['outputs']}; 10^{model['log10_paths']:.1f} paths")
    table.add_row("sample S", f"{data['sample']:,} items of {inputs['data']['path']}")
    table.add_row("reference T", f"{data['reference']:,} items{_reference(inputs)}")
    notes = [*inputs["preprocessing"], *inputs["assumptions"]]
    if inputs.get("from"):
        notes.append(f"the tail from layer {inputs['from']} on; x is the tensor entering it")
    if model["smooth"]:
        notes.append("smooth gates: the paths' gates are numbers that change with every input")
    if model["gates"]:
        kinds = Counter(gate["rule"] for gate in model["gates"])
        named = ", ".join(f"{count} × {rule}" for rule, count in kinds.items())
        notes.append(
            f"computed gates ({named}): they may leave [0, 1], so that β2's upper end is ‖v‖₂ where "
            "paths are not enumerated, and rescaling a unit before a norm changes what is measured"
        )
    for note in notes:
        table.add_row("note", note)
    return Group(title(doc), table)


def _reference(inputs: dict[str, Any]) -> str:
    if inputs["reference"] is not None:
        return f" of {inputs['reference']['path']}"
    if inputs["holdout"] is not None:
        return " held out from it at random"
    return ", its test split"


def _betas(doc: Document) -> RenderableType:
    beta1, beta2 = doc["beta1"], doc["beta2"]
    logs = beta1.get("log10", {})
    table = figures_grid("bold")
    table.add_row(
        "β1",
        shown(beta1["value"], logs.get("value")),
        f"excess of the reference along the path direction where it is largest "
        f"({_how_found(beta1)})",
    )
    table.add_row("β2", shown(beta2["value"]), _beta2_in_words(beta2))
    argmax = beta2["argmax"]
    if argmax["path"]:
        way = " → ".join([*argmax["path"], f"output {argmax['output']}"])
        table.add_row("", "", Text(f"found at {way}", style="dim"))
    table.add_row("β3", shown(doc["beta3"]["value"]), "difference of the targets' mean square")
    return table


def _beta2_in_words(beta2: dict[str, Any]) -> str:
    what = "the largest difference of any path's correlation with a target"
    if beta2["exact"]:
        return f"{what} (exact)"
    if not beta2["argmax"]["path"]:
        return f"at most {what} (no path was looked for, this is ‖v‖₂; see --beta2-budget)"
    clock = " (stopped by --beta2-budget; another run may narrow it further)"
    return f"between {shown(beta2['lower'])} and this: {what}{clock * beta2['stopped_by_clock']}"


def _how_found(beta1: dict[str, Any]) -> str:
    if beta1["method"] == "landmarks":
        upper = shown(beta1["upper"], beta1.get("log10", {}).get("upper"))
        return f"at least; at most {upper}, from {beta1['iterations']:,} landmark items"
    return f"eigenvalue; {beta1['iterations']} {beta1['method']} steps"


def _noise(doc: Document) -> list[RenderableType]:
    """The p-values, with the hypothesis that they speak to."""
    found = doc["permutation"]
    if found["rounds"] == 0:
        return []
    said = "No" if found["differing"] else "Yes, as far as these items tell"
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(no_wrap=True, justify=justify)
    table.add_column(overflow="fold")
    head = ("", "p", "adjusted", "observed", "relabelled, median and 95 %")
    table.add_row(*(Text(word, style="dim") for word in head))
    classes = doc["data"]["task"] == "classification"
    for name, entry in statistics(doc).items():
        if classes and name == "beta3":
            continue  # one-hot targets all have one length
        table.add_row(*_statistic(name, entry, doc["data"]["task"]))
    rounds = Text(
        f"p: the share of {found['rounds']:,} random relabellings of the pooled items, and the "
        "labels as they are, with a figure at least as large. Adjusted (max-T) for asking all of "
        f"these questions: below {found['level']:g} counts as a difference.",
        style="dim",
    )
    reading = Text(found["reading"], style="dim")
    return [section(f"Is it noise? {said}."), table, rounds, reading]


def _statistic(name: str, entry: dict[str, Any], task: str) -> list[RenderableType]:
    title = "targets' mean" if name == "label_means" and task == "regression" else NAMES[name]
    if entry["p_value"] is None:
        return [title, "no p", "", "", Text(entry.get("reason", ""), style="dim")]
    logs = entry.get("log10", {})
    observed, median, high = (
        shown(entry[part], logs.get(part)) for part in ("observed", "null_median", "null_95")
    )
    adjusted = entry["adjusted_p_value"]
    times = ""
    if name == "beta1" and entry["observed"] and entry["null_median"]:
        times = f"; {entry['observed'] / entry['null_median']:.2g} times the median"
    return [
        title,
        f"{entry['p_value']:.3g}",
        "" if adjusted is None else f"{adjusted:.3g}",
        observed,
        f"{median}, {high}{times}",
    ]


def _blame(doc: Document) -> list[RenderableType]:
    """The items that make up β1: to be looked at only where β1 is not noise."""
    if not doc["attribution"]:
        return []
    if not items_stand_out(doc):
        note = Text(
            "β1 is no larger than relabelled items make it, so no item stands out. What it would "
            "be made of is in the JSON document (attribution, direction).",
            style="dim",
        )
        return [section("Which items make it so? None that stand out."), note]
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right"):
        table.add_column(no_wrap=True, justify=justify)
    table.add_column(overflow="fold")
    for item in doc["attribution"]:
        label = "label" if doc["data"]["task"] == "classification" else "target"
        words = printable("".join(f" {token}" for token in item.get("tokens", ())))
        words = f"{named(item)}{words}"
        table.add_row(
            item["set"],
            f"item {item['index']}",
            f"{item['share']:.2%}",
            Text(f"{label} {item['label']}{words}"),
        )
    note = Text(
        "Each item's share of β1: what the reference has along that path direction and the sample "
        "lacks. All shares add up to 100 %; those of the sample are negative.",
        style="dim",
    )
    return [section("Which items make it so?"), table, note, *direction_section(doc)]


def _costs(doc: Document) -> RenderableType:
    gap, bound = doc["gap"], doc["bound"]
    table = figures_grid()
    table.add_row("squared-loss risk on S", shown(gap["sample_risk"]), _error(gap["sample_error"]))
    table.add_row("on T", shown(gap["reference_risk"]), _error(gap["reference_error"]))
    table.add_row("gap, T − S", shown(gap["gap"]), "what the bounds are bounds on")
    if "softmax" in gap:
        of = gap["softmax"]
        words = f"{shown(of['sample_risk'])} on S, {shown(of['reference_risk'])} on T"
        table.add_row("gap of softmax", shown(of["gap"]), f"squared loss of probabilities: {words}")
    for label, which in (("bound", bound), ("tightest bound", bound["tightest"])):
        logs = which.get("log10", {})
        parts = zip(
            ("β1", "correlation", "β3"),
            which["terms"],
            logs.get("terms", [None] * 3),
            strict=True,
        )
        terms = " + ".join(f"{shown(value, log)} {name}" for name, value, log in parts)
        table.add_row(label, shown(which["value"], logs.get("value")), f"= {terms}")
    return table


def _error(error: float | None) -> str:
    return "" if error is None else f"0-1 error {error:.2%}"


def _bars(doc: Document) -> RenderableType:
    """Gap and bounds on one logarithmic scale, so that the eye sees the orders of magnitude."""
    rows = [
        ("|gap|", _log10(abs(doc["gap"]["gap"]), None)),
        ("tightest", _bound_log10(doc["bound"]["tightest"])),
        ("bound", _bound_log10(doc["bound"])),
    ]
    known = [log for _, log in rows if log is not None]
    if not known:
        return Text("")
    low, high = math.floor(min(known)) - 1, math.ceil(max(known))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    for name, log in rows:
        if log is None:
            table.add_row(name, "", "none to draw: not positive")
            continue
        filled = max(1, round(_BAR_WIDTH * (log - low) / max(high - low, 1)))
        style = "green" if name == "|gap|" else "yellow"
        table.add_row(name, Text("━" * filled, style=style), f"10^{log:.1f}")
    scale = f"10^{low}".ljust(_BAR_WIDTH - len(f"10^{high}")) + f"10^{high}"
    table.add_row("", Text(scale, style="dim"), "")
    return Padding(table, (1, 0, 0, 0))


def _log10(value: float | None, log10: float | None) -> float | None:
    if value is None:
        return log10
    return math.log10(value) if value > 0 else None


def _bound_log10(bound: dict[str, Any]) -> float | None:
    return _log10(bound["value"], bound.get("log10", {}).get("value"))


def _certainty(doc: Document) -> RenderableType:
    deviation = doc["self_check"]["output_deviation"]
    estimated = Text(
        "Estimated: T stands in for the distribution, and nothing above is a guarantee for items "
        f"outside S and T. Checked: z·w equals the model's own output (to {deviation:.1g}), and "
        "the gap is within both bounds."
    )
    if "certified" not in doc:
        return estimated
    return Group(estimated, Text(""), certified_section(doc["certified"]))
