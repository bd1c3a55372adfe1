"""The classical bounds on the 0-1 risk: Rademacher, stability, robustness."""

import math

from gencheck.bounds.bound import Bound

INDEPENDENT = "the m items are independent draws"
RADEMACHER_SOURCE = (
    "Koltchinskii & Panchenko 2002; Mohri, Rostamizadeh & Talwalkar, Foundations of Machine "
    "Learning (2018), Rademacher complexity bounds"
)
STABILITY_SOURCE = "Bousquet & Elisseeff, Stability and Generalization (2002), Theorem 12"
ROBUSTNESS_SOURCE = "Xu & Mannor, Robustness and Generalization (2012)"


def rademacher_bound(
    empirical_risk: float,
    complexity: float,
    m: int,
    log_inverse_level: float,
    *,
    empirical: bool = True,
    name: str = "rademacher",
    assumes: tuple[str, ...] = (),
    source: str = RADEMACHER_SOURCE,
) -> Bound:
    """R ≤ R̂ + 2 ℜ + 3 √((L + ln 2) / 2m), or R̂ + 2 ℜ + √(L / 2m) for the expected complexity.

    Parameters
    ----------
    empirical_risk
        R̂: the mean of a loss in [0, 1] that is at least the 0-1 loss, such as a ramp loss.
    complexity
        ℜ of the loss class: on the items themselves (`empirical`), or its expectation.
    m
        The number of items.
    log_inverse_level
        L = ln(1/δ) plus what a union costs, in nats.
    """
    if empirical:
        confidence = 3 * math.sqrt((log_inverse_level + math.log(2)) / (2 * m))
    else:
        confidence = math.sqrt(log_inverse_level / (2 * m))
    slack = 2 * complexity + confidence
    return _bound(name, empirical_risk, slack, (INDEPENDENT, *assumes), source)


def stability_bound(
    empirical_risk: float, beta: float, m: int, delta: float, largest_loss: float = 1.0
) -> Bound:
    """R ≤ R̂ + 2β + (4mβ + M) √(ln(1/δ) / 2m).

    Parameters
    ----------
    empirical_risk
        The mean loss of what the algorithm returns on its own m items.
    beta
        Uniform stability: the most that any item's loss changes where one item is left out.
    largest_loss
        M ≥ every loss.
    """
    confidence = math.sqrt(-math.log(delta) / (2 * m))
    slack = 2 * beta + (4 * m * beta + largest_loss) * confidence
    assumes = (
        INDEPENDENT,
        "the algorithm changes no loss by more than β where one item is left out",
    )
    return _bound("uniform-stability", empirical_risk, slack, assumes, STABILITY_SOURCE)


def robustness_bound(
    empirical_risk: float,
    variation: float,
    cells: int,
    m: int,
    delta: float,
    largest_loss: float = 1.0,
) -> Bound:
    """R ≤ R̂ + ε + M √((2K ln 2 + 2 ln(1/δ)) / m).

    Parameters
    ----------
    variation
        ε: within each of the cells, the loss of any item differs from that of a training item by no
        more than this.
    cells
        K: the number of cells, fixed before the items were seen.
    """
    spread = math.sqrt((2 * cells * math.log(2) - 2 * math.log(delta)) / m)
    slack = variation + largest_loss * spread
    assumes = (
        INDEPENDENT,
        "the cells were fixed before the items were seen",
        "the loss varies by at most ε within a cell that holds an item",
    )
    return _bound("robustness", empirical_risk, slack, assumes, ROBUSTNESS_SOURCE)


def _bound(
    name: str, empirical_risk: float, slack: float, assumes: tuple[str, ...], source: str
) -> Bound:
    risk = empirical_risk + slack
    return Bound(
        name=name, risk=risk, slack=slack, vacuous=risk >= 1, assumes=assumes, source=source
    )
