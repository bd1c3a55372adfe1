"""‖E_S[y ⊗ z] − E[y ⊗ z]‖ against the distribution itself: joint means of labels and path features.

With one-hot labels ξ = y ⊗ z has ‖ξ‖ = ‖z‖, and with V the difference of its two means, all outputs
together, Σ_k ⟨v_k, w_k⟩ ≤ ‖V‖_F ‖W‖_F. Unlike β2 it needs neither paths nor their number d_z.

m‖V‖_F is the supremum of Σ_i ⟨w, ξ_i − Eξ⟩ over unit w. Each term is at most 2√B, where B ≥ ‖z‖² for all
inputs, and has a variance of at most C ≥ λ_max(E[zzᵀ]), since the second moment of ξ has the blocks
E[y_k zzᵀ]. Its mean is at most √(m E‖z‖²). So Bousquet's form of Talagrand's inequality gives

    ‖V‖_F ≤ √(E‖z‖²/m) + √(2L(C + 4 √B √(E‖z‖²/m))/m) + 2√B L/(3m)

with probability 1 − e^−L. B enters under a root beside C and as B^½/m: an input range for which ‖z‖²
could be two hundred times what it is costs a factor of two, where McDiarmid's √(2BL/m) pays fourteen.
"""

import math

SOURCE = (
    "Bousquet, A Bennett concentration inequality and its application to suprema of empirical processes, "
    "2002, theorem 2.3 (as remembered); Maurer 2003 for the mean of ‖z‖²"
)


def certified_mean_square(count: int, square_bound: float, mean: float, level: float) -> float:
    """E‖z‖² ≤ the largest E with E ≤ Ē + √(2BEL/m), with probability 1 − e^−L.

    Maurer's inequality for sums of non-negative numbers, E‖z‖⁴ ≤ B E‖z‖².

    Parameters
    ----------
    square_bound, mean
        B, and the sample's mean Ē of ‖z‖².
    level
        L.
    """
    half = math.sqrt(square_bound * level / (2 * count))
    return (half + math.sqrt(half * half + mean)) ** 2


def certified_label_means(
    count: int, square_bound: float, mean_square: float, top: float, level: float
) -> float:
    """‖E_S[y ⊗ z] − E[y ⊗ z]‖_F for one-hot y, with probability 1 − e^−L; the formula above.

    Parameters
    ----------
    square_bound, mean_square, top
        B ≥ ‖z‖² for all inputs, upper bounds on E‖z‖² and on C = λ_max(E[zzᵀ]), which may be
        λ_max(E_S[zzᵀ]) + β1, in one unit.
    level
        L.
    """
    mean, reach = math.sqrt(mean_square / count), 2 * math.sqrt(square_bound)
    spread = math.sqrt(2 * level * (top + 2 * reach * mean) / count)
    return mean + spread + reach * level / (3 * count)
