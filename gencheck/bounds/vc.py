"""The VC bound of piecewise linear networks."""

import math
from collections.abc import Sequence
from itertools import accumulate

from gencheck.bounds.bound import Bound

SOURCE = (
    "Bartlett, Harvey, Liaw & Mehrabian, Nearly-tight VC-dimension and pseudodimension bounds for "
    "piecewise linear neural networks (2019), Theorem 7; Vapnik & Chervonenkis 1971, with the "
    "constants of Anthony & Bartlett 1999"
)


def vc_dimension(units: Sequence[int], weights: Sequence[int], breakpoints: int = 1) -> float:
    """VCdim ≤ L + (Σ_i W_i) log2(4epR log2(2epR)), R = Σ_i i k_i, for one real output and its sign.

    Parameters
    ----------
    units
        k_i: computation units of layer i = 1 … L; the output layer has one.
    weights
        Weights and biases at the inputs of layer i; W_i is their sum over all layers up to i.
    breakpoints
        p: pieces of the activation less one; 1 for ReLU.
    """
    layers = len(units)
    cumulated = sum(accumulate(weights))
    size = sum(i * k for i, k in enumerate(units, 1))
    inner = 2 * math.e * breakpoints * size
    return layers + cumulated * math.log2(2 * inner * math.log2(inner))


def log_growth(dimension: float, points: int, classes: int = 2) -> float:
    """Ln of the largest number of patterns of errors on so many points, in nats.

    Sauer's lemma: ln Π ≤ d ln(e n / d) for n ≥ d points. Whether an item is misclassified among K
    classes is decided by the signs of the K(K − 1)/2 differences of outputs, each a network of one
    output, so their logarithms add up; n ln 2 bounds any class.
    """
    pairs = classes * (classes - 1) // 2
    most = points * math.log(2)
    if dimension >= points:
        return most
    return min(most, pairs * dimension * math.log(math.e * points / dimension))


def vc_bound(
    empirical_error: float, dimension: float, m: int, delta: float, classes: int = 2
) -> Bound:
    """R ≤ R̂ + √((8/m) (ln Π(2m) + ln(4/δ))).

    Parameters
    ----------
    empirical_error
        R̂: the 0-1 error on the m items.
    dimension
        The VC dimension of each difference of two outputs, or an upper bound on it.
    """
    growth = log_growth(dimension, 2 * m, classes)
    slack = math.sqrt(8 / m * (growth + math.log(4 / delta)))
    risk = empirical_error + slack
    assumes = (
        "the m items are independent draws",
        "the architecture was fixed before the items were seen",
    )
    return Bound(
        name="vc", risk=risk, slack=slack, vacuous=risk >= 1, assumes=assumes, source=SOURCE
    )
