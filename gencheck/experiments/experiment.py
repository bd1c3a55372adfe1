"""What every experiment takes and returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gencheck.progress import Progress

SOURCE = "Kawaguchi, Kaelbling & Bengio, Generalization in Deep Learning (arXiv 1710.05468)"

Row = Mapping[str, str | float | int | bool | None]


@dataclass(frozen=True)
class ExperimentOptions:
    """How an experiment is run.

    Attributes
    ----------
    data
        A data file or folder, as `load_dataset` reads it; None for what the experiment brings.
    full
        The source's scale in place of one that ends in minutes on two cores.
    seeds
        How many repetitions; None for the experiment's own number.
    seed
        The first seed; repetition i uses seed + i.
    """

    data: Path | None = None
    full: bool = False
    seeds: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """One figure of the source beside ours.

    Attributes
    ----------
    figure
        What is measured, in words, with its unit.
    source
        The source's figure; None where it makes the claim without a number.
    ours
        What this run found.
    note
        What one must know to compare them.
    """

    figure: str
    source: float | None
    ours: float
    note: str = ""


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found, with all that is needed to judge and to repeat it.

    Attributes
    ----------
    name
        The experiment's name on the command line.
    claim
        What the source claims, in a sentence.
    certainty
        ``certified`` (a formula), ``constructed`` (an object built and measured) or ``estimated``
        (training runs).
    rows
        The table: every row has the same keys, which are its headings.
    comparisons
        The source's figures beside ours.
    settings
        Sizes, seeds, optimiser: whatever is needed to repeat the run.
    differs
        How this run differs from the source's.
    verdict
        What follows, in a sentence or two.
    plot
        Draws the figure onto an empty matplotlib ``Figure``.
    """

    name: str
    claim: str
    certainty: str
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    settings: Mapping[str, Any]
    differs: tuple[str, ...]
    verdict: str
    plot: Callable[[Any], None] = field(repr=False, compare=False)


class Experiment(Protocol):
    """An experiment: options in, result out, progress on the side."""

    def __call__(self, options: ExperimentOptions, progress: "Progress") -> ExperimentResult:
        """Run it."""
