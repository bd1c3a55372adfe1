"""β1, β2 and β3 against the distribution itself, with high probability, for independent gates.

Throughout, the m items of the sample are independent draws (x, y) from one distribution and the
gates were fixed without sight of them, so that path features z = z(x) are independent draws too.
A = E[zzᵀ], Ā its mean over the sample, B ≥ ‖z‖² for every input. A level is ln(1/δ), in nats.

The lower tail of a sum of positive semidefinite matrices is lighter than Bernstein's inequality for
centred ones says: since e^{−t} ≤ 1 − t + t²/2 for t ≥ 0, log E e^{−θ zzᵀ} ≼ −θA + θ²M/2 with
M = E[(zzᵀ)²] = E[‖z‖² zzᵀ], and Tropp's subadditivity of matrix cumulants (User-friendly tail bounds,
2012, section 3, from Lieb's theorem) gives, for Y = m(A − Ā) and every θ > 0,

    E tr e^{θY} ≤ tr e^{mθ²M/2}.                                                              (1)

The scalar case is Maurer's (A bound on the deviation probability for sums of non-negative random
variables, 2003). Against the matrix Bernstein inequality, 2CL/(3m) + √(2VL/m), the first term is gone
and with it C. Let V ≥ λ_max(M), T ≥ tr M = E‖z‖⁴, and s = mε²/V.

dimension
    P(λ_max(A − Ā) ≥ ε) ≤ e^{−θmε} tr e^{mθ²M/2} ≤ d_z e^{−s/2} at θ = ε/V.
intrinsic-dimension
    Tropp's argument (An introduction to matrix concentration inequalities, 2015, section 7) bounds
    the tail by E tr ψ(θY) / ψ(θmε) with ψ(t) = e^t − t − 1 ≥ 0, increasing for t > 0. E Y = 0, so the
    numerator is at most tr(e^{mθ²M/2} − I), and e^{ct} − 1 ≤ (t/V)(e^{cV} − 1) on [0, V] makes that
    (T/V)(e^{mθ²V/2} − 1). At θ = ε/V: P(λ_max(A − Ā) ≥ ε) ≤ (T/V) g(s) with
    g(s) = (e^{s/2} − 1)/(e^s − s − 1). It holds for every ε > 0: the condition on ε in Tropp's theorem
    only serves to round g to 4 e^{−s/2}.

Both levels are those of one event {λ_max(A − Ā) ≥ ε}, and which ε is the smaller depends on the
distribution alone, not on the sample: taking the smaller costs nothing. Both ε grow with V and with
T, so upper bounds on these may stand in for them. (For the second: the tail bound is T/(mε²) · s g(s)
and s g(s) decreases, because its inverse is a ratio of power series in s with positive coefficients,
2^k/(k+1) their ratio, which does not decrease in k.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gencheck.bounds.magnitude import Magnitude, smallest
from gencheck.bounds.roots import crossing

SOURCE = (
    "Tropp, User-friendly tail bounds for sums of random matrices (2012), and An introduction to "
    "matrix concentration inequalities (2015); Maurer (2003)"
)

# How β1's share of δ is split: the deviation itself, the upper bound on V, that on T.
_BETA1_SHARES = (0.8, 0.1, 0.1)
# How β2's share is split: the deviation itself, the upper bound on the variance.
_BETA2_SHARES = (0.9, 0.1)
# Steps of the iteration for V, each of which is a valid bound; it contracts by half a step.
_STEPS = 48


@dataclass(frozen=True)
class FeatureMoments:
    """What β1's bound is computed from.

    Attributes
    ----------
    count
        The number m of items.
    log_paths
        ln d_z.
    square_bound
        B ≥ ‖z(x)‖² for every input.
    second
        λ_max of the sample's mean of ‖z‖² zzᵀ, or an upper end of it.
    fourth
        The sample's mean of ‖z‖⁴.
    """

    count: int
    log_paths: float
    square_bound: Magnitude
    second: Magnitude
    fourth: Magnitude


@dataclass(frozen=True)
class CertifiedBeta1:
    """Upper bounds on λ_max(E[zzᵀ] − E_S[zzᵀ]), one a form; all hold at once.

    Attributes
    ----------
    forms
        By name: `dimension`, with d_z, and `intrinsic-dimension`, with T/V.
    """

    forms: dict[str, Magnitude]

    @property
    def form(self) -> str:
        """The form with the smallest value."""
        return min(self.forms, key=lambda name: self.forms[name].log10())

    @property
    def value(self) -> Magnitude:
        """The smallest of the values."""
        return self.forms[self.form]


@dataclass(frozen=True)
class CertifiedBeta2:
    """An upper bound on max_k ‖E_S[y_k z] − E[y_k z]‖_∞, the form it has, and γ² ≥ the variances."""

    value: float
    form: str
    variance: float


def intrinsic_exponent(log_intrinsic: float, level: float) -> float:
    """The s with D g(s) = δ, from ln D ≥ 0 and ln(1/δ): about 2 ln(D/δ), whatever their size."""

    def excess(s: float) -> float:
        log_g = -s / 2 + math.log1p(-math.exp(-s / 2)) - math.log1p(-(1 + s) * math.exp(-s))
        return log_g + log_intrinsic + level

    # g(s) ≤ (1 + 3/s²) e^{−s/2}
    return crossing(excess, 1e-3, 2 * (log_intrinsic + level) + 4)


def certified_beta1(moments: FeatureMoments, level: float) -> CertifiedBeta1:
    """β1 ≤ √(s V/m) with probability at least 1 − δ.

    V and T are bounded from the sample, which takes a tenth of δ each. For T, (1) with the scalar
    ‖z‖⁴ ≤ B² gives T ≤ T̂ + B √(2TL/m). For V, the tail above applied to the vectors ‖z‖z, whose own
    M is at most B² M, gives V ≤ V̂ + B √(V s/m); solved from V ≤ min(B², T) downwards.

    Parameters
    ----------
    level
        ln(1/δ), for the whole.
    """
    deviation, second, fourth = (level - math.log(share) for share in _BETA1_SHARES)
    bound = moments.square_bound
    t = smallest(_fourth_moment(moments, fourth), bound * bound)

    def dimension(v: Magnitude, nats: float) -> float:
        return 2 * (moments.log_paths + nats)

    def intrinsic(v: Magnitude, nats: float) -> float:
        return intrinsic_exponent(_log_ratio(t, v), nats)

    forms = {"dimension": dimension, "intrinsic-dimension": intrinsic}
    values = {}
    for name, exponent in forms.items():
        v = _second_moment(moments, t, exponent, second)
        values[name] = _deviation(v, exponent, deviation, moments.count)
    return CertifiedBeta1(values)


def _fourth_moment(moments: FeatureMoments, level: float) -> Magnitude:
    """The largest T with T ≤ T̂ + B √(2TL/m)."""
    half = moments.square_bound * Magnitude.of(math.sqrt(level / (2 * moments.count)))
    root = half + (half * half + moments.fourth).sqrt()
    return root * root


def _second_moment(
    moments: FeatureMoments,
    fourth: Magnitude,
    exponent: Callable[[Magnitude, float], float],
    level: float,
) -> Magnitude:
    """A V that every V with V ≤ V̂ + B √(V s/m) is below: the right side is increasing in V."""
    v = fourth
    for _ in range(_STEPS):
        margin = moments.square_bound * _deviation(v, exponent, level, moments.count)
        smaller = smallest(v, moments.second + margin)
        if smaller == v:
            # so would every further step
            break
        v = smaller
    return v


def _deviation(
    v: Magnitude, exponent: Callable[[Magnitude, float], float], level: float, count: int
) -> Magnitude:
    if v.mantissa == 0:
        return v
    return (v * Magnitude.of(exponent(v, level) / count)).sqrt()


def _log_ratio(over: Magnitude, under: Magnitude) -> float:
    """Ln of a ratio that is at least 1 but for rounding."""
    return max(0.0, (over.log10() - under.log10()) * math.log(10))


def certified_beta2(
    count: int,
    log_paths: float,
    outputs: int,
    coordinates: int,
    product_range: tuple[float, float],
    second: float,
    level: float,
) -> CertifiedBeta2:
    """β2 ≤ bL/(3m) + √((bL/(3m))² + 2γ²L/m), L = ln(2 d_y d_z/δ), with probability at least 1 − δ.

    Bernstein's inequality for y_k z_p, whose values span b, on both sides, for all outputs k and all
    paths p at once; inverted as it stands, which is below 2bL/(3m) + √(2γ²L/m). Hoeffding's
    b √(L/2m) where that is smaller: which one is depends on the distribution alone, so it costs
    nothing. Gates in [0, 1] only shrink a feature, so every variance is at most the largest
    E[y_k² x_i²] over outputs and coordinates (x = 1 where a path starts at a bias). These are bounded
    from the sample by the scalar case of (1), for all of them at once: with y_k² x_i² ≤ c²,
    γ² ≤ mean + c √(2γ²L′/m), L′ = ln(d_y d/δ′). That takes a tenth of δ.

    Parameters
    ----------
    outputs, coordinates
        d_y, and the number d of input coordinates with one more for the biases.
    product_range
        What every y_k z_p lies within.
    second
        The largest of the sample's means of y_k² x_i².
    level
        ln(1/δ), for the whole.
    """
    low, high = product_range
    width, reach = high - low, max(-low, high)
    deviation, moment = (level - math.log(share) for share in _BETA2_SHARES)
    nats = moment + math.log(outputs) + math.log(coordinates)
    half = reach * math.sqrt(nats / (2 * count))
    variance = min((half + math.sqrt(half * half + second)) ** 2, reach * reach, width * width / 4)
    nats = deviation + math.log(2 * outputs) + log_paths
    linear = width * nats / (3 * count)
    values = {
        "bernstein": linear + math.sqrt(linear * linear + 2 * variance * nats / count),
        "hoeffding": width * math.sqrt(nats / (2 * count)),
    }
    form = min(values, key=lambda name: values[name])
    return CertifiedBeta2(values[form], form, variance)


def certified_beta3(count: int, width: float, level: float) -> float:
    """β3 = E[yᵀy] − E_S[yᵀy] ≤ width · √(ln(1/δ)/(2m)) with probability at least 1 − δ (Hoeffding).

    Parameters
    ----------
    width
        The length of the interval that yᵀy lies in; 0 for one-hot targets, where β3 is 0 for sure.
    """
    return width * math.sqrt(level / (2 * count))
