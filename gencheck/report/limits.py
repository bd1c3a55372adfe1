"""Limits that a user asked to hold, and whether they do."""

import math
from dataclasses import dataclass, replace

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
    """The outcome of all limits that the user asked for; passed where every check passed."""

    checks: tuple[LimitCheck, ...]

    @property
    def passed(self) -> bool:
        """True where every check passed."""
        return all(check.passed for check in self.checks)


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
