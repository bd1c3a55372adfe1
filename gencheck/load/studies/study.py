"""What every store comes down to: trials, and the scores that each of them had."""

import math
from dataclasses import dataclass, field

from gencheck.load.studies.sampler import Sampler

Scores = tuple[float, ...]

# A trial in one of these states that has no score was never compared with the others.
_NEVER_COMPARED = frozenset({"failed", "waiting"})


@dataclass(frozen=True)
class Trial:
    """One trial of a study.

    Attributes
    ----------
    name
        What the store calls it.
    state
        ``complete``, ``pruned``, ``failed``, ``running``, ``waiting`` or ``unknown``.
    history
        By metric: its scores in the order of their steps; may hold NaN.
    final
        By metric: the score that the store itself keeps for the trial, where it does.
    """

    name: str
    state: str = "unknown"
    history: dict[str, Scores] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)

    def scores(self, metric: str) -> Scores:
        """Every score of the metric, the final one last where it is not among the history."""
        history = self.history.get(metric, ())
        final = self.final.get(metric)
        return history if final is None or final in history else (*history, final)

    def counts(self, metric: str | None) -> bool:
        """True where the trial was compared with others, or may have been."""
        scored = metric is not None and bool(self.scores(metric))
        return scored or self.state not in _NEVER_COMPARED

    def kept_an_earlier_epoch(self, metric: str) -> bool:
        """True where the store keeps a score for the trial, and it is not its last one."""
        history = self.history.get(metric, ())
        return bool(history) and metric in self.final and self.final[metric] != history[-1]


@dataclass(frozen=True)
class Study:
    """The trials of one study.

    Attributes
    ----------
    kind
        The store: ``Optuna, sqlite``.
    name
        The study's or experiment's name.
    directions
        By metric: ``max`` or ``min``, where the store says so.
    sampler
        What chose the trials; None where the store does not say.
    objectives
        How many scores of a trial the sampler was given.
    notes
        What the reader of a report should know.
    """

    kind: str
    name: str
    where: str
    trials: tuple[Trial, ...]
    directions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sampler: Sampler | None = None
    objectives: int = 1

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics with a score, sorted."""
        names = {name for trial in self.trials for name in (*trial.history, *trial.final)}
        return sorted(name for name in names if any(trial.scores(name) for trial in self.trials))


def best_of(scores: Scores, direction: str) -> float | None:
    """The largest or smallest of the finite scores; None where there is none."""
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        return None
    return max(finite) if direction == "max" else min(finite)
