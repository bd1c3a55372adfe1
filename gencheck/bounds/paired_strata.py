"""The improvement as a mean over strata, each with items of its own: Δ = Σ w_g E_g D.

D = loss(baseline) − loss(candidate) is max(D, 0) − max(−D, 0), and each of the two is a loss in [0, 1]
(in units of the losses' range) with a small mean where the models seldom differ. So Δ = M₊ − M₋, of which
each is a mean over groups, bounded by `bounds.stratified` at half of the level (Bonferroni). Small means
have short bounds, which those of (1 + D)/2, whose mean is about ½, have not.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.paired import Improvement
from gencheck.bounds.stratified import Vector, stratified_log_p, stratified_upper_end


class Gains:
    """The two parts of the differences, as means by stratum, in units of the losses' range.

    Parameters
    ----------
    parts
        By stratum: the differences of its units, in [−width, width].
    shares
        Shape (g,): w_g, of sum 1.
    """

    def __init__(
        self, parts: Sequence[NDArray[np.float64]], shares: Vector, width: float = 1.0
    ) -> None:
        self.up = np.array([np.maximum(part, 0).mean() for part in parts]) / width
        self.down = np.array([np.maximum(-part, 0).mean() for part in parts]) / width
        self.counts = np.array([len(part) for part in parts], dtype=float)
        self.shares = shares

    def scaled(self, times: float) -> "Gains":
        """The same means from `times` as many units."""
        other = Gains.__new__(Gains)
        other.up, other.down, other.shares = self.up, self.down, self.shares
        other.counts = self.counts * times
        return other

    def mirrored(self) -> "Gains":
        """The same with baseline and candidate exchanged."""
        other = self.scaled(1)
        other.up, other.down = self.down, self.up
        return other

    @property
    def value(self) -> float:
        """The improvement on the units."""
        return float(self.shares @ (self.up - self.down))

    def least(self, level: float) -> float:
        """What Δ is at least, but for a probability of e^−level."""
        of_one = level + math.log(2)
        up = 1 - stratified_upper_end(1 - self.up, self.counts, self.shares, of_one)
        return up - stratified_upper_end(self.down, self.counts, self.shares, of_one)

    def p_value(self, margin: float) -> float:
        """Of Δ ≤ margin: 2 min_c max{P(M₊'s mean | M₊ ≤ c + margin), P(M₋'s mean | M₋ ≥ c)}.

        It is at most α exactly where `least` of ln(1/α) is above the margin. Any c would be valid; the
        smallest is sought among 2¹⁶.
        """
        low, high = self._between(margin)
        if low >= high:
            return 1.0
        for _ in range(16):
            middle = (low + high) / 2
            up, down = self._logs(middle, margin)
            low, high = (middle, high) if up < down else (low, middle)
        least = min(max(self._logs(end, margin)) for end in (low, high))
        return min(1.0, 2 * math.exp(least))

    def rejects(self, margin: float, level: float) -> bool:
        """True where a c shows that the p-value of Δ ≤ margin is at most `level`."""
        low, high = self._between(margin)
        threshold = math.log(level / 2)
        for _ in range(16 if low < high else 0):
            middle = (low + high) / 2
            up, down = self._logs(middle, margin)
            if max(up, down) <= threshold:
                return True
            if min(up, down) > threshold:
                # a smaller c does not help the second, nor a larger one the first
                return False
            low, high = (middle, high) if down > threshold else (low, middle)
        return False

    def _between(self, margin: float) -> tuple[float, float]:
        """Where c may lie: M₋ is at least what was seen of it, M₊ at most."""
        return max(float(self.shares @ self.down), -margin), min(
            float(self.shares @ self.up) - margin, 1.0
        )

    def _logs(self, c: float, margin: float) -> tuple[float, float]:
        """The two logarithms: the first grows with c, the second falls."""
        up, down = float(self.shares @ self.up), float(self.shares @ self.down)
        return (
            stratified_log_p(1 - up, 1 - (c + margin), self.counts, self.shares),
            stratified_log_p(down, c, self.counts, self.shares),
        )


def improvement_of_strata(
    gains: Gains, width: float, *, delta: float, margin: float = 0.0
) -> Improvement:
    """Δ as a mean over strata: both sides of its interval at δ/2, `margin` in units of the loss."""
    level, other = math.log(2 / delta), gains.mirrored()
    better, worse = gains.p_value(0.0), other.p_value(0.0)
    return Improvement(
        value=width * gains.value,
        lower=width * gains.least(level),
        upper=-width * other.least(level),
        p_value=min(1.0, 2 * min(better, worse)),
        p_better=better if margin == 0 else gains.p_value(margin / width),
        test="stratified-kl on wins and losses",
    )
