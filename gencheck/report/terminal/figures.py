"""Numbers as the terminal's reports show them."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def shown(value: float | None, log10: float | None = None) -> str:
    """A number in at most ten characters; a magnitude past a float's range as a power of ten."""
    if value is not None:
        return f"{value:.4g}"
    return "n/a" if log10 is None else f"10^{log10:.1f}"


def decimals_for(values: list[float]) -> int:
    """Six, or as many as the smallest of `values` needs to show three digits."""
    smallest = min((abs(value) for value in values if value), default=1.0)
    return min(max(6, 2 - math.floor(math.log10(smallest))), 15)


def at_most(risk: float, decimals: int) -> str:
    """A bound in `decimals` places, rounded up: rounded down it would not be a bound."""
    if abs(risk) >= 1e6:
        return f"{risk:.6e}"
    text = f"{risk:.{decimals}f}"
    return text if float(text) >= risk else f"{risk + 10.0**-decimals:.{decimals}f}"


def rounded(value: float, digits: int, up: bool) -> str:
    """`value` in so many digits, rounded up or down: the end of an interval must not lie inside it."""
    text = f"{value:.{digits}g}"
    if math.isfinite(value) and (float(text) < value if up else float(text) > value):
        exact = Decimal(value)
        unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
        text = f"{float(exact.quantize(unit, ROUND_CEILING if up else ROUND_FLOOR)):.{digits}g}"
    return text


def confidence_text(delta: float) -> str:
    """1 − δ, in a form that does not round it to 1."""
    return f"{1 - delta:.6g}" if delta >= 1e-5 else f"1 − {delta:.3g}"
