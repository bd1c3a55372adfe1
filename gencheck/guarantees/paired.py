"""Models compared on the same items: whether a candidate is better than the baseline, by how much."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.arguments import require_between
from gencheck.bounds.paired import (
    Improvement,
    holm,
    improvement_of_counts,
    improvement_of_differences,
    items_to_find,
)
from gencheck.errors import InputError
from gencheck.load.item_scores import ItemScores, ScoreKeys

INDEPENDENT = "the items are independent draws that trained none of the models"
CLUSTERS = (
    "clusters are independent draws that trained none of the models (items within one need not be), and "
    "the improvement is that of a random item of a random cluster"
)
FIXED = "the models, and which of them is the baseline, were fixed before the items were seen"
SAME_ROWS = "the files hold the same items in the same order: nothing names them"
POWER = 0.8


@dataclass(frozen=True)
class PairedRequest:
    """What the user asks. `keys` says how files are read; `margin` is in the loss's own units."""

    baseline: Path
    candidates: tuple[Path, ...]
    keys: ScoreKeys
    delta: float = 0.05
    margin: float = 0.0
    only_common: bool = False
    top: int = 10
    seed: int = 0


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
    baseline = by_cluster(load_model_scores(request.baseline, request.keys))
    pairs = [
        matched(baseline, by_cluster(load_model_scores(path, request.keys)), request.only_common)
        for path in request.candidates
    ]
    compared = [_compared(pair, request) for pair in pairs]
    adjusted = holm([c.improvement.p_value for c in compared])
    better = holm([c.improvement.p_better for c in compared])
    by_id = baseline.ids is not None
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
            *(() if by_id else (SAME_ROWS,)),
            *((in_range,) if request.keys.bounded else ()),
        ),
        matched_by="id" if by_id else "row",
        left_out=max(pair.left_out for pair in pairs),
    )


def _names(compared: list[PairedComparison]) -> list[str]:
    """The candidates' names, by their files where two have the same."""
    names = [found.name for found in compared]
    return names if len(set(names)) == len(names) else [found.where for found in compared]


def by_cluster(scores: ItemScores) -> ItemScores:
    """The mean loss of each cluster in place of the items, where they are clustered."""
    if scores.clusters is None:
        return scores
    names, inverse, sizes = np.unique(scores.clusters, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, scores.losses) / sizes
    return replace(scores, losses=means, ids=names, labels=None, clusters=None)


@dataclass(frozen=True)
class Pair:
    """Two models' losses on the same items, in one order."""

    baseline: ItemScores
    candidate: ItemScores
    names: NDArray[np.str_]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    left_out: int


def matched(baseline: ItemScores, candidate: ItemScores, only_common: bool) -> Pair:
    """The losses of two models on the same items, matched by id, or by row where nothing names them.

    Raises
    ------
    InputError
        An id stands twice, or only on one side (but for `only_common`); the numbers of rows or the
        labels differ; nothing is in common.
    """
    if (baseline.ids is None) != (candidate.ids is None):
        without = candidate if candidate.ids is None else baseline
        raise InputError(
            where=without.where,
            found="no column of ids, while the other file has one",
            required="ids in both, or in neither",
            remedy="--id-key COLUMN names the column.",
        )
    if baseline.ids is None or candidate.ids is None:
        if len(baseline) != len(candidate):
            raise InputError(
                where=candidate.where,
                found=f"{len(candidate)} items beside {len(baseline)} of {baseline.where}",
                required="the same items in the same order, or a column of ids (--id-key)",
            )
        rows = other = np.arange(len(baseline))
        names = rows.astype(str)
    else:
        names, rows, other = _common(baseline, candidate)
        if not only_common:
            _refuse_missing(baseline, candidate, names)
    _refuse_other_labels(baseline, candidate, rows, other)
    return Pair(
        baseline=baseline,
        candidate=candidate,
        names=names,
        first=baseline.losses[rows],
        second=candidate.losses[other],
        left_out=len(baseline) + len(candidate) - 2 * len(names),
    )


def _common(
    baseline: ItemScores, candidate: ItemScores
) -> tuple[NDArray[np.str_], NDArray[np.intp], NDArray[np.intp]]:
    """The ids in both, and where they stand, in the baseline's order."""
    assert baseline.ids is not None
    assert candidate.ids is not None
    _, rows, other = np.intersect1d(
        baseline.ids, candidate.ids, assume_unique=True, return_indices=True
    )
    if not len(rows):
        raise InputError(
            where=candidate.where,
            found=f"no id in common with {baseline.where}",
            required="the same items in both",
        )
    order = np.argsort(rows)
    return baseline.ids[rows[order]], rows[order], other[order]


def _refuse_missing(baseline: ItemScores, candidate: ItemScores, common: NDArray[np.str_]) -> None:
    for scores, other in ((baseline, candidate), (candidate, baseline)):
        assert scores.ids is not None
        if len(scores) > len(common):
            alone = scores.ids[~np.isin(scores.ids, common)]
            raise InputError(
                where=other.where,
                found=f"no item {str(alone[0])[:40]!r}, nor {len(alone) - 1} more of {scores.where}",
                required="the same items in both",
                remedy=(
                    "--only-common compares on those that both have; that is valid if what is missing "
                    "does not depend on how hard an item is."
                ),
            )


def _refuse_other_labels(
    baseline: ItemScores, candidate: ItemScores, rows: NDArray[Any], other: NDArray[Any]
) -> None:
    if baseline.labels is None or candidate.labels is None:
        return
    unequal = baseline.labels[rows] != candidate.labels[other]
    if unequal.any():
        at = int(unequal.argmax())
        raise InputError(
            where=f"{candidate.where}, row {other[at]}",
            found=f"the label {str(candidate.labels[other[at]])[:40]!r}, "
            f"which is {str(baseline.labels[rows[at]])[:40]!r} in {baseline.where}, row {rows[at]}",
            required="the same label for the same item",
            remedy="Without a column of ids (--id-key) rows are matched by their order.",
        )


def _compared(pair: Pair, request: PairedRequest) -> PairedComparison:
    """The comparison of one pair; its p-values are not yet adjusted."""
    keys, many = request.keys, len(request.candidates)
    differences = pair.first - pair.second
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    items, level = len(differences), request.delta / many
    if keys.bounded or keys.cluster_key is not None:
        improvement = improvement_of_differences(
            differences, keys.high - keys.low, delta=level, margin=request.margin, seed=request.seed
        )
        table = {}
    else:
        improvement = improvement_of_counts(wins, losses, items, delta=level, margin=request.margin)
        both = (pair.first == pair.second) & (pair.first == 1)
        table = {"both_wrong": int(both.sum())}
        table["both_right"] = items - wins - losses - table["both_wrong"]
    largest = np.argsort(-np.abs(differences), kind="stable")[: min(request.top, wins + losses)]
    return PairedComparison(
        name=pair.candidate.model,
        where=pair.candidate.where,
        items=items,
        baseline_loss=float(pair.first.mean()),
        candidate_loss=float(pair.second.mean()),
        improvement=improvement,
        p_adjusted=math.nan,
        p_better_adjusted=math.nan,
        table={"wins": wins, "losses": losses, "ties": items - wins - losses, **table},
        items_needed=items_to_find(
            float(differences.mean()), float(differences.var()), level, POWER
        ),
        differing=tuple(
            {
                "id": str(pair.names[i]),
                "baseline": float(pair.first[i]),
                "candidate": float(pair.second[i]),
            }
            for i in largest
        ),
    )
