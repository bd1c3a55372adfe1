"""What relabelling says of an audit: p-values of its statistics, and one over all of them."""

from dataclasses import dataclass

from gencheck.audit.histogram import Histogram
from gencheck.bounds.magnitude import Magnitude

# The level of the verdict on noise: how often it may speak of a difference where there is none.
LEVEL = 0.05

# How p-values of several statistics are adjusted: `spectral.permutation.step_down_max_t`.
ADJUSTMENT = "westfall-young-max-t"


@dataclass(frozen=True)
class NullComparison:
    """A statistic against its values under relabelling; where it was not evaluated, the reason.

    Attributes
    ----------
    statistic
        What was compared, in words.
    observed
        The statistic on the labels as they are.
    p_value
        (1 + #{null ≥ observed}) / (1 + B), a probability, exact at every size.
    null_median, null_95
        Quantiles of the null values.
    histogram
        All null values, in bins; None where one is past the range of a float.
    adjusted_p_value
        Over all statistics that were asked (`ADJUSTMENT`); None where this one takes no part.
    """

    statistic: str
    observed: Magnitude | None = None
    p_value: float | None = None
    null_median: Magnitude | None = None
    null_95: Magnitude | None = None
    reason: str | None = None
    adjusted_p_value: float | None = None
    histogram: Histogram | None = None


@dataclass(frozen=True)
class PermutationFacts:
    """Statistics under `rounds` relabellings of the pooled items.

    Attributes
    ----------
    statistics
        By name: ``beta1``, ``beta1_normalised``, ``beta2``, ``beta3``, ``v_l2``, ``v_frobenius``,
        ``squared_gap``, ``zero_one_gap``, ``cross_entropy_gap``, ``label_means``,
        ``feature_means``.
    gates_independent
        True where the gates are known to have seen neither set: then a small p-value speaks of the
        distributions; else of what the gates have adapted to as well.
    """

    rounds: int
    gates_independent: bool
    statistics: dict[str, NullComparison]

    @property
    def p_value(self) -> float:
        """The verdict's: the smallest adjusted one. P(p ≤ t) ≤ t where S and T are exchangeable."""
        adjusted = (found.adjusted_p_value for found in self.statistics.values())
        return min(value for value in adjusted if value is not None)

    @property
    def holm_p_value(self) -> float:
        """The same by Holm's adjustment: the smallest p-value times the number of statistics."""
        asked = [each for each in self.statistics.values() if each.adjusted_p_value is not None]
        return min(1.0, len(asked) * min(each.p_value or 1.0 for each in asked))

    def differing(self, level: float = LEVEL) -> tuple[str, ...]:
        """The statistics whose adjusted p-value is at most `level`."""
        return tuple(
            name
            for name, found in self.statistics.items()
            if found.adjusted_p_value is not None and found.adjusted_p_value <= level
        )
