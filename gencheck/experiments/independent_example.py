"""The source's examples of the data-independent bound: m = 50,000, α = 0.1, ten classes."""

from typing import Any

from gencheck.bounds.margin import SOURCE, MarginBound, independent_bound
from gencheck.experiments.experiment import Comparison, ExperimentOptions, ExperimentResult
from gencheck.progress import Progress

ITEMS, ALPHA, CLASSES, RHO, DELTA = 50_000, 0.1, 10, 1.0, 0.1
FREEZE_ITEMS = 45_000  # (1 − α) m
# C_σ = C_w: the source's figure for the slack
PUBLISHED = {0.5: 0.2408, 0.1: 0.0145}
_NORMS_PLOTTED = [10 ** (-2 + i / 20) for i in range(41)]


def run(options: ExperimentOptions, progress: Progress) -> ExperimentResult:
    """2 d_y² C_σ C_w / (ρ √m_σ) + √(ln(1/δ) / (2 m_σ)) at the source's numbers."""
    bounds = {norm: _bound(norm) for norm in PUBLISHED}
    return ExperimentResult(
        name="independent-example",
        claim=(
            "A two-phase network on 50,000 items, a tenth of which trained the gates, has a true "
            "risk of at most its margin loss plus 24.08 % at C_σ = C_w = 0.5 and 1.45 % at 0.1, with "
            "probability 0.9."
        ),
        certainty="certified",
        rows=tuple(
            {
                "c_sigma": norm,
                "c_w": norm,
                "rademacher": bound.rademacher,
                "confidence": bound.confidence,
                "slack": bound.slack,
            }
            for norm, bound in bounds.items()
        ),
        comparisons=tuple(
            Comparison(f"slack at C_σ = C_w = {norm}", published, bounds[norm].slack)
            for norm, published in PUBLISHED.items()
        ),
        settings={
            "m": ITEMS,
            "alpha": ALPHA,
            "m_sigma": FREEZE_ITEMS,
            "d_y": CLASSES,
            "rho": RHO,
            "delta": DELTA,
            "source": SOURCE,
        },
        differs=("No data and no randomness: the formula at the source's own numbers.",),
        verdict=(
            f"The slacks are {bounds[0.5].slack:.6f} and {bounds[0.1].slack:.6f}, the source's "
            "figures. They are small because the norms are assumed small: they are linear in C_σ C_w."
        ),
        plot=_plot,
    )


def _bound(norm: float) -> MarginBound:
    return independent_bound(FREEZE_ITEMS, RHO, d_y=CLASSES, c_sigma=norm, c_w=norm, delta=DELTA)


def _plot(figure: Any) -> None:
    axes = figure.add_subplot()
    axes.loglog(_NORMS_PLOTTED, [_bound(norm).slack for norm in _NORMS_PLOTTED], label="slack")
    axes.axhline(1, color="grey", linestyle=":", label="vacuous from here on")
    for norm, published in PUBLISHED.items():
        axes.plot(norm, published, "k*", label=f"source, {100 * published:.2f} %")
    axes.set(xlabel="C_σ = C_w", ylabel="slack", title="m_σ = 45,000, ten classes, ρ = 1, δ = 0.1")
    axes.legend()
