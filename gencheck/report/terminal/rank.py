"""The terminal report of `rank`: the nearest set first, then what it rests on."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import shown
from gencheck.report.terminal.parts import gate_lines, verdict

_BAR = 8


def render(doc: Document) -> RenderableType:
    """The report of one `rank` document."""
    parts: list[RenderableType] = [
        Text(_answer(doc), style="bold"),
        Text(""),
        _table(doc),
        Text(
            "‖V‖_F: how far the set's moments of path features with targets are from the "
            "reference's, the least first. MMD: the same distance of the items themselves with their "
            "targets, without the model. p: over all statistics of that pair. Classes: the "
            "distance of the class shares. Error: the model's own, on the set.",
            style="dim",
        ),
    ]
    if "gate" in doc:
        parts += [*gate_lines(doc), Text(f"required first: {doc['inputs']['require_first']}")]
    return Group(*parts, verdict(_verdict(doc)))


def _answer(doc: Document) -> str:
    first, *rest = doc["ranking"]
    text = f"{first['name']} is nearest to the reference under this model"
    if not rest:
        return f"{text}: it is the only candidate."
    return f"{text}, of {len(rest) + 1} candidate sets."


def _verdict(doc: Document) -> str:
    """Which set to take; those that no four digits tell apart are one answer."""
    first, *rest = doc["ranking"]
    alike = [each["name"] for each in rest if _norm(each) == _norm(first)]
    if not alike:
        return f"Verdict: take {first['name']}."
    return f"Verdict: take {first['name']}; as near, to four digits: {', '.join(alike)}."


def _norm(each: dict[str, Any]) -> str:
    return shown(each["v_frobenius"], each.get("log10", {}).get("v_frobenius"))


def _table(doc: Document) -> RenderableType:
    largest = max((each["v_frobenius"] or 0.0) for each in doc["ranking"])
    table = Table.grid(padding=(0, 2))
    for justify in ("right", "left", "right", "left", *("right",) * 5):
        table.add_column(justify=justify, no_wrap=justify == "right")
    names = ("", "set", "‖V‖_F", "", "MMD", "β1", "p", "classes", "error")
    table.add_row(*(Text(word, style="dim") for word in names))
    for each in doc["ranking"]:
        table.add_row(*_row(each, largest))
    return table


def _row(each: dict[str, Any], largest: float) -> list[RenderableType]:
    value = each["v_frobenius"]
    filled = 0 if value is None or largest <= 0 else max(1, round(_BAR * value / largest))
    p_value, error = each["permutation"].get("p_value"), each["gap"]["sample_error"]
    return [
        str(each["place"]),
        Text(f"{each['name']}\n{each['items']:,} items", overflow="fold"),
        _norm(each),
        Text("━" * filled, style="yellow"),
        shown(each["mmd_labels"]),
        shown(each["beta1"], each.get("log10", {}).get("beta1")),
        "" if p_value is None else f"{p_value:.2g}",
        f"{each['label_difference']:.3g}",
        shown(each["gap"]["sample_risk"]) if error is None else f"{error:.1%}",
    ]
