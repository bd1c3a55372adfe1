"""What `concentrate` delivers: the document of an audit with its gate, or that of a plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencheck.cli.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from gencheck.report.json import Document

    # Opens model and data, and does to them what `audit` or `plan_audit` does; with what went in.
    Run = Callable[[Any], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Delivery:
    """Where a document goes: `--json`, `--output` and `--report`."""

    as_json: bool
    output: Path | None
    reports: list[Path] | None


def deliver_audit(
    run: "Run", limits: dict[str, float | None], min_p_value: float | None, where: Delivery
) -> None:
    """Audit, and deliver it with its gate.

    Raises
    ------
    typer.Exit
        With code 1: a limit does not hold.
    """
    from gencheck.audit.run import audit
    from gencheck.cli.concentrate_gate import concentrate_gate
    from gencheck.report.concentrate import concentrate_body
    from gencheck.report.json import document
    from gencheck.report.pictures import pictures_of

    result, inputs = run(audit)
    gate = concentrate_gate(result, limits, min_p_value)
    asked = {name.replace("-", "_"): limit for name, limit in limits.items()}
    inputs |= asked | {"min_p_value": min_p_value}
    doc = document("concentrate", inputs, concentrate_body(result), gate)
    mean = None if result.direction is None else result.direction.mean
    deliver(
        doc,
        _report,
        where.as_json,
        where.output,
        where.reports,
        pictures=pictures_of(result),
        mean=mean,
    )


def deliver_plan(run: "Run", where: Delivery) -> None:
    """Plan the audit, and deliver what it would take."""
    from gencheck.audit.plan import plan_audit
    from gencheck.report.json import document
    from gencheck.report.plan import plan_body

    plan, inputs = run(plan_audit)
    doc = document("concentrate-plan", inputs, plan_body(plan), None)
    deliver(doc, _planned, where.as_json, where.output, where.reports)


def _report() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal.concentrate import render

    return render


def _planned() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal.plan import render

    return render
