"""What `compare` finds: one row for each theory."""

from dataclasses import dataclass, field

from gencheck.audit.result import DataFacts, ModelFacts
from gencheck.bounds.magnitude import Magnitude


@dataclass(frozen=True)
class Assumption:
    """What a theory assumes; `met` is None where only the user can know."""

    statement: str
    met: bool | None


@dataclass(frozen=True)
class TheoryRow:
    """What one theory says about a model and its data.

    Attributes
    ----------
    name
        The theory's key.
    subject
        What the figure is about: ``0-1 risk``, ``Gibbs 0-1 risk``, ``0-1 error on the reference``.
    measure, unit
        The quantity that the theory rests on and what it is, such as a VC dimension.
    risk
        The bound in units of 0-1 error, never clamped; None where the theory gives none.
    sample_error
        The 0-1 error on the sample, which the bound on the gap is less.
    certified
        True where the constants are published and no assumption is known to fail.
    constants
        Every number that entered, by name.
    reason
        Why there is no figure, where there is none.
    """

    name: str
    subject: str
    source: str
    assumptions: tuple[Assumption, ...]
    sample_error: float
    constants: dict[str, object] = field(default_factory=dict)
    measure: Magnitude | None = None
    unit: str = ""
    risk: Magnitude | None = None
    is_bound: bool = True
    reason: str | None = None

    @property
    def certified(self) -> bool:
        """True for a bound of which no assumption is known to fail."""
        met = all(assumption.met is not False for assumption in self.assumptions)
        return self.is_bound and self.risk is not None and met

    @property
    def gap(self) -> Magnitude | None:
        """The risk bound less the 0-1 error on the sample."""
        return None if self.risk is None else self.risk + Magnitude.of(-self.sample_error)

    @property
    def vacuous(self) -> bool | None:
        """True from a risk of 1 on."""
        return None if self.risk is None else Magnitude.of(1.0) <= self.risk


@dataclass(frozen=True)
class ComparisonResult:
    """What `compare` finds: one row for each theory, and what they speak of."""

    model: ModelFacts
    data: DataFacts
    delta: float
    sample_error: float
    reference_error: float
    rows: tuple[TheoryRow, ...]
    seconds: dict[str, float]

    @property
    def certified(self) -> TheoryRow:
        """The validation bound: named in advance, since choosing the least would cost confidence."""
        (row,) = (row for row in self.rows if row.name == "validation")
        return row
