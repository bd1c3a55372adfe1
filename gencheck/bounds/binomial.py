"""The binomial distribution's lower tail in log space, exact far beyond the range of floats."""

import math

from gencheck.bounds.roots import crossing

_TINY = 1e-300
_SETTLED = 2e-15


def deviance(value: float, mean: float) -> float:
    """X ln(x/M) + M − x for x = `value` ≥ 0 and M = `mean` > 0, without cancellation near x = M."""
    if value == 0:
        return mean
    if mean == 0:
        return math.inf
    difference = value - mean
    if abs(difference) > 0.1 * (value + mean):
        return value * math.log(value / mean) - difference
    # with v = (x − M)/(x + M): x ln(x/M) = 2x (v + v³/3 + v⁵/5 + …)
    v = difference / (value + mean)
    total, power, order = difference * v, 2 * value * v, 1
    while True:
        power *= v * v
        order += 2
        following = total + power / order
        if following == total:
            return total
        total = following


def bernoulli_divergence(p: float, r: float) -> float:
    """kl(p‖r) = p ln(p/r) + (1−p) ln((1−p)/(1−r)), in nats."""
    return deviance(p, r) + deviance(1 - p, 1 - r)


def _stirling_error(n: float) -> float:
    """Ln n! − [(n + ½) ln n − n + ½ ln 2π]."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = n * n
    series = 1 / 1188 / square
    for coefficient in (1 / 1680, 1 / 1260, 1 / 360):
        series = (coefficient - series) / square
    return (1 / 12 - series) / n


def log_pmf(k: float, m: float, r: float) -> float:
    """Ln of C(m,k) rᵏ (1−r)ᵐ⁻ᵏ for 0 < r < 1, in the saddle-point form; k may be real.

    Source: Loader, Fast and Accurate Computation of Binomial Probabilities (2000).
    """
    if k == 0:
        return m * math.log1p(-r)
    if k == m:
        return m * math.log(r)
    errors = _stirling_error(m) - _stirling_error(k) - _stirling_error(m - k)
    spread = deviance(k, m * r) + deviance(m - k, m * (1 - r))
    return errors - spread + 0.5 * math.log(m / (2 * math.pi * k * (m - k)))


def log_cdf(k: float, m: float, r: float) -> float:
    """Ln P(Bin(m, r) ≤ k) = ln I_{1−r}(m − k, k + 1), for any 0 ≤ k ≤ m and 0 ≤ r ≤ 1.

    The incomplete beta function is its leading term divided by a continued fraction; of the two
    tails the one is computed in which the fraction converges fast. For real k it interpolates
    between the binomial's values.
    """
    if k >= m or r <= 0:
        return 0.0
    if r >= 1:
        return -math.inf
    if k == 0:
        return m * math.log1p(-r)
    # (1−r)ᵐ⁻ᵏ rᵏ⁺¹ / B(m − k, k + 1), the same for both tails
    leading = log_pmf(k, m, r) + math.log(r) + math.log(m - k)
    above_mean = k + 1 - r * (m + 1)
    if above_mean < 0:
        return leading - math.log(_beta_fraction(m - k, k + 1, 1 - r, -above_mean))
    upper = leading - math.log(_beta_fraction(k + 1, m - k, r, above_mean))
    return math.log1p(-min(math.exp(upper), 1 - 2.0**-53))


def _beta_fraction(a: float, b: float, x: float, margin: float) -> float:
    """B in I_x(a, b) = xᵃ (1−x)ᵇ / (B(a, b) · B), for `margin` = a − (a + b) x ≥ 0.

    The margin is an argument because it cancels where b is small beside a: in a fraction that forms
    it anew, m = 10¹² would leave five digits.

    Source: DiDonato & Morris, Algorithm 708 (1992), the fraction BFRAC; Lentz' evaluation.
    """
    result = a * (margin + 1) / (a + 1)
    c, d, n = result, 0.0, 0
    while True:
        n += 1
        odd = a + 2 * n - 1
        numerator = (a + n - 1) * (a + b + n - 1) * n * (b - n) * (x / odd) ** 2
        denominator = n + n * (b - n) * x / odd + (a + n) * (margin + 1 + n * (2 - x)) / (odd + 2)
        d = denominator + numerator * d
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = denominator + numerator / c
        c = c if abs(c) > _TINY else _TINY
        result *= c * d
        if abs(c * d - 1) < _SETTLED:
            return result


def binomial_upper_end(k: int, m: int, log_inverse_level: float) -> float:
    """sup{r : ln P(Bin(m, r) ≤ k) ≥ −L}: the Clopper–Pearson upper end at level e^−L.

    Parameters
    ----------
    k, m
        Errors among items.
    log_inverse_level
        L = ln(|F|/δ) > 0, any size.
    """
    if k >= m:
        return 1.0
    if k == 0:
        return -math.expm1(-log_inverse_level / m)
    return crossing(lambda r: log_cdf(k, m, r) + log_inverse_level, 0.0, 1.0)


def binomial_interval(k: int, m: int, delta: float) -> tuple[float, float]:
    """Both ends of Clopper and Pearson's interval for r, given k of m: it misses r with P ≤ δ.

    At k = 0 and k = m one side says nothing and the other still has δ/2.
    """
    level = math.log(2 / delta)
    return 1 - binomial_upper_end(m - k, m, level), binomial_upper_end(k, m, level)


def kl_upper_end(mean: float, m: int, log_inverse_level: float) -> float:
    """sup{r : kl(R̂‖r) ≤ L/m} for R̂ = `mean`."""
    if mean >= 1:
        return 1.0
    if mean <= 0:
        return -math.expm1(-log_inverse_level / m)
    budget = log_inverse_level / m
    return crossing(lambda r: budget - bernoulli_divergence(mean, r), mean, 1.0)
