"""The test of one pair of models, by what its units are, and how many units would change its answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.paired import (
    Improvement,
    improvement_of_counts,
    improvement_of_differences,
    mcnemar_p_value,
    p_better,
)
from gencheck.bounds.paired_strata import Gains, improvement_of_strata

if TYPE_CHECKING:
    from gencheck.guarantees.paired_units import PairedRequest

Differences = NDArray[np.float64]

# Beyond so many units none are sought.
_MOST = 10**12


@dataclass(frozen=True)
class ComparedUnits:
    """The improvement, and what it would take.

    Attributes
    ----------
    weights
        Shape (n,): each unit's share of the mean.
    variance
        Of the mean, times n.
    to_pass, to_decide
        About how many units whose differences are as these would make the one-sided and the two-sided
        p-value small enough; None where no number would, or where these do.
    strata
        By stratum, where there are several.
    """

    improvement: Improvement
    weights: Differences
    variance: float
    to_pass: int | None
    to_decide: int | None
    strata: tuple[dict[str, Any], ...] = ()


def is_counted(request: "PairedRequest") -> bool:
    """True where units are items and differences −1, 0 or 1."""
    keys = request.keys
    return not keys.bounded and keys.cluster_key is None and keys.weight_key is None


def width_of(request: "PairedRequest") -> float:
    """The largest difference that there can be."""
    return (request.keys.high - request.keys.low) * (request.max_weight or 1.0)


def compared_units(
    differences: Differences,
    strata: NDArray[np.str_] | None,
    request: "PairedRequest",
    level: float,
) -> ComparedUnits:
    """The comparison by the units' differences at `level`, over strata where there are several."""
    names = [] if strata is None else np.unique(strata).tolist()
    if strata is None or len(names) < 2:
        return _of_one(differences, request, level)
    return _of_strata({name: differences[strata == name] for name in names}, strata, request, level)


def _of_one(differences: Differences, request: "PairedRequest", level: float) -> ComparedUnits:
    items, width, margin = len(differences), width_of(request), request.margin
    mean, variance = float(differences.mean()), float(differences.var())
    weights = np.full(items, 1 / items)
    if not is_counted(request):
        found = improvement_of_differences(
            differences, width, delta=level, margin=margin, seed=request.seed
        )

        def fewest(gain: float, at: float) -> int | None:
            # bets of √(2L/(m σ²)) grow to e^L where m (gain)² = 2 L σ²
            return math.ceil(2 * -math.log(at) * variance / gain**2) if gain > 0 else None

        ways = fewest(mean - margin, level), fewest(abs(mean), level / 2)
        return ComparedUnits(found, weights, variance, *_open(found, level, *ways))
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    found = improvement_of_counts(wins, losses, items, delta=level, margin=margin)

    def passes(times: float) -> bool:
        more = math.floor(wins * times), math.ceil(losses * times), round(items * times)
        return p_better(*more, delta=level, margin=margin) <= level

    def decides(times: float) -> bool:
        few, many = sorted((wins, losses))
        return mcnemar_p_value(math.floor(many * times), math.ceil(few * times)) <= level

    ways = (
        _fewest(items, passes) if mean > margin and found.p_better > level else None,
        _fewest(items, decides) if mean and found.p_value > level else None,
    )
    return ComparedUnits(found, weights, variance, *ways)


def _of_strata(
    parts: dict[str, Differences],
    strata: NDArray[np.str_],
    request: "PairedRequest",
    level: float,
) -> ComparedUnits:
    counts = np.array([len(part) for part in parts.values()], dtype=float)
    shares = counts / counts.sum()
    if request.mean_over == "groups":
        shares = np.full(len(parts), 1 / len(parts))
    width, margin, items = width_of(request), request.margin, int(counts.sum())
    gains = Gains(list(parts.values()), shares, width)
    found = improvement_of_strata(gains, width, delta=level, margin=margin)
    toward = gains if gains.value > 0 else gains.mirrored()
    ways = (
        _fewest(items, lambda times: gains.scaled(times).rejects(margin / width, level))
        if found.value > margin and found.p_better > level
        else None,
        _fewest(items, lambda times: toward.scaled(times).rejects(0.0, level / 2))
        if found.value and found.p_value > level
        else None,
    )
    by_name = dict(zip(parts, shares / counts, strict=True))
    spread = np.array([part.var() for part in parts.values()])
    rows = tuple(
        _row(name, _of_one(part, replace(request, margin=0.0), level / len(parts)), part)
        for name, part in parts.items()
    )
    return ComparedUnits(
        found,
        weights=np.array([by_name[name] for name in strata.tolist()]),
        variance=float(items * (shares**2 * spread / counts).sum()),
        to_pass=ways[0],
        to_decide=ways[1],
        strata=rows,
    )


def _row(name: str, found: ComparedUnits, part: Differences) -> dict[str, Any]:
    improvement = found.improvement
    return {
        "name": name,
        "units": len(part),
        "wins": int((part > 0).sum()),
        "losses": int((part < 0).sum()),
        "improvement": {
            "value": improvement.value,
            "lower": improvement.lower,
            "upper": improvement.upper,
        },
    }


def _open(
    found: Improvement, level: float, to_pass: int | None, to_decide: int | None
) -> tuple[int | None, int | None]:
    """The numbers of units where the answer is open, None where it is not."""
    return (
        to_pass if found.p_better > level else None,
        to_decide if found.p_value > level else None,
    )


def _fewest(items: int, holds: Callable[[float], bool]) -> int | None:
    """About the fewest units, in the proportions of these, for which it holds; within 1 %."""
    low, high = items, 2 * items
    while not holds(high / items):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle / items) else (middle, high)
    return high
