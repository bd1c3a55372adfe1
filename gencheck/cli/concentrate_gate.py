"""The limits that `concentrate` can be asked to hold."""

import math
from typing import TYPE_CHECKING

from gencheck.arguments import require_between
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.audit.result import ConcentrationResult
    from gencheck.report.limits import LimitReport


def require_p_values(limit: float | None, rounds: int) -> None:
    """A gate on p-values needs so many relabellings that it can fail.

    Raises
    ------
    InputError
        It could not.
    """
    if limit is None:
        return
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


def require_relabelling(limit: float | None, rounds: int) -> None:
    """A gate on β1's multiple of its noise needs the noise.

    Raises
    ------
    InputError
        Nothing is relabelled.
    """
    if limit is not None and rounds == 0:
        raise InputError(
            where="--max-beta1-ratio",
            found="--permutations 0",
            required="relabellings, whose median is the unit",
            remedy="Pass --permutations 200.",
        )


def concentrate_gate(
    result: "ConcentrationResult", limits: dict[str, float | None], min_p_value: float | None
) -> "LimitReport | None":
    """The outcome of all limits that were asked for; None where none was.

    An upper end past floats, or none at all, fails its limit; the p-value over all statistics
    must reach `min_p_value`.
    """
    from gencheck.report.limits import LimitReport, maximum_check, minimum_check

    values = {
        "max-beta1": float(result.beta1.upper),
        "max-beta2": result.beta2.upper,
        "max-bound": float(result.bound.value),
        "max-beta1-ratio": _ratio(result),
    }
    checks = [
        check
        for name, value in values.items()
        for check in maximum_check(name, limits[name], value if math.isfinite(value) else None)
    ]
    if result.permutation is not None:
        checks += minimum_check("min-p-value", min_p_value, result.permutation.p_value)
    return LimitReport(tuple(checks)) if checks else None


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
