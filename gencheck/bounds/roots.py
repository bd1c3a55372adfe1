"""Where a decreasing function crosses zero, to the last bit."""

import math
from collections.abc import Callable


def crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """The smallest double at which `function` is seen below zero; `high` where it never is.

    Secant steps, each with a probe a little beyond on the other side of the root, and bisection
    where they do not halve the bracket. The upper end of the last bracket is returned: for an upper
    bound that is the safe one.

    Parameters
    ----------
    function
        Decreasing (or not increasing) on [low, high], at least 0 at `low`.
    """
    at_low, at_high = function(low), function(high)
    if at_high >= 0:
        return high
    while True:
        width = high - low
        for point in _probes(low, high, at_low, at_high):
            if not low < point < high:
                continue
            value = function(point)
            if value >= 0:
                low, at_low = point, value
            else:
                high, at_high = point, value
        middle = low + (high - low) / 2
        if high - low > width / 4 and low < middle < high:
            value = function(middle)
            if value >= 0:
                low, at_low = middle, value
            else:
                high, at_high = middle, value
        if not low < low + (high - low) / 2 < high:
            return high


def _probes(low: float, high: float, at_low: float, at_high: float) -> list[float]:
    if not (math.isfinite(at_low) and math.isfinite(at_high)):
        return []
    width = high - low
    secant = low + width * at_low / (at_low - at_high)
    step = max(1e-3 * width, 2 * math.ulp(high))
    return [secant, secant + step, secant - step]
