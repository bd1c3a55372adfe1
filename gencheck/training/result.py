"""What a training run made: how well each phase fits, files, and what decided the result."""

from dataclasses import dataclass

from gencheck.training.ridge_facts import RidgeFacts


@dataclass(frozen=True)
class Fit:
    """How well outputs fit a set: mean squared loss and 0-1 error."""

    items: int
    risk: float
    error: float


@dataclass(frozen=True)
class Phase:
    """One phase: its mean loss by epoch, and its fit on its own items and on the test items."""

    losses: list[float]
    train: Fit
    test: Fit | None


@dataclass(frozen=True)
class TrainResult:
    """What a run made: sizes, phases, files with their SHA-256, what decided it, seconds."""

    parameters: int
    item_shape: tuple[int, ...]
    outputs: int
    preprocessing: list[str]
    train_count: int
    test_count: int
    standard: Phase
    freeze: Phase | None
    ridge: RidgeFacts | None
    digests: dict[str, str]
    identity: dict[str, str]
    seconds: float
