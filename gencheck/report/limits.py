"""Limits that a user asked to hold, and whether they do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gencheck.errors import InputError


@dataclass(frozen=True)
class LimitCheck:
    """One limit that the user asked to hold: passed where `value` is on the right side of `limit`."""

    name: str
    limit: float
    value: float | None
    passed: bool


@dataclass(frozen=True)
class LimitReport:
    """The outcome of all limits that the user asked for; passed where every check passed.

    Attributes
    ----------
    would_pass
        Of a gate that failed, the items that would do, where that can be told: `m_val` (or `items`, about
        so many), or None and a `reason`; and `counted_by`, the bound that was solved.
    """

    checks: tuple[LimitCheck, ...]
    would_pass: dict[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """True where every check passed."""
        return all(check.passed for check in self.checks)


def report_of(checks: Sequence[LimitCheck]) -> LimitReport | None:
    """The outcome of some checks; None where no limit was asked for."""
    return LimitReport(tuple(checks)) if checks else None


def maximum_check(name: str, limit: float | None, value: float | None) -> list[LimitCheck]:
    """One check value ≤ limit, or none where no limit was asked for; an unknown value fails it.

    Raises
    ------
    InputError
        The limit is NaN or infinite.
    """
    if limit is None:
        return []
    if not math.isfinite(limit):
        raise InputError(where=f"--{name}", found=f"{limit:g}", required="a finite number")
    return [LimitCheck(name, limit, value, value is not None and value <= limit)]


def minimum_check(name: str, limit: float | None, value: float | None) -> list[LimitCheck]:
    """One check value ≥ limit, or none where no limit was asked for; an unknown value fails it.

    Raises
    ------
    InputError
        The limit is NaN or infinite.
    """
    return [
        replace(check, passed=value is not None and value >= check.limit)
        for check in maximum_check(name, limit, value)
    ]


def failure_line(gate: dict[str, Any]) -> str:
    """The failed checks of a document's gate in one line, and what would pass where that is known."""
    failed = "; ".join(
        f"{check['name']} {check['limit']:.10g}, value "
        + ("not available" if check["value"] is None else f"{check['value']:.10g}")
        for check in gate["checks"]
        if not check["passed"]
    )
    advice = would_pass_sentence(gate)
    return f"gate failed: {failed}" + (f". {advice}" if advice else "")


def would_pass_sentence(gate: dict[str, Any]) -> str:
    """How many items would pass a gate that failed, in a sentence; empty where that is not known."""
    answer = gate.get("would_pass")
    if answer is None:
        return ""
    if "items" in answer and answer["items"] is not None:
        return f"What would pass: about {answer['items']:,} items that differ as these do."
    if answer.get("m_val", answer.get("items")) is None:
        return f"What would pass: {answer['reason']}."
    fewer = " (or fewer, by their variance)" if answer["counted_by"] == "hoeffding-bentkus" else ""
    if "fresh" in answer:
        return (
            f"What would pass: {answer['m_val']:,} new items of the same mean loss, on which nothing was "
            "chosen."
        )
    return f"What would pass: {answer['m_val']:,} items{fewer} of the same mean loss."
