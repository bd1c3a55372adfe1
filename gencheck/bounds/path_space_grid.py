"""The grids of PAC-Bayes in path space, and how they share δ: all fixed before any item is seen."""

import math
from dataclasses import dataclass

# s in units of the margin over the feature norm, both of the standard phase: 2^−j. The small ones serve
# means that hardly moved.
SCALE_POWERS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
# c: how many deviations of the prior the mean classifier's margin is held to.
MARGIN_FACTORS = (1.0, 2.0, 3.0)
# β, each with the same share: near √(2 nats/(m R̂)) the bound is within 2 % of its least slack.
RATES = tuple(0.05 * 1.5**step for step in range(12))


@dataclass(frozen=True)
class Shares:
    """How δ is shared by the grid of the prior's scales, fixed before any item was seen.

    Half goes to the smallest scale, at which a drawn network is all but the standard phase's, and for
    the mean classifier to the largest c with it: where the gates are good that is the posterior that
    the bound likes best. The other half is shared equally. Each has its part for every rate β.

    Attributes
    ----------
    scales
        j of every scale s = 2^−j on the grid, two at least.
    """

    scales: tuple[int, ...] = SCALE_POWERS

    def price(self, power: int, c: float | None) -> float:
        """Ln(1/share) in nats, that of the rate among it; c is None for the drawn classifier."""
        factors = (None,) if c is None else MARGIN_FACTORS
        favoured = power == max(self.scales) and c == factors[-1]
        sharing = 1 if favoured else len(self.scales) * len(factors) - 1
        return math.log(2 * sharing * len(RATES))
