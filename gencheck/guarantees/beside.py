"""What is said beside every score: two-sided intervals, and whether a split would do better."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gencheck.bounds.evidence import Evidence
from gencheck.bounds.validation import certified_bound, with_items

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def two_sided(evidence: Evidence, log_models: float, delta: float) -> tuple[float, float]:
    """The risk's interval at level 1 − δ for all of |F| models, in units of the loss.

    Both ends are the certified bound at δ/2, the lower one that of one minus the loss.
    """
    level = log_models - math.log(delta / 2)
    plain = replace(evidence, low=0.0, high=1.0, c=None, gamma2=None)
    mirrored = replace(
        plain,
        mean=(plain.m - plain.count) / plain.m if plain.binary else 1 - plain.mean,
        losses=None if plain.losses is None else 1 - plain.losses,
    )
    low = 1 - certified_bound(mirrored, level).risk
    high = certified_bound(plain, level).risk
    return evidence.low + evidence.width * low, evidence.low + evidence.width * high


def intervals(evidence: Evidence, log_models: float, delta: float) -> dict[str, Any]:
    """`fixed`, for the chosen model had it been the only one; `all`, for every one of the |F|."""
    return {
        "fixed": list(two_sided(evidence, 0.0, delta)),
        "all": list(two_sided(evidence, log_models, delta)),
    }


def group_intervals(
    seen: Evidence,
    groups: Sequence[Evidence],
    shares: "NDArray[np.float64]",
    log_models: float,
    delta: float,
) -> dict[str, Any]:
    """The same for the mean over groups with such `shares` in it, both ends by `stratified-kl`.

    `seen` is all of them together, in whose units of the loss the ends are.
    """
    # numbers alone do not wait for numpy
    import numpy as np

    from gencheck.bounds.stratified import stratified_upper_end

    means = np.array([group.mean for group in groups])
    counts = np.array([group.m for group in groups], dtype=float)

    def interval(log_class: float) -> list[float]:
        level = log_class - math.log(delta / 2)
        low = 1 - stratified_upper_end(1 - means, counts, shares, level)
        high = stratified_upper_end(means, counts, shares, level)
        return [seen.low + seen.width * low, seen.low + seen.width * high]

    return {"fixed": interval(0.0), "all": interval(log_models)}


def split_advice(evidence: Evidence, log_models: float, delta: float) -> dict[str, Any] | None:
    """Choosing on one half and confirming on the other, beside choosing on all, at the same error.

    None where there is nothing to choose from, or no half, or where the bound needs the losses
    themselves, which a half would have others of.
    """
    by_mean = evidence.binary or evidence.losses is None
    if log_models <= 0 or evidence.m < 2 or not by_mean:
        return None
    half = with_items(replace(evidence, losses=None), evidence.m // 2)
    return {
        "items": evidence.m,
        "confirm_items": half.m,
        "confirm_risk": certified_bound(half, -math.log(delta)).risk,
        "choose_on_all_risk": certified_bound(evidence, log_models - math.log(delta)).risk,
    }
