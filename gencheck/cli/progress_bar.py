"""Progress on stderr: a bar for anything over a second, or in a log a line every half minute."""

import time

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from gencheck.cli.terminal import console
from gencheck.printable import printable

_PATIENCE_SECONDS = 1.0
# Between two lines of a log, where stderr is no terminal.
_LINE_SECONDS = 30.0


class ProgressBars:
    """A bar for each stage, shown once the stage has lasted a second."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bars: Progress | None = None
        self._task = TaskID(0)
        self._stage, self._unit = "", ""
        self._total, self._done, self._started, self._said = 0.0, 0.0, 0.0, 0.0

    def start(self, stage: str, total: float, unit: str) -> None:
        """Begin `stage`; nothing is shown yet."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done, self._started = 0.0, time.monotonic()
        self._said = self._started

    def advance(self, amount: float) -> None:
        """Move the bar, and show it where the stage has become long."""
        self._done += amount
        now = time.monotonic()
        seconds = now - self._started
        rate = f"{self._done / max(seconds, 1e-9):.3g} {self._unit}/s"
        if not self._console.is_terminal:
            if now - self._said >= _LINE_SECONDS:
                self._said = now
                share = f"{self._done / self._total:.0%}, " if self._total else ""
                self.report(f"{self._stage}: {share}{rate}, {seconds:.0f} s so far")
            return
        if self._bars is None:
            if seconds < _PATIENCE_SECONDS:
                return
            self._show()
        assert self._bars is not None
        self._bars.update(self._task, completed=self._done, rate=rate)

    def _show(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(printable(self._stage), total=self._total, rate="")

    def report(self, message: str) -> None:
        """Print it above the bar."""
        self._console.print(f"gencheck: {printable(message)}", soft_wrap=True)

    def finish(self) -> None:
        """Remove the bar."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
