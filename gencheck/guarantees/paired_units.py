"""What is compared of two models: items, clusters of them, weighted ones, by stratum."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gencheck.guarantees.units import cluster_means, require_nested, require_weights
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
        A weight is above `cap`, the weights cannot be what they are assumed to be, or a cluster lies in
        several strata.
    """
    if cap is not None and scores.weights is not None:
        require_weights(scores, cap)
        scores = replace(scores, losses=low + (scores.losses - low) * scores.weights)
    if scores.clusters is None:
        return scores
    require_nested(scores)
    names, first = np.unique(scores.clusters, return_index=True)
    return replace(
        scores,
        losses=cluster_means(scores.losses, scores.clusters)[0],
        ids=names,
        strata=None if scores.strata is None else scores.strata[first],
        labels=None,
        clusters=None,
        weights=None,
    )
