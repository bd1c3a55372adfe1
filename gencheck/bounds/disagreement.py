"""A certificate carried over to another classifier, by how often the two disagree.

Where f errs at (x, y), a surrogate g errs there too or predicts another class than f, so

    R(f) ≤ R(g) + P(f(x) ≠ g(x)),

and the second term needs items without labels only. R(g) is certified at one part of δ, the disagreement
by the binomial distribution at another; a union adds the two.
"""

import math
from dataclasses import dataclass

from gencheck.bounds.binomial import binomial_upper_end

SOURCE = (
    "Bazinet, Zantedeschi & Germain, Bound to Disagree, arXiv 2602.23128, 2026 (its abstract was looked "
    "up, its theorems' numbers were not); Clopper & Pearson 1934"
)


@dataclass(frozen=True)
class DisagreementBound:
    """The bound on a target's 0-1 risk by a surrogate's; never clamped.

    Attributes
    ----------
    surrogate_risk
        A bound on R(g), at its own part of δ.
    disagreement
        The upper end for P(f ≠ g), at the other part of δ.
    """

    surrogate_risk: float
    disagreement: float

    @property
    def risk(self) -> float:
        """The bound on R(f)."""
        return self.surrogate_risk + self.disagreement


def disagreement_bound(
    surrogate_risk: float, disagreements: int, items: int, delta: float
) -> DisagreementBound:
    """R(g) ≤ `surrogate_risk` plus Clopper and Pearson's upper end for the disagreement at level δ.

    Parameters
    ----------
    disagreements, items
        On how many of how many items f and g differ; both were fixed before the items were seen.
    delta
        The part of δ that the disagreement has, without that of `surrogate_risk`.
    """
    upper = binomial_upper_end(disagreements, items, -math.log(delta))
    return DisagreementBound(surrogate_risk, upper)
