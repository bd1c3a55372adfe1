"""The items of two models' files matched with one another."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.guarantees.paired_units import PairedRequest, as_units
from gencheck.load.item_scores import ItemScores, Names


@dataclass(frozen=True)
class Pair:
    """Two models on the same units, in one order, with their names."""

    baseline: ItemScores
    candidate: ItemScores
    names: Names
    left_out: int


def pair_of(baseline: ItemScores, candidate: ItemScores, request: PairedRequest) -> Pair:
    """Two models' losses on the same units: items are matched first, then brought together in clusters.

    Where ids do not tell the items of a cluster apart (several samples of one prompt), clusters are
    matched by their names.

    Raises
    ------
    InputError
        The files do not hold the same items, or not with the same columns beside them; the weights or the
        clusters cannot be used.
    """

    def units(scores: ItemScores) -> ItemScores:
        return as_units(scores, request.keys.low, request.max_weight)

    if baseline.clusters is None or not (
        _has_distinct_ids(baseline) and _has_distinct_ids(candidate)
    ):
        return _matched(units(baseline), units(candidate), request.only_common)
    items = _matched(baseline, candidate, request.only_common)
    clusters = _matched(units(items.baseline), units(items.candidate), request.only_common)
    return replace(clusters, left_out=items.left_out)


def _has_distinct_ids(scores: ItemScores) -> bool:
    return scores.ids is not None and len(np.unique(scores.ids)) == len(scores)


def _matched(baseline: ItemScores, candidate: ItemScores, only_common: bool) -> Pair:
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
    _refuse_other_columns(baseline, candidate, rows, other)
    return Pair(
        baseline=baseline.at(rows),
        candidate=candidate.at(other),
        names=names,
        left_out=len(baseline) + len(candidate) - 2 * len(names),
    )


def _common(
    baseline: ItemScores, candidate: ItemScores
) -> tuple[Names, NDArray[np.intp], NDArray[np.intp]]:
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


def _refuse_missing(baseline: ItemScores, candidate: ItemScores, common: Names) -> None:
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


def _refuse_other_columns(
    baseline: ItemScores,
    candidate: ItemScores,
    rows: NDArray[np.intp],
    other: NDArray[np.intp],
) -> None:
    """Check that an item has one label, cluster, stratum and weight in both files.

    Raises
    ------
    InputError
        It has two; names the first.
    """
    for column in ("labels", "clusters", "strata", "weights"):
        first, second = getattr(baseline, column), getattr(candidate, column)
        if first is None or second is None:
            continue
        unequal = first[rows] != second[other]
        if unequal.any():
            at, name = int(unequal.argmax()), column.removesuffix("s").replace("strata", "stratum")
            raise InputError(
                where=f"{candidate.where}, row {other[at]}",
                found=f"the {name} {str(second[other[at]])[:40]!r}, "
                f"which is {str(first[rows[at]])[:40]!r} in {baseline.where}, row {rows[at]}",
                required=f"the same {name} for the same item",
                remedy="Without a column of ids (--id-key) rows are matched by their order.",
            )
