"""The terminal reports of `val-bound` and `data-indep`."""

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.limits import would_pass_sentence
from gencheck.report.terminal.scores import beside_facts, groups_table, scores_facts, study_facts


def render_val_bound(doc: Document) -> RenderableType:
    """The report of one `val-bound` document: the bounds side by side, the certified one last."""
    certified = doc["certified"]["name"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("bound", "risk ≤", "slack", ""):
        table.add_column(name, justify="left" if name in {"bound", ""} else "right", no_wrap=True)
    decimals = _decimals([bound["slack"] for bound in doc["bounds"]])
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
        Text("gencheck val-bound", style="bold"),
        _val_bound_facts(doc),
        *groups_table(doc),
    ]
    if doc["bounds"]:
        parts.append(Padding(table, (1, 0, 0, 0)))
        (sure,) = (bound for bound in doc["bounds"] if bound["name"] == certified)
        parts.append(Text(""))
        parts += [Text(f"assumes: {text}", style="dim") for text in sure["assumes"]]
    if "solution" in doc:
        parts.append(Padding(Text(_solution(doc)), (1, 0, 0, 0)))
    return Group(*parts, *gate_lines(doc), _val_bound_verdict(doc))


def _val_bound_facts(doc: Document) -> RenderableType:
    inputs, at, solution = doc["inputs"], doc["evaluated_at"], doc.get("solution", {})
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
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


def _decimals(values: list[float]) -> int:
    """Six, or as many as the smallest of `values` needs to show three digits."""
    smallest = min((abs(value) for value in values if value), default=1.0)
    return min(max(6, 2 - math.floor(math.log10(smallest))), 15)


def at_most(risk: float, decimals: int) -> str:
    """A bound in `decimals` places, rounded up: rounded down it would not be a bound."""
    if abs(risk) >= 1e6:
        return f"{risk:.6e}"
    text = f"{risk:.{decimals}f}"
    return text if float(text) >= risk else f"{risk + 10.0**-decimals:.{decimals}f}"


def _number(value: float) -> str:
    return f"{value:.10g}"


def confidence_text(delta: float) -> str:
    """1 − δ, in a form that does not round it to 1."""
    return f"{1 - delta:.6g}" if delta >= 1e-5 else f"1 − {delta:.3g}"


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


def gate_lines(doc: Document) -> list[RenderableType]:
    """One line for each limit of the document's gate, and what would pass; none without a gate."""
    if "gate" not in doc:
        return []
    lines: list[RenderableType] = [Text("")]
    advice = would_pass_sentence(doc["gate"])
    for check in doc["gate"]["checks"]:
        value = "n/a" if check["value"] is None else _number(check["value"])
        lines.append(
            Text(
                f"Gate {'passed' if check['passed'] else 'FAILED'}: {check['name']} "
                f"{_number(check['limit'])}, value {value}",
                style="green" if check["passed"] else "red",
            )
        )
    return [*lines, Text(advice)] if advice else lines


def _val_bound_verdict(doc: Document) -> RenderableType:
    certified = doc["certified"]
    if certified["risk"] is None:
        text, style = f"Verdict: nothing certified: {certified['reason']}.", "yellow"
    else:
        decimals = _decimals([bound["slack"] for bound in doc["bounds"]])
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
    return Padding(Text(text, style=f"bold {style}"), (1, 0, 0, 0))


def render_data_indep(doc: Document) -> RenderableType:
    """The report of one `data-indep` document: the terms, what is assumed, the verdict last."""
    if "measured" in doc:
        return _render_measured(doc)
    bound, inputs = doc["bound"], doc["inputs"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("items", f"{inputs['m_sigma']:,} in the freeze phase, {inputs['d_y']} classes")
    facts.add_row(
        "norms",
        f"C_σ = {inputs['c_sigma']:g}, C_w = {inputs['c_w']:g}, margin ρ = {inputs['rho']:g}",
    )
    facts.add_row("delta", f"{inputs['delta']:g}")
    decimals = _decimals(list(bound["terms"].values()))
    terms = Table.grid(padding=(0, 2))
    terms.add_column(no_wrap=True)
    terms.add_column(no_wrap=True, justify="right")
    terms.add_column(style="dim")
    terms.add_row("margin loss", f"{inputs['margin_loss']:.{decimals}f}", "as given")
    terms.add_row(
        "rademacher", f"{bound['terms']['rademacher']:.{decimals}f}", "2 d_y² C_σ C_w / (ρ √m_σ)"
    )
    terms.add_row(
        "confidence", f"{bound['terms']['confidence']:.{decimals}f}", "√(ln(1/δ) / (2 m_σ))"
    )
    terms.add_row("risk ≤", at_most(bound["risk"], decimals), "their sum", style="bold")
    assumed = [Text(f"assumes: {text}", style="dim") for text in bound["assumes"]]
    if bound["vacuous"]:
        verdict, style = f"Verdict: vacuous ({bound['risk']:.6g} is no less than 1).", "yellow"
    else:
        verdict = (
            f"Verdict: true 0-1 risk at most {at_most(bound['risk'], decimals)} with probability "
            f"{confidence_text(inputs['delta'])}, if what it assumes holds."
        )
        style = "green"
    return Group(
        Text("gencheck data-indep", style="bold"),
        facts,
        Padding(terms, (1, 0, 1, 0)),
        *assumed,
        *gate_lines(doc),
        Padding(Text(verdict, style=f"bold {style}"), (1, 0, 0, 0)),
    )


def _render_measured(doc: Document) -> RenderableType:
    """The same where everything was measured: one row a theory, the tightest last."""
    measured, inputs = doc["measured"], doc["inputs"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("run", inputs["checkpoint"]["path"])
    facts.add_row(
        "items",
        f"{measured['m_sigma']:,} of the freeze phase, {measured['d_y']} classes; "
        f"0-1 error on them {measured['error']:.2%}",
    )
    facts.add_row("features", f"C_σ = {_shown(measured, 'c_sigma')}, the root of their mean ‖z‖²")
    for weights in measured["weights"]:
        facts.add_row(
            "weights",
            f"max ‖w_k − o_k‖ = {_shown(weights, 'max')}, all together "
            f"{_shown(weights, 'frobenius')}; origin o: {weights['origin']}",
        )
    shared = f", over {measured['runs']:,} for each run compared" if measured["runs"] > 1 else ""
    facts.add_row("delta", f"{inputs['delta']:g}{shared}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("constant")
    for name in ("margin loss", "rademacher", "confidence", "risk ≤"):
        table.add_column(name, justify="right", no_wrap=True)
    for bound in doc["bounds"]:
        terms = bound["terms"]
        cells = (bound["margin_loss"], terms["rademacher"], terms["confidence"])
        shown = [f"{value:.4f}" for value in cells]
        last = bound["name"] == doc["certified"]["name"]
        risk = at_most(bound["risk"], 4)
        table.add_row(bound["name"], *shown, risk, style="bold" if last else "")
    certified = doc["certified"]
    sources = [Text(f"{b['name']}: {b['source']}", style="dim") for b in doc["bounds"]]
    assumed = [Text(f"assumes: {text}", style="dim") for text in doc["bound"]["assumes"]]
    if certified["risk"] >= 1:
        verdict, style = f"Verdict: vacuous ({certified['risk']:.6g} is no less than 1).", "yellow"
    else:
        verdict = (
            f"Verdict: true 0-1 risk at most {at_most(certified['risk'], 4)} with probability "
            f"{confidence_text(inputs['delta'])} ({certified['name']})."
        )
        style = "green"
    return Group(
        Text("gencheck data-indep", style="bold"),
        facts,
        Padding(table, (1, 0, 1, 0)),
        *sources,
        *assumed,
        *gate_lines(doc),
        Padding(Text(verdict, style=f"bold {style}"), (1, 0, 0, 0)),
    )


def _shown(values: dict[str, Any], key: str) -> str:
    """A number, or the power of ten of one that no float holds."""
    if values[key] is not None:
        return f"{values[key]:.4g}"
    return f"10^{values['log10'][key]:.1f}"
