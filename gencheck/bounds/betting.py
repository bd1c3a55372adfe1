"""The betting bound: how fast a gambler could have grown rich if the risk were as large as claimed."""

import math

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.roots import crossing

# Bets are cut at this share of the most that could be staked without risking ruin. Of 0.25, 0.5, 0.75,
# 0.9 and 0.99, tried on Bernoulli(0.05), Beta(0.2, 2) and Beta(2, 2) losses with m of 50, 300 and 3000
# and L of 3, 10 and 25, this one stayed closest to the best in its worst case.
TRUNCATION = 0.75


def betting_upper_end(
    losses: NDArray[np.float64],
    log_inverse_level: float,
    seed: int = 0,
    *,
    stakes_level: float | None = None,
) -> float:
    """The largest mean r in [0, 1] that the hedged capital does not reject at level e^−L.

    K_t(r) = Π_{i≤t} (1 + λ_i(r) (r − X_i)), and r is rejected where max_t ln K_t(r) ≥ L. If the
    mean is r or more, K_t(r) is a nonnegative supermartingale, so by Ville's inequality that
    happens with probability at most e^−L. Bets are predictable: λ_i is
    √(2L/(m σ̂²_{i−1})), cut at TRUNCATION/(1 − r). Every factor is nondecreasing in r, so the end
    is found by bisection, to the last bit.

    Parameters
    ----------
    losses
        Shape (m,), in [0, 1]. They are shuffled by `seed`: the bound depends on their order, and
        only an order that does not look at them is valid.
    log_inverse_level
        L = ln(|F|/δ).
    stakes_level
        The L that the bets are tuned for; None for `log_inverse_level` itself. Any one fixed before the
        losses were seen is valid.

    Source: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting (2023).
    """
    shuffled = np.random.default_rng(seed).permutation(losses)
    stakes = _plug_in_stakes(shuffled, log_inverse_level if stakes_level is None else stakes_level)

    def room(r: float) -> float:
        return log_inverse_level - float(_log_peak_capital(shuffled, stakes, r))

    return crossing(room, 0.0, 1.0)


def betting_rejects(
    losses: NDArray[np.float64], r: float, log_inverse_level: float, seed: int = 0
) -> NDArray[np.bool_]:
    """Where the mean r is rejected at level e^−L.

    Parameters
    ----------
    losses
        Shape (..., m): samples of m losses each; the result has their shape without m.
    """
    shuffled = np.random.default_rng(seed).permutation(losses, axis=-1)
    stakes = _plug_in_stakes(shuffled, log_inverse_level)
    rejected: NDArray[np.bool_] = _log_peak_capital(shuffled, stakes, r) >= log_inverse_level
    return rejected


def betting_strength(
    losses: NDArray[np.float64], r: float, stakes_level: float, seed: int = 0
) -> float:
    """max_t ln K_t(r) ≥ 0 with bets tuned for `stakes_level`: e to its negative is a p-value.

    The bets must not depend on the level that is found: with bets tuned anew at every level, the
    smallest level that rejects is not a p-value, because the tests are not nested.
    """
    shuffled = np.random.default_rng(seed).permutation(losses)
    return float(_log_peak_capital(shuffled, _plug_in_stakes(shuffled, stakes_level), r))


def _plug_in_stakes(losses: NDArray[np.float64], log_inverse_level: float) -> NDArray[np.float64]:
    """λ_i = √(2L/(m σ̂²_{i−1})), with the variance estimated from the losses before i alone."""
    count = losses.shape[-1]
    after = np.arange(2, count + 2)
    means = (0.5 + np.cumsum(losses, axis=-1)) / after
    variances = (0.25 + np.cumsum((losses - means) ** 2, axis=-1)) / after
    before = np.roll(variances, 1, axis=-1)
    before[..., 0] = 0.25
    stakes: NDArray[np.float64] = np.sqrt(2 * log_inverse_level / (count * before))
    return stakes


def _log_peak_capital(
    losses: NDArray[np.float64], stakes: NDArray[np.float64], r: float
) -> NDArray[np.float64]:
    """max_t ln K_t(r), at least 0 for the capital before the first bet."""
    cut = TRUNCATION / (1 - r) if r < 1 else math.inf
    growth = np.log1p(np.minimum(stakes, cut) * (r - losses))
    peak: NDArray[np.float64] = np.maximum(0.0, np.cumsum(growth, axis=-1).max(axis=-1))
    return peak
