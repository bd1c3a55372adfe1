"""The data-dependent bound: what the concentration of a data set says about the gap."""

from dataclasses import dataclass

from gencheck.bounds.magnitude import Magnitude, smallest, total

SOURCE = "Kawaguchi, Kaelbling & Bengio, Generalization in Deep Learning (arXiv 1710.05468)"


@dataclass(frozen=True)
class GapBound:
    """An upper bound on R_T − R_S for the squared loss, in units of that loss.

    Attributes
    ----------
    terms
        The part of β1, the part of the correlation with the targets, and β3, in this order.
    """

    terms: tuple[Magnitude, Magnitude, Magnitude]

    @property
    def value(self) -> Magnitude:
        """The sum of the terms."""
        return total(list(self.terms))

    def is_vacuous(self, sample_risk: float, largest_loss: float, task: str) -> bool:
        """True where the bound says nothing.

        For classification with one-hot targets a wrong arg-max costs at least ½ in squared loss, so
        the 0-1 risk is at most 2 (R_S + bound), which says nothing from 1 on. For regression the gap
        cannot exceed the largest loss of any item, so a bound says nothing from there on.
        """
        if task == "classification":
            return Magnitude.of(0.5 - sample_risk) <= self.value
        return Magnitude.of(largest_loss) <= self.value


def data_dependent_bound(
    beta1: float | Magnitude,
    beta2: float | Magnitude,
    beta3: float,
    l2_squared: list[Magnitude],
    l1: list[Magnitude],
) -> GapBound:
    """R_T − R_S ≤ β1 Σ_k‖w_k‖₂² + 2 β2 Σ_k‖w_k‖₁ + β3.

    Parameters
    ----------
    beta1
        An upper end of λ_max(E_T[zzᵀ] − E_S[zzᵀ]).
    beta2
        An upper end of max_k ‖E_S[y_k z] − E_T[y_k z]‖_∞.
    beta3
        E_T[yᵀy] − E_S[yᵀy].
    l2_squared, l1
        ‖w_k‖₂² and ‖w_k‖₁ of the path weights of each output.
    """
    return GapBound(
        (
            _magnitude(beta1) * total(l2_squared),
            Magnitude.of(2.0) * _magnitude(beta2) * total(l1),
            Magnitude.of(beta3),
        )
    )


def tightest_bound(
    beta1: float | Magnitude,
    beta3: float,
    v_sup: list[Magnitude],
    v_l2: list[Magnitude],
    l2_squared: list[Magnitude],
    l1: list[Magnitude],
) -> GapBound:
    """R_T − R_S ≤ β1 Σ_k‖w_k‖₂² + 2 Σ_k min(‖v_k‖_∞‖w_k‖₁, ‖v_k‖₂‖w_k‖₂) + β3.

    The same bound with Hölder's inequality applied to each output at its better exponent.

    Parameters
    ----------
    v_sup, v_l2
        Upper ends of ‖v_k‖_∞ and ‖v_k‖₂ for v_k = E_S[y_k z] − E_T[y_k z], one for each output.
    """
    products = [
        smallest(sup * one, two * squared.sqrt())
        for sup, two, squared, one in zip(v_sup, v_l2, l2_squared, l1, strict=True)
    ]
    return GapBound(
        (
            _magnitude(beta1) * total(l2_squared),
            Magnitude.of(2.0) * total(products),
            Magnitude.of(beta3),
        )
    )


def euclidean_bound(
    beta1: float | Magnitude, beta3: float, v_l2: list[Magnitude], l2_squared: list[Magnitude]
) -> GapBound:
    """R_T − R_S ≤ β1 Σ_k‖w_k‖₂² + 2 Σ_k‖v_k‖₂‖w_k‖₂ + β3.

    Hölder's inequality at exponents 2 and 2 throughout: for path weights whose ‖w_k‖₁ is not known.
    """
    products = [two * squared.sqrt() for two, squared in zip(v_l2, l2_squared, strict=True)]
    return GapBound(
        (
            _magnitude(beta1) * total(l2_squared),
            Magnitude.of(2.0) * total(products),
            Magnitude.of(beta3),
        )
    )


def _magnitude(value: float | Magnitude) -> Magnitude:
    return value if isinstance(value, Magnitude) else Magnitude.of(value)
