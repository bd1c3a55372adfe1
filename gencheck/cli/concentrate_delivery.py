"""What `concentrate` delivers: the document of an audit with its gate, or that of a plan."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencheck.cli.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from gencheck.cli.concentrate_gate import Limits

    # Opens model and data, and does to them what `audit_of` or `plan_audit` does; with what went in.
    Run = Callable[[Any], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Delivery:
    """Where a document goes: `--json`, `--output` and `--report`."""

    as_json: bool
    output: Path | None
    reports: list[Path] | None


def deliver_audit(run: "Run", limits: "Limits", where: Delivery) -> None:
    """Audit, and deliver it with its gate.

    Raises
    ------
    typer.Exit
        With code 1: a limit does not hold.
    """
    from gencheck.audit.run import audit_of
    from gencheck.report.concentrate import concentrate_body
    from gencheck.report.json import document
    from gencheck.report.pictures import pictures_of

    result, inputs = run(audit_of)
    inputs |= asdict(limits)
    doc = document("concentrate", inputs, concentrate_body(result), limits.report(result))
    mean = None if result.direction is None else result.direction.mean
    deliver(
        doc,
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
    deliver(doc, where.as_json, where.output, where.reports)
