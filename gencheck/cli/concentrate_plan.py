"""`gencheck concentrate --plan`: what a run would take, and no run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencheck.cli.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from gencheck.report.json import Document


def deliver_plan(
    run: "Callable[[Any], Any]", as_json: bool, output: Path | None, report: list[Path] | None
) -> None:
    """Open what a run would, plan it, and print the plan."""
    from gencheck.audit.plan import plan_audit
    from gencheck.report.json import document
    from gencheck.report.plan import plan_body

    plan, inputs = run(plan_audit)
    deliver(
        document("concentrate-plan", inputs, plan_body(plan), None),
        _report,
        as_json,
        output,
        report,
    )


def _report() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal.plan import render

    return render
