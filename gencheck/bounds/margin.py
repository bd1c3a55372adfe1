"""The data-independent bound: Rademacher complexity of path features at a margin ρ."""

import math
from dataclasses import dataclass

SOURCE = (
    "Kawaguchi, Kaelbling & Bengio, arXiv 1710.05468, data-independent bound for two-phase "
    "training; margin bound after Koltchinskii & Panchenko 2002"
)

ASSUMES = (
    "the gates are independent of the m_sigma items (two-phase training)",
    "rho, C_sigma and C_w were fixed before the items were seen",
    "C_sigma ≥ √E‖z‖² and C_w ≥ max_k ‖w_k‖₂",
)


@dataclass(frozen=True)
class MarginBound:
    """R ≤ R̂_ρ + rademacher + confidence, for the 0-1 risk; never clamped.

    Attributes
    ----------
    risk, slack
        The bound, and what it adds to the margin loss.
    rademacher
        2 d_y² C_σ C_w / (ρ √m_σ).
    confidence
        √(ln(1/δ) / (2 m_σ)).
    """

    margin_loss: float
    rademacher: float
    confidence: float

    @property
    def slack(self) -> float:
        """What the bound adds to the margin loss."""
        return self.rademacher + self.confidence

    @property
    def risk(self) -> float:
        """The bound on the 0-1 risk."""
        return self.margin_loss + self.slack

    @property
    def vacuous(self) -> bool:
        """True from a risk of 1 on."""
        return self.risk >= 1


def independent_bound(
    m_sigma: float,
    rho: float,
    d_y: int,
    c_sigma: float,
    c_w: float,
    delta: float,
    margin_loss: float = 0.0,
) -> MarginBound:
    """R ≤ R̂_ρ + 2 d_y² C_σ C_w / (ρ √m_σ) + √(ln(1/δ) / (2 m_σ)), with probability 1 − δ.

    Parameters
    ----------
    m_sigma
        The number of items of the freeze phase, (1 − α) m.
    rho
        The margin, in units of the outputs.
    d_y
        The number of classes.
    c_sigma, c_w
        C_σ ≥ √E‖z‖² and C_w ≥ max_k ‖w_k‖₂.
    delta
        1 − the confidence.
    margin_loss
        R̂_ρ: the mean ramp loss at margin ρ, from 0 to 1.
    """
    rademacher = 2 * d_y**2 * c_sigma * c_w / (rho * math.sqrt(m_sigma))
    confidence = math.sqrt(-math.log(delta) / (2 * m_sigma))
    return MarginBound(margin_loss, rademacher, confidence)
