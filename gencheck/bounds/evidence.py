"""What was seen on the validation items: all that a validation bound is computed from."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEPENDENT = "the validation items are independent draws, not used to train the models"
FIXED_CLASS = "the |F| models were fixed before the validation items were seen"

# A product m·E this close to a whole number is that number: 0.07 · 100 is a count of 7. Relative
# to the product, and never so wide that a real fraction of an error would be lost.
_COUNT_FUZZ = 1e-9
WIDEST_FUZZ = 1e-3


def count_of(m: int, rate: float) -> int:
    """⌈m · rate⌉, with a product that is whole up to rounding taken as that whole number."""
    product = m * rate
    nearest = round(product)
    fuzz = min(_COUNT_FUZZ * max(1.0, product), WIDEST_FUZZ)
    # beyond 10¹² items the product's own rounding is the wider of the two
    if abs(product - nearest) <= max(fuzz, 2 * math.ulp(product)):
        return min(m, nearest)
    return min(m, math.ceil(product))


@dataclass(frozen=True)
class Evidence:
    """What was seen on the validation items.

    Attributes
    ----------
    m
        The number of items.
    mean
        The empirical risk R̂, scaled to [0, 1].
    binary
        True for 0-1 loss: m · mean is then a whole number.
    losses
        One loss an item scaled to [0, 1], or None where only the mean is known.
    low, high
        The range of the loss in its own units.
    c, gamma2
        C and γ² of the theorem, in the loss's own units, where the caller knows better than the
        range; None for the worst case.
    seed
        Shuffles the losses for the betting bound.
    class_assumption
        Why ln|F| is what it is.
    stakes_level
        The L for which the bets of the betting bound are tuned; None for the level asked about.
    assumes
        What else the caller assumes, one statement each.
    drawn
        How the units of which there are m were drawn.
    worst
        The largest loss that one item can have, where `high` is a multiple of it (weighted items).

    Raises
    ------
    ValueError
        A number is not one that can be, or the losses are not m of them.
    """

    m: int
    mean: float
    binary: bool
    losses: "NDArray[np.float64] | None" = None
    low: float = 0.0
    high: float = 1.0
    c: float | None = None
    gamma2: float | None = None
    seed: int = 0
    class_assumption: str = FIXED_CLASS
    stakes_level: float | None = None
    assumes: tuple[str, ...] = ()
    drawn: str = INDEPENDENT
    worst: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no bound is defined for: a NaN would make one up, or never end."""
        if not 0 <= self.m < math.inf or not 0 <= self.mean <= 1 + 1e-9 or not self.low < self.high:
            raise ValueError(
                f"Evidence: m = {self.m}, mean = {self.mean}, low = {self.low}, high = {self.high}: "
                "m is 0 or more, mean lies in [0, 1], low is below high"
            )
        losses = self.losses
        if losses is None:
            return
        if losses.shape != (self.m,) or not ((losses >= 0) & (losses <= 1)).all():
            raise ValueError(
                f"Evidence: losses of shape {losses.shape} for m = {self.m}: one loss an item, each in "
                "[0, 1]; (loss − low) / (high − low) brings it there"
            )

    @property
    def width(self) -> float:
        """The width of the loss's range."""
        return self.high - self.low

    @property
    def count(self) -> int:
        """⌈m · mean⌉: the number of errors for 0-1 loss."""
        return count_of(self.m, self.mean)

    def is_vacuous(self, end: float) -> bool:
        """True where a bound, scaled to [0, 1], is no smaller than the largest loss of an item."""
        worst = self.high if self.worst is None else self.worst
        return end >= min(1.0, (worst - self.low) / self.width)
