"""What `gencheck certify` is asked, and one row of what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gencheck.guarantees.path_space import LANDMARKS

# The rows of the table, in order.
HOLD_OUT, MARGIN, DRAWN, MEAN = "hold-out", "margin", "pac-bayes-drawn", "pac-bayes-mean"
NAMES = (HOLD_OUT, MARGIN, DRAWN, MEAN)
# Rows below them: weights that moved on a part of the freeze items, and a target, where asked for.
MOVED = "hold-out-moved"
TARGET = "target"


@dataclass(frozen=True)
class TargetRequest:
    """A network to certify through a surrogate.

    Attributes
    ----------
    model
        Its checkpoint, or a table with its predictions in a column ``prediction``.
    unlabelled
        Items that trained neither it nor the run.
    factory, key
        For a state dict, as `load_model` takes them.
    """

    model: Path
    unlabelled: Path
    factory: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class CertifyRequest:
    """What to certify.

    Attributes
    ----------
    folder, data, x_key, y_key
        The run and the data that it was trained on.
    delta
        Each row holds with probability 1 − δ by itself; with a target at δ/2, and the target's at δ.
    runs
        How many runs were compared on these items; each gets δ over their number.
    verdict
        The row that is the verdict, named before anything is computed.
    landmarks, seed
        How many freeze items span the posterior, and what draws them.
    drawn
        The seed of the weights that `pac-bayes-drawn` draws, where predictions of it are needed.
    prior_share
        The share of the freeze items that `hold-out-moved` is fitted to; None for no such row.
    target
        Another network to certify through the verdict's classifier.
    """

    folder: Path
    data: Path
    x_key: str | None = None
    y_key: str | None = None
    delta: float = 0.05
    runs: int = 1
    verdict: str = MEAN
    landmarks: int = LANDMARKS
    seed: int = 0
    drawn: int = 0
    prior_share: float | None = None
    target: TargetRequest | None = None

    @property
    def row_delta(self) -> float:
        """Each row's own part of δ: half where a disagreement has the other half, over the runs."""
        return self.delta / self.runs / (1 if self.target is None else 2)


@dataclass(frozen=True)
class CertifiedRow:
    """One certificate.

    Attributes
    ----------
    name, classifier
        The bound, and what it is a bound on the 0-1 risk of.
    error
        Its 0-1 error on the freeze items; of the drawn classifier, in the mean over draws. None of a
        target, which may have trained on them.
    test_error
        The same on the test items, where there are some.
    terms
        What the bound is made of.
    """

    name: str
    classifier: str
    risk: float
    error: float | None
    test_error: float | None
    terms: Mapping[str, float | int | str | None]
    assumes: tuple[str, ...]
    source: str

    @property
    def vacuous(self) -> bool:
        """True from a risk of 1 on."""
        return self.risk >= 1
