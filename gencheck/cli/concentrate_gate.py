"""The limits that `concentrate` can be asked to hold."""

import math
from typing import TYPE_CHECKING

from gencheck.arguments import require_between
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
    if limit <= 1 / (1 + rounds):
        raise InputError(
            where="--min-p-value",
            found=f"{limit:g} with --permutations {rounds}, whose smallest p-value is "
            f"{1 / (1 + rounds):.4g}",
            required="a limit above that",
            remedy=f"Pass --permutations {max(200, math.ceil(2 / limit))}.",
        )


def concentrate_gate(
    result: "ConcentrationResult", limits: dict[str, float | None], min_p_value: float | None
) -> "LimitReport | None":
    """The outcome of all limits that were asked for; None where none was.

    An upper end past floats, or none at all, fails its limit; every p-value that there is must
    reach `min_p_value`.
    """
    from gencheck.report.limits import LimitReport, maximum_check, minimum_check

    values = {
        "max-beta1": float(result.beta1.upper),
        "max-beta2": result.beta2.upper,
        "max-bound": float(result.bound.value),
    }
    checks = [
        check
        for name, value in values.items()
        for check in maximum_check(name, limits[name], value if math.isfinite(value) else None)
    ]
    if result.permutation is not None:
        for name in ("beta1", "beta2", "beta3", "v_l2"):
            p_value = getattr(result.permutation, name).p_value
            if p_value is not None:
                checks += minimum_check(
                    f"min-p-value-{name.replace('_', '-')}", min_p_value, p_value
                )
    return LimitReport(tuple(checks)) if checks else None
