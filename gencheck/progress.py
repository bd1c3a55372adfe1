"""Progress reporting that is silent unless the caller brings a display."""

from typing import Protocol


class Progress(Protocol):
    """What a long computation tells its caller: stages, each with a number of units of work."""

    def start(self, stage: str, total: float, unit: str) -> None:
        """Begin `stage`, which will advance by `total` units in all."""

    def advance(self, amount: float) -> None:
        """Report that `amount` more units of the current stage are done."""

    def finish(self) -> None:
        """End the current stage."""

    def report(self, message: str) -> None:
        """Say something that the user should know and that is no error."""


class SilentProgress:
    """The default: the library says nothing."""

    def start(self, stage: str, total: float, unit: str) -> None:
        """Do nothing."""

    def advance(self, amount: float) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def report(self, message: str) -> None:
        """Do nothing."""


SILENT = SilentProgress()
