"""Checks of numbers that a user gave."""

import math

from gencheck.errors import InputError


def require_between(
    where: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """`value`, where it lies between `low` and `high`; an end that is open is excluded.

    Raises
    ------
    InputError
        It does not, or is NaN or infinite.
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if math.isfinite(number) and above and below:
        return value
    left = f"{'above' if open_low else 'at least'} {low:g}"
    right = "" if math.isinf(high) else f" and {'below' if open_high else 'at most'} {high:g}"
    raise InputError(where=where, found=f"{number:g}", required=f"a finite number {left}{right}")


# Beyond, floats have gaps between whole numbers.
LARGEST_COUNT = 2**53


def whole_number(where: str, text: str) -> int:
    """The whole number that `text` means: ``10000``, ``1e6``.

    Raises
    ------
    InputError
        It is not a whole number from 1 to 2⁵³.
    """
    try:
        value = float(text)
        number = int(text) if text.strip().isdigit() else int(value)
    except (ValueError, OverflowError):
        value, number = math.nan, 0
    if not 1 <= number <= LARGEST_COUNT or number != value:
        raise InputError(
            where=where,
            found=repr(text),
            required="a whole number from 1 to 9e15, such as 10000 or 1e6",
        )
    return number


def log_of_count(where: str, text: str) -> float:
    """Ln of the number that `text` means: ``20``, ``1e9``, ``1e400``, ``10^300``, ``e^100000``.

    Raises
    ------
    InputError
        It is not a number of at least 1.
    """
    plain = _float(text)
    if 1 <= plain < math.inf:
        return math.log(plain)
    # decimal is slow to import, and only numbers past floats need it
    from decimal import Decimal, InvalidOperation

    base, power, exponent = (part.strip() for part in text.partition("^"))
    try:
        if power:
            logarithm = 1.0 if base == "e" else float(Decimal(base).ln())
            logarithm *= float(exponent)
        else:
            logarithm = float(Decimal(base).ln())
    except (InvalidOperation, ValueError, OverflowError):
        logarithm = math.nan
    if not (math.isfinite(logarithm) and logarithm >= 0):
        raise InputError(
            where=where,
            found=repr(text),
            required="a number of at least 1, such as 20, 1e9, 1e400, 10^300 or e^100000",
        )
    return logarithm


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
