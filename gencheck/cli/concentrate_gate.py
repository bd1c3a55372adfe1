"""The limits that `concentrate` can be asked to hold."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gencheck.arguments import require_between
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.audit.result import ConcentrationResult
    from gencheck.report.limits import LimitReport


@dataclass(frozen=True)
class Limits:
    """What the figures of an audit are asked to hold; None for each that is not."""

    max_beta1: float | None
    max_beta2: float | None
    max_bound: float | None
    max_beta1_ratio: float | None
    min_p_value: float | None

    def require(self, rounds: int) -> None:
        """Before the work: do nothing where so many relabellings can decide all that is asked.

        Raises
        ------
        InputError
            A limit is no number, or could not fail, or what it is about is not measured.
        """
        from gencheck.report.limits import maximum_check

        for name in ("max_beta1", "max_beta2", "max_bound", "max_beta1_ratio"):
            maximum_check(name.replace("_", "-"), getattr(self, name), None)
        if self.min_p_value is not None:
            _require_p_values(self.min_p_value, rounds)
        if self.max_beta1_ratio is not None and rounds == 0:
            raise InputError(
                where="--max-beta1-ratio",
                found="--permutations 0",
                required="relabellings, whose median is the unit",
                remedy="Pass --permutations 200.",
            )

    def report(self, result: "ConcentrationResult") -> "LimitReport | None":
        """The outcome of all limits that were asked for; None where none was.

        An upper end past floats, or none at all, fails its limit; the p-value over all statistics
        must reach `min_p_value`.
        """
        from gencheck.report.limits import maximum_check, minimum_check, report_of

        values = (
            ("max-beta1", self.max_beta1, float(result.beta1.upper)),
            ("max-beta2", self.max_beta2, result.beta2.upper),
            ("max-bound", self.max_bound, float(result.bound.value)),
            ("max-beta1-ratio", self.max_beta1_ratio, _ratio(result)),
        )
        checks = [
            check
            for name, limit, value in values
            for check in maximum_check(name, limit, value if math.isfinite(value) else None)
        ]
        if result.permutation is not None:
            checks += minimum_check("min-p-value", self.min_p_value, result.permutation.p_value)
        return report_of(checks)


def _require_p_values(limit: float, rounds: int) -> None:
    """A gate on p-values needs so many relabellings that it can fail."""
    require_between("--min-p-value", limit, 0, 1, open_low=True)
    smallest = 1 / (1 + rounds)
    if limit <= smallest:
        raise InputError(
            where="--min-p-value",
            found=f"{limit:g} with --permutations {rounds}, whose smallest p-value "
            f"is {smallest:.4g}",
            required="a limit above that",
            remedy=f"Pass --permutations {max(200, math.ceil(2 / limit))}.",
        )


def _ratio(result: "ConcentrationResult") -> float:
    """β1 as a multiple of its median under relabelling; infinite where there is none to divide by."""
    if result.permutation is None:
        return math.inf
    found = result.permutation.statistics["beta1"]
    if found.observed is None or found.null_median is None or float(found.observed) <= 0:
        return 0.0
    if found.null_median.mantissa <= 0:
        return math.inf
    inverse = Magnitude.of(1 / found.null_median.mantissa, -found.null_median.exponent)
    return float(found.observed * inverse)
