"""What is compared of two models: items, clusters of them, weighted ones, by stratum."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gencheck.arguments import require_between
from gencheck.errors import InputError
from gencheck.load.item_scores import ItemScores, ScoreKeys


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
    max_weight: float | None = None
    mean_over: str = "groups"


def as_units(scores: ItemScores, low: float, cap: float | None) -> ItemScores:
    """Losses times their weights, then one mean a cluster; the ids are then the clusters' names.

    Raises
    ------
    InputError
        A weight is above `cap`, or a cluster lies in several strata.
    """
    if cap is not None and scores.weights is not None:
        require_between("--max-weight", cap, 1)
        if scores.weights.max() > cap:
            raise InputError(
                where=f"{scores.where}, --weight-key",
                found=f"the weight {scores.weights.max():g}",
                required=f"at most --max-weight {cap:g}, the largest that there can be",
            )
        scores = replace(scores, losses=low + (scores.losses - low) * scores.weights)
    if scores.clusters is None:
        return scores
    names, first, inverse, sizes = np.unique(
        scores.clusters, return_index=True, return_inverse=True, return_counts=True
    )
    strata = None if scores.strata is None else scores.strata[first]
    if scores.strata is not None and strata is not None:
        mixed = scores.strata != strata[inverse]
        if mixed.any():
            raise InputError(
                where=f"{scores.where}, cluster {str(names[inverse[mixed.argmax()]])!r}",
                found="items of several strata",
                required="every cluster within one stratum",
            )
    means = np.bincount(inverse, scores.losses) / sizes
    return replace(
        scores, losses=means, ids=names, strata=strata, labels=None, clusters=None, weights=None
    )


def refuse_other_columns(
    baseline: ItemScores,
    candidate: ItemScores,
    rows: NDArray[np.intp],
    other: NDArray[np.intp],
) -> None:
    """Check that an item has one label, stratum and weight in both files.

    Raises
    ------
    InputError
        It has two; names the first.
    """
    for column in ("labels", "strata", "weights"):
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
