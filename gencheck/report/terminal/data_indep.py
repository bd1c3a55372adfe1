"""The terminal report of `data-indep`: the terms, what is assumed, the verdict last."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import at_most, decimals_for
from gencheck.report.terminal.parts import facts_grid, risk_ending, title


def render(doc: Document) -> RenderableType:
    """The report of one `data-indep` document: the terms, what is assumed, the verdict last."""
    if "measured" in doc:
        return _render_measured(doc)
    bound, inputs = doc["bound"], doc["inputs"]
    facts = facts_grid()
    facts.add_row("items", f"{inputs['m_sigma']:,} in the freeze phase, {inputs['d_y']} classes")
    facts.add_row(
        "norms",
        f"C_σ = {inputs['c_sigma']:g}, C_w = {inputs['c_w']:g}, margin ρ = {inputs['rho']:g}",
    )
    facts.add_row("delta", f"{inputs['delta']:g}")
    decimals = decimals_for(list(bound["terms"].values()))
    terms = Table.grid(padding=(0, 2))
    terms.add_column(no_wrap=True)
    terms.add_column(no_wrap=True, justify="right")
    terms.add_column(style="dim")
    terms.add_row("margin loss", f"{inputs['margin_loss']:.{decimals}f}", "0 unless given")
    terms.add_row(
        "rademacher", f"{bound['terms']['rademacher']:.{decimals}f}", "2 d_y² C_σ C_w / (ρ √m_σ)"
    )
    terms.add_row(
        "confidence", f"{bound['terms']['confidence']:.{decimals}f}", "√(ln(1/δ) / (2 m_σ))"
    )
    terms.add_row("risk ≤", at_most(bound["risk"], decimals), "their sum", style="bold")
    return Group(
        title(doc),
        facts,
        Padding(terms, (1, 0, 1, 0)),
        *risk_ending(doc, bound["assumes"], bound["risk"], decimals, ", if what it assumes holds"),
    )


def _render_measured(doc: Document) -> RenderableType:
    """The same where everything was measured: one row a theory, the tightest last."""
    measured, inputs = doc["measured"], doc["inputs"]
    facts = facts_grid()
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
    return Group(
        title(doc),
        facts,
        Padding(table, (1, 0, 1, 0)),
        *sources,
        *risk_ending(doc, doc["bound"]["assumes"], certified["risk"], 4, f" ({certified['name']})"),
    )


def _shown(values: dict[str, Any], key: str) -> str:
    """A number, or the power of ten of one that no float holds."""
    if values[key] is not None:
        return f"{values[key]:.4g}"
    return f"10^{values['log10'][key]:.1f}"
