"""Seconds on the clock that a search may take, and whether they decided its result."""

import math
import time
from collections.abc import Callable


class Deadline:
    """The end of a span of time, and of all spans within it.

    Attributes
    ----------
    struck
        True where somebody asked for time and there was none: the result depends on the clock then.

    Parameters
    ----------
    seconds
        From now on; infinite for no end.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = math.inf if math.isinf(seconds) else clock() + seconds
        self.struck = False

    def has_passed(self) -> bool:
        """Whether the time is over, which is remembered."""
        if not math.isinf(self._end) and self._clock() >= self._end:
            self.struck = True
        return self.struck

    def share(self, part: float) -> "Deadline":
        """The end of this part, at most 1, of the time that is left."""
        if math.isinf(self._end):
            return Deadline(math.inf)
        return Deadline(max(self._end - self._clock(), 0.0) * part, self._clock)
