"""The price of choosing a number after seeing the data: a union over a geometric grid."""

import math

LEAST_LOG2 = -1000.0


def grid_index(log2_value: float, per_octave: int) -> int:
    """The smallest whole k with 2^(k / per_octave) ≥ v, from log2 v.

    A hair above a grid point counts as that point's successor, never the other way: a bound that
    holds for the grid's value then holds for v. Values below 2^−1000, 0 among them, count as that.
    """
    return math.ceil(max(log2_value, LEAST_LOG2) * per_octave)


def log_grid_price(index: int) -> float:
    """ln(1 / p_k) in nats, for the weights p_k = (2/3) / ((|k| + 1)(|k| + 2)), k any whole number.

    Σ_k p_k = (2/3)(2 · 1 − ½) = 1, so that statements that each hold with probability 1 − δ p_k
    hold together with probability 1 − δ.
    """
    size = abs(index)
    return math.log(1.5) + math.log(size + 1) + math.log(size + 2)
