"""The independent units of a file of scores: clusters of its items, and items that are weighted."""

import math

import numpy as np
from numpy.typing import NDArray

from gencheck.arguments import require_between
from gencheck.bounds.binomial import bernoulli_divergence
from gencheck.errors import InputError
from gencheck.load.item_scores import ItemScores, Names

# How seldom weights that are what they are assumed to be are refused.
_WRONGLY_REFUSED = 1e-6


def cluster_means(
    values: NDArray[np.float64], clusters: Names
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The mean of each cluster, in the order of their names, and how many items each has.

    The same to the last bit in whatever order the items stand.
    """
    _, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.lexsort((values, inverse))
    return np.bincount(inverse[order], values[order]) / sizes, sizes


def require_nested(scores: ItemScores) -> None:
    """Do nothing where every cluster lies within one stratum, or there are no strata.

    Raises
    ------
    InputError
        One does not: its parts depend on one another, which bounds over strata take for independent.
    """
    if scores.clusters is None or scores.strata is None:
        return
    names, first, inverse = np.unique(scores.clusters, return_index=True, return_inverse=True)
    mixed = scores.strata != scores.strata[first][inverse]
    if mixed.any():
        raise InputError(
            where=f"{scores.where}, cluster {str(names[inverse[mixed.argmax()]])!r}",
            found="items of several strata",
            required="every cluster within one stratum",
        )


def require_weights(scores: ItemScores, cap: float) -> None:
    """Do nothing where the weights can be what they are assumed to be: at most `cap`, with E[w] = 1.

    A weight is an item's probability where the risk is meant over that in the sample, so its mean is 1;
    weights that add up to 1, or to anything else, would scale the risk. So in each stratum, whose mean
    loss is a risk of its own. By Hoeffding's Theorem 1 (1963) the mean w̄ of m units has
    P(|w̄ − 1| so large) ≤ 2 exp(−m kl(w̄/cap ‖ 1/cap)); refused below 10⁻⁶.

    Raises
    ------
    InputError
        They cannot be.
    """
    require_between("--max-weight", cap, 1)
    weights = scores.weights
    assert weights is not None
    where = f"{scores.where}, --weight-key"
    if weights.min() < 0:
        raise InputError(where=where, found=f"the weight {weights.min():g}", required="0 or more")
    if weights.max() > cap:
        raise InputError(
            where=where,
            found=f"the weight {weights.max():g}",
            required=f"at most --max-weight {cap:g}, the largest that there can be",
        )
    groups = np.zeros(len(weights), dtype=np.intp)
    if scores.strata is not None:
        groups = np.unique(scores.strata, return_inverse=True)[1]
    count = int(groups.max()) + 1
    for group in range(count):
        rows = groups == group
        units = weights[rows]
        if scores.clusters is not None:
            units, _ = cluster_means(units, scores.clusters[rows])
        mean = float(units.mean())
        evidence = len(units) * bernoulli_divergence(mean / cap, 1 / cap)
        if abs(mean - 1) > 1e-9 and evidence > math.log(2 * count / _WRONGLY_REFUSED):
            raise InputError(
                where=where,
                found=f"weights of mean {mean:.6g} over {len(units):,} units",
                required="a mean of about 1 in every stratum: an item's probability where the risk is "
                "meant over that in the sample",
                remedy=f"Weights that are known but for a factor are multiplied by {1 / mean:.6g}."
                if mean
                else "",
            )
