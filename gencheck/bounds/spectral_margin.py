"""The spectrally normalised margin bound, with every constant written out."""

import math
from collections.abc import Sequence

from gencheck.bounds.magnitude import Magnitude

SOURCE = (
    "Bartlett, Foster & Telgarsky, Spectrally-normalized margin bounds for neural networks (2017): "
    "the covering number of Theorem 3.3, Dudley's integral as there in the appendix"
)


def spectral_complexity(
    spectral: Sequence[float], two_one: Sequence[float], lipschitz: Sequence[float] = ()
) -> Magnitude:
    """R_A = (Π_i ρ_i s_i) (Σ_i (b_i / s_i)^⅔)^{3/2}.

    Parameters
    ----------
    spectral
        s_i ≥ ‖A_i‖_σ > 0, one a layer.
    two_one
        b_i ≥ ‖A_iᵀ − M_iᵀ‖_{2,1}: the sum over output units of the Euclidean norm of their weights,
        less those of a reference M_i that was fixed before the data.
    lipschitz
        ρ_i of the maps between the layers.
    """
    logarithm = sum(map(math.log2, [*spectral, *lipschitz]))
    ratios = sum((b / s) ** (2 / 3) for b, s in zip(two_one, spectral, strict=True))
    return Magnitude.from_log2(logarithm) * Magnitude.of(ratios**1.5)


def spectral_margin_rademacher(
    complexity: Magnitude, data_norm: float, width: int, gamma: float, m: int
) -> Magnitude:
    """ℜ ≤ 4 / m^{3/2} + 36 ‖X‖_F R_A √(ln 2W²) ln m / (γ m): of the ramp loss at margin γ.

    ln N(ε) ≤ 4 ‖X‖_F² ln(2W²) R_A² / (γ ε)², since the ramp loss of the margin is 2/γ-Lipschitz in
    an item's outputs; Dudley's integral 4α/√m + (12/m) ∫_α^√m √(ln N) dε is taken at α = 1/m.

    Parameters
    ----------
    complexity
        R_A of `spectral_complexity`.
    data_norm
        ‖X‖_F: the root of the summed squares of all m items.
    width
        W: the largest number of units of any layer, the input among them.
    """
    factor = 36 * data_norm * math.sqrt(math.log(2 * width**2)) * math.log(m) / (gamma * m)
    return Magnitude.of(4 / m**1.5) + Magnitude.of(factor) * complexity
