"""How often values fall where, for the eye."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# More bars than this are narrower than a telephone shows.
_MOST = 40


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width that cover [`low`, `high`], the ends included."""

    low: float
    high: float
    counts: tuple[int, ...]


def histogram(values: Sequence[float]) -> Histogram | None:
    """Of 2√N bins, at most 40; one bin where all values are alike; None where one is not finite."""
    if not values or not all(map(math.isfinite, values)):
        return None
    low, high = min(values), max(values)
    # halves, because the difference of two floats can be past their range
    width = high / 2 - low / 2
    bins = min(_MOST, math.ceil(2 * math.sqrt(len(values)))) if width > 0 else 1
    counts = [0] * bins
    for value in values:
        share = (value / 2 - low / 2) / width if width > 0 else 0.0
        counts[min(bins - 1, int(share * bins))] += 1
    return Histogram(low, high, tuple(counts))
