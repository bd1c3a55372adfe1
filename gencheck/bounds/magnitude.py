"""Numbers of any magnitude: path norms and kernels of deep networks leave the range of floats."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Magnitude:
    """The number ``mantissa · 2**exponent``, with the mantissa 0 or in ±[½, 1)."""

    mantissa: float
    exponent: int

    @staticmethod
    def of(value: float, exponent: int = 0) -> "Magnitude":
        """``value · 2**exponent``."""
        mantissa, own = math.frexp(value)
        return Magnitude(mantissa, own + exponent if mantissa else 0)

    @staticmethod
    def from_log2(logarithm: float) -> "Magnitude":
        """``2**logarithm``; zero for −inf."""
        if logarithm == -math.inf:
            return Magnitude(0.0, 0)
        whole = math.floor(logarithm)
        return Magnitude.of(2.0 ** (logarithm - whole), whole)

    def __mul__(self, other: "Magnitude") -> "Magnitude":
        return Magnitude.of(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __add__(self, other: "Magnitude") -> "Magnitude":
        high, low = sorted((self, other), key=lambda m: (m.mantissa != 0, m.exponent), reverse=True)
        shift = low.exponent - high.exponent
        return Magnitude.of(high.mantissa + math.ldexp(low.mantissa, shift), high.exponent)

    def __le__(self, other: "Magnitude") -> bool:
        return (self + Magnitude(-other.mantissa, other.exponent)).mantissa <= 0

    def sqrt(self) -> "Magnitude":
        """The square root of a number that is not negative."""
        odd = self.exponent % 2
        return Magnitude.of(math.sqrt(math.ldexp(self.mantissa, odd)), (self.exponent - odd) // 2)

    def __float__(self) -> float:
        """The number as a float; infinite where its magnitude is past a float's range."""
        try:
            return math.ldexp(self.mantissa, self.exponent)
        except OverflowError:
            return math.copysign(math.inf, self.mantissa)

    def log10(self) -> float:
        """The base-10 logarithm of the magnitude; −inf for zero."""
        if self.mantissa == 0:
            return -math.inf
        return math.log10(abs(self.mantissa)) + self.exponent * math.log10(2)


def smallest(*values: Magnitude) -> Magnitude:
    """The smallest of the values."""
    least = values[0]
    for value in values[1:]:
        if value <= least:
            least = value
    return least


def total(values: list[Magnitude]) -> Magnitude:
    """The sum of the values."""
    result = Magnitude(0.0, 0)
    for value in values:
        result = result + value
    return result
