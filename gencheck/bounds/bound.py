"""The value that every bound returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """An upper bound on a risk, never clamped.

    Attributes
    ----------
    name
        The bound's name, as in the documentation.
    risk
        The upper bound itself, in units of the loss.
    slack
        `risk` minus the empirical risk, in units of the loss.
    vacuous
        True where `risk` is no smaller than the largest value that the loss can take.
    assumes
        What must hold for the bound to be valid, one statement each.
    source
        The publication and theorem.
    """

    name: str
    risk: float
    slack: float
    vacuous: bool
    assumes: tuple[str, ...]
    source: str
