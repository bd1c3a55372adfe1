"""Models compared on the same items: whether a candidate is better than the baseline, by how much."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gencheck.arguments import require_between
from gencheck.bounds.paired import Improvement, holm, items_to_find
from gencheck.errors import InputError
from gencheck.guarantees.paired_test import compared_units, is_counted
from gencheck.guarantees.paired_units import PairedRequest
from gencheck.guarantees.pairing import Pair, pair_of

INDEPENDENT = "the items are independent draws that trained none of the models"
CLUSTERS = (
    "clusters are independent draws that trained none of the models (items within one need not be), and "
    "the improvement is that of a random item of a random cluster"
)
WEIGHTS = (
    "an item's weight is its probability where the improvement is meant over that in the sample; no "
    "weight that there can be is above {cap:g}, a limit fixed before the items were seen"
)
STRATA = (
    "items of different strata are independent, how many each has was fixed beforehand, and the "
    "improvement is the mean over strata, {shares}"
)
FIXED = "the models, and which of them is the baseline, were fixed before the items were seen"
SAME_ROWS = "the files hold the same items in the same order: nothing names them"
POWER = 0.8


@dataclass(frozen=True)
class PairedComparison:
    """One candidate beside the baseline.

    Attributes
    ----------
    improvement
        Of E[loss(baseline) − loss(candidate)], its interval at δ over the number of candidates.
    p_adjusted, p_better_adjusted
        Holm's, over all candidates.
    table
        `wins`, `losses`, `ties` of the candidate; for 0-1 losses `both_right` and `both_wrong`.
    items_needed
        About how many items would find a difference of this size in 80 % of runs; None for none.
    to_pass, to_decide
        About how many units whose differences are as these would make it better by more than the margin,
        and different from the baseline, at its share of δ; None for no number of them.
    strata
        By stratum: its name, units, wins, losses and improvement; empty without strata.
    differing
        The items that differ most, at most `top`: `id`, `baseline`, `candidate` (losses).
    """

    name: str
    where: str
    items: int
    baseline_loss: float
    candidate_loss: float
    improvement: Improvement
    p_adjusted: float
    p_better_adjusted: float
    table: dict[str, int]
    items_needed: int | None
    to_pass: int | None
    to_decide: int | None
    strata: tuple[dict[str, Any], ...]
    differing: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class PairedResult:
    """All comparisons, what they assume, and how the items were matched."""

    baseline: str
    comparisons: tuple[PairedComparison, ...]
    assumes: tuple[str, ...]
    matched_by: str
    left_out: int


def paired_result(request: PairedRequest) -> PairedResult:
    """Every candidate compared with the baseline on the items that both have.

    Raises
    ------
    InputError
        A file cannot be used, or the files do not hold the same items.
    """
    from gencheck.load.evaluation import load_model_scores

    width = request.keys.high - request.keys.low
    require_between("--delta", request.delta, 0, 1, open_low=True, open_high=True)
    require_between("--margin", request.margin, -width, width, open_low=True, open_high=True)
    if (request.keys.weight_key is None) != (request.max_weight is None):
        raise InputError(
            where="--weight-key and --max-weight",
            found="one",
            required="both: the column, and the largest weight that there can be",
        )

    baseline = load_model_scores(request.baseline, request.keys)
    pairs = [
        pair_of(baseline, load_model_scores(path, request.keys), request)
        for path in request.candidates
    ]
    compared = [_compared(pair, request) for pair in pairs]
    adjusted = holm([c.improvement.p_value for c in compared])
    better = holm([c.improvement.p_better for c in compared])
    # clusters have names
    by_id = baseline.ids is not None or baseline.clusters is not None
    in_range = (
        f"every loss lies in [{request.keys.low:g}, {request.keys.high:g}], a range fixed before the "
        "items were seen"
    )
    return PairedResult(
        baseline=baseline.model,
        comparisons=tuple(
            replace(c, p_adjusted=p, p_better_adjusted=q, name=name)
            for c, p, q, name in zip(compared, adjusted, better, _names(compared), strict=True)
        ),
        assumes=(
            INDEPENDENT if request.keys.cluster_key is None else CLUSTERS,
            FIXED,
            *_design(request),
            *(() if by_id else (SAME_ROWS,)),
            *((in_range,) if request.keys.bounded else ()),
        ),
        matched_by="id" if by_id else "row",
        left_out=max(pair.left_out for pair in pairs),
    )


def _design(request: PairedRequest) -> list[str]:
    """What is assumed of weights and strata."""
    found = []
    if request.max_weight is not None:
        found.append(WEIGHTS.format(cap=request.max_weight))
    if request.keys.stratify_key is not None:
        equal = request.mean_over == "groups"
        shares = "which count the same" if equal else "by how many items they have here"
        found.append(STRATA.format(shares=shares))
    return found


def _names(compared: list[PairedComparison]) -> list[str]:
    """The candidates' names, by their files where two have the same."""
    names = [found.name for found in compared]
    return names if len(set(names)) == len(names) else [found.where for found in compared]


def _compared(pair: Pair, request: PairedRequest) -> PairedComparison:
    """The comparison of one pair; its p-values are not yet adjusted."""
    first, second = pair.baseline.losses, pair.candidate.losses
    many, differences = len(request.candidates), first - second
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    items, level = len(differences), request.delta / many
    found = compared_units(differences, pair.baseline.strata, request, level)
    table = {"wins": wins, "losses": losses, "ties": items - wins - losses}
    if is_counted(request):
        both = (first == second) & (first == 1)
        table["both_wrong"] = int(both.sum())
        table["both_right"] = table["ties"] - table["both_wrong"]
    largest = np.argsort(-np.abs(differences), kind="stable")[: min(request.top, wins + losses)]
    return PairedComparison(
        name=pair.candidate.model,
        where=pair.candidate.where,
        items=items,
        baseline_loss=float(found.weights @ first),
        candidate_loss=float(found.weights @ second),
        improvement=found.improvement,
        p_adjusted=math.nan,
        p_better_adjusted=math.nan,
        table=table,
        items_needed=items_to_find(found.improvement.value, found.variance, level, POWER),
        to_pass=found.to_pass,
        to_decide=found.to_decide,
        strata=found.strata,
        differing=tuple(
            {
                "id": str(pair.names[i]),
                "baseline": float(first[i]),
                "candidate": float(second[i]),
            }
            for i in largest
        ),
    )
