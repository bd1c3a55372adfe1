"""Tensors that carry a power of two, so that deep networks neither overflow nor underflow."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Values are brought back to around 1 once they leave this range of powers of two.
_EXPONENT_RANGE = 32


@dataclass(frozen=True)
class Scaled:
    """The tensor ``mantissa · 2**exponent`` of shape (N, *shape), for each of N items."""

    mantissa: Tensor
    exponent: int

    def log2(self) -> Tensor:
        """Elementwise base-2 logarithm of the magnitude; −inf where zero."""
        return self.mantissa.abs().log2() + self.exponent

    def plain(self) -> Tensor:
        """The numbers themselves, infinite where they overflow."""
        if self.exponent == 0:
            return self.mantissa
        return torch.ldexp(self.mantissa, torch.tensor(self.exponent))


def rescaled(mantissa: Tensor, exponent: int) -> Scaled:
    """The same value, brought back to around 1 where it has left a range of powers of two."""
    peak = _peak(mantissa.detach()) if mantissa.numel() else 0.0
    if peak == 0 or not torch.isfinite(torch.tensor(peak)):
        return Scaled(mantissa, exponent)
    shift = int(torch.frexp(torch.tensor(peak, dtype=torch.float64)).exponent)
    if abs(shift) <= _EXPONENT_RANGE:
        return Scaled(mantissa, exponent)
    return Scaled(torch.ldexp(mantissa, torch.tensor(-shift)), exponent + shift)


def _peak(mantissa: Tensor) -> float:
    """The largest magnitude, in one pass and without a copy; NaN where there is one."""
    low, high = torch.aminmax(mantissa)
    return float(torch.maximum(-low, high))


def at_exponent(value: Scaled, exponent: int) -> Tensor:
    """The mantissa that the value has at another exponent."""
    if value.exponent == exponent:
        return value.mantissa
    return torch.ldexp(value.mantissa, torch.tensor(value.exponent - exponent))
