"""The PAC-Bayes bound on the Gibbs classifier, its Gaussian divergence and its sampling error."""

import math

from gencheck.bounds.binomial import kl_upper_end
from gencheck.bounds.bound import Bound

SOURCE = (
    "McAllester 1999; Seeger 2002; Maurer 2004 (the inverse-kl form); posterior, grid of priors and "
    "sampling after Dziugaite & Roy 2017"
)
ASSUMES = (
    "the m items are independent draws",
    "the prior was fixed before the items were seen, but for its variance on the grid",
    "the draws from the posterior are independent of its fitting",
)

# Prior variances c e^{−j/b}, j = 1, 2, …
LARGEST_PRIOR_VARIANCE = 10.0
PRIORS_PER_E_FOLD = 20


def gaussian_divergence(
    count: int,
    variance_sum: float,
    log_variance_sum: float,
    distance_squared: float,
    prior_variance: float,
) -> float:
    """KL(N(w, diag s) ‖ N(w₀, λ I)) = ½ (Σs/λ + ‖w − w₀‖²/λ − d + d ln λ − Σ ln s), in nats.

    Parameters
    ----------
    count
        d: the number of weights.
    variance_sum, log_variance_sum
        Σ s and Σ ln s over the weights.
    distance_squared
        ‖w − w₀‖².
    """
    scaled = (variance_sum + distance_squared) / prior_variance
    return 0.5 * (scaled - count + count * math.log(prior_variance) - log_variance_sum)


def prior_variance(index: int) -> float:
    """λ_j = c e^{−j/b} for j = 1, 2, …: the grid of prior variances."""
    return LARGEST_PRIOR_VARIANCE * math.exp(-index / PRIORS_PER_E_FOLD)


def prior_index(variance: float) -> int:
    """The j ≥ 1 whose prior variance is nearest to `variance`, in ratio."""
    return max(
        1, round(PRIORS_PER_E_FOLD * (math.log(LARGEST_PRIOR_VARIANCE) - math.log(variance)))
    )


def log_prior_price(index: int) -> float:
    """ln(π² j² / 6) in nats: what the choice of prior j costs in a union over all j ≥ 1."""
    return math.log(math.pi**2 / 6) + 2 * math.log(index)


def inflated_gibbs_risk(mean: float, draws: int, log_inverse_level: float) -> float:
    """sup{p : kl(p̂‖p) ≤ L/n}: a bound on the mean of n independent draws in [0, 1] from their p̂.

    Parameters
    ----------
    mean
        p̂: the mean empirical error of n classifiers drawn from the posterior.
    log_inverse_level
        L = ln(1/δ′).
    """
    return kl_upper_end(mean, draws, log_inverse_level)


def pac_bayes_bound(
    sampled_risk: float,
    draws: int,
    divergence: float,
    m: int,
    delta: float,
    sampling_delta: float,
    log_price: float = 0.0,
) -> Bound:
    """R(Q) ≤ sup{r : kl(p‖r) ≤ (KL(Q‖P) + ln(2√m/δ) + price) / m}, p the inflated sampled risk.

    Holds with probability 1 − δ − δ′, for the risk of the classifier that draws its weights from Q
    anew for every item.

    Parameters
    ----------
    sampled_risk, draws
        The mean empirical error of so many classifiers drawn from the posterior Q.
    divergence
        KL(Q‖P) in nats.
    delta, sampling_delta
        δ and δ′.
    log_price
        What the choice of the prior costs, in nats.
    """
    gibbs = inflated_gibbs_risk(sampled_risk, draws, -math.log(sampling_delta))
    level = divergence + math.log(2 * math.sqrt(m)) - math.log(delta) + log_price
    risk = kl_upper_end(gibbs, m, level)
    # an inverse kl ends at 1, where it says nothing
    return Bound(
        name="pac-bayes",
        risk=risk,
        slack=risk - sampled_risk,
        vacuous=risk >= 1,
        assumes=ASSUMES,
        source=SOURCE,
    )
