"""The terminal report of `val-bound`: the bounds side by side, the verdict last."""

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import at_most, confidence_text, decimals_for
from gencheck.report.terminal.parts import assumed, facts_grid, gate_lines, title, verdict
from gencheck.report.terminal.scores import beside_facts, groups_table, scores_facts, study_facts


def render(doc: Document) -> RenderableType:
    """The report of one `val-bound` document: the bounds side by side, the certified one last."""
    certified = doc["certified"]["name"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("bound", "risk ≤", "slack", ""):
        table.add_column(name, justify="left" if name in {"bound", ""} else "right", no_wrap=True)
    decimals = decimals_for([bound["slack"] for bound in doc["bounds"]])
    for bound in doc["bounds"]:
        mark = "certified" if bound["name"] == certified else ""
        if bound["vacuous"]:
            mark = " · ".join(filter(None, (mark, "vacuous")))
        style = "bold" if bound["name"] == certified else ""
        table.add_row(
            bound["name"],
            at_most(bound["risk"], decimals),
            f"{bound['slack']:.{decimals}f}",
            mark,
            style=style,
        )
    parts: list[RenderableType] = [
        title(doc),
        _facts(doc),
        *groups_table(doc),
    ]
    if doc["bounds"]:
        parts.append(Padding(table, (1, 0, 0, 0)))
        (sure,) = (bound for bound in doc["bounds"] if bound["name"] == certified)
        parts.append(Text(""))
        parts += assumed(sure["assumes"])
    if "solution" in doc:
        parts.append(Padding(Text(_solution(doc)), (1, 0, 0, 0)))
    return Group(*parts, *gate_lines(doc), _verdict(doc))


def _facts(doc: Document) -> RenderableType:
    inputs, at, solution = doc["inputs"], doc["evaluated_at"], doc.get("solution", {})
    facts = facts_grid()
    for name, text in [*study_facts(doc), *scores_facts(doc)]:
        facts.add_row(name, text)
    if "file" in inputs:
        facts.add_row("file", inputs["file"]["path"])
    errors = f" ({inputs['errors']:,} errors)" if "errors" in inputs and at["m_val"] else ""
    if at["m_val"]:
        facts.add_row(
            "items", f"{at['m_val']:,}, empirical risk {at['empirical_risk']:.6g}{errors}"
        )
    facts.add_row("models", _count_in_words(at["log_n_models"]))
    if solution.get("reading") != "p-value":
        facts.add_row("delta", f"{at['delta']:.6g}: all bounds hold with probability 1 − delta")
    for name, text in beside_facts(doc):
        facts.add_row(name, text)
    if "rounded" in inputs:
        facts.add_row("note", inputs["rounded"])
    if inputs.get("ties"):
        facts.add_row("note", f"{inputs['ties']} ties between scores: the first class was taken")
    return facts


def _number(value: float) -> str:
    return f"{value:.10g}"


def _count_in_words(logarithm: float) -> str:
    if logarithm < math.log(1e6):
        return f"{math.exp(logarithm):.6g}"
    return f"10^{logarithm / math.log(10):.6g}"


def _solution(doc: Document) -> str:
    solution, inputs = doc["solution"], doc["inputs"]
    question = {
        "m-val": "fewest validation items",
        "n-models": "most models",
        "delta": "smallest delta",
    }[solution["variable"]]
    answer = _answer(solution)
    found = (
        f"Solved for a certified risk of at most {_number(inputs['target'])}: {question} {answer}"
    )
    if solution.get("reading") == "p-value":
        return f"{found}\nThis is a p-value: {_P_VALUE}"
    if solution.get("reading") == "planned":
        return (
            f"{found}\nIf {_number(inputs['val_error'])} is a plan. From an error that was observed it "
            f"is a p-value: {_P_VALUE}"
        )
    return found


_P_VALUE = (
    "if the chosen model's risk is above the target, evidence as strong as this has at most this "
    "probability. It was found from the items, so it is no confidence; that is fixed before, by --delta."
)


def _answer(solution: dict[str, Any]) -> str:
    value = solution["value"]
    if value is not None:
        return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    if "log10" in solution:
        return f"10^{solution['log10']:.6g}"
    return f"none: {solution['reason']}"


def _verdict(doc: Document) -> RenderableType:
    certified = doc["certified"]
    if certified["risk"] is None:
        text, style = f"Verdict: nothing certified: {certified['reason']}.", "yellow"
    else:
        decimals = decimals_for([bound["slack"] for bound in doc["bounds"]])
        (bound,) = (b for b in doc["bounds"] if b["name"] == certified["name"])
        confidence = confidence_text(doc["evaluated_at"]["delta"])
        if bound["vacuous"]:
            text = f"Verdict: vacuous. No risk below the largest possible is certified ({bound['name']})."
            style = "yellow"
        elif doc.get("solution", {}).get("reading") == "p-value":
            text = (
                f"Verdict: p = {_answer(doc['solution'])} against a true risk above "
                f"{_number(doc['inputs']['target'])}, whichever model was chosen ({bound['name']})."
            )
            style = "green"
        else:
            text = (
                f"Verdict: true risk at most {at_most(certified['risk'], decimals)} with probability "
                f"{confidence}, whichever model was chosen ({bound['name']})."
            )
            style = "green"
    return verdict(text, style)
