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

    def wide(self) -> Tensor:
        """The numbers themselves in float64, infinite where they overflow that."""
        wide = self.mantissa.double()
        return wide if self.exponent == 0 else torch.ldexp(wide, torch.tensor(self.exponent))


def rescaled(mantissa: Tensor, exponent: int) -> Scaled:
    """The same value, brought back to around 1 where it has left a range of powers of two."""
    peak = float(_peak(mantissa.detach())) if mantissa.numel() else 0.0
    if peak == 0 or not torch.isfinite(torch.tensor(peak)):
        return Scaled(mantissa, exponent)
    shift = int(torch.frexp(torch.tensor(peak, dtype=torch.float64)).exponent)
    if abs(shift) <= _EXPONENT_RANGE:
        return Scaled(mantissa, exponent)
    return Scaled(torch.ldexp(mantissa, torch.tensor(-shift)), exponent + shift)


def _peak(mantissa: Tensor) -> Tensor:
    """The largest magnitude, in one pass and without a copy; NaN where there is one."""
    low, high = torch.aminmax(mantissa)
    return torch.maximum(-low, high)


class Unscaled:
    """Leaves values as they are, and watches on their device whether one should have been rescaled.

    `rescaled` reads each layer's largest value back, for which a device must come to rest. Where no
    value leaves the range, which is almost always, both give the same bits; where `left` is true,
    what was computed is to be computed again with `rescaled`.

    Attributes
    ----------
    left
        One boolean on the device.
    """

    def __init__(self, like: Tensor) -> None:
        self.left = like.new_zeros((), dtype=torch.bool)

    def __call__(self, mantissa: Tensor, exponent: int) -> Scaled:
        """The value itself."""
        if mantissa.numel():
            peak = _peak(mantissa.detach())
            inside = (peak >= 2.0 ** -(_EXPONENT_RANGE + 1)) & (peak < 2.0**_EXPONENT_RANGE)
            self.left |= ~(inside | (peak == 0))
        return Scaled(mantissa, exponent)


def at_exponent(value: Scaled, exponent: int) -> Tensor:
    """The mantissa that the value has at another exponent."""
    if value.exponent == exponent:
        return value.mantissa
    return torch.ldexp(value.mantissa, torch.tensor(value.exponent - exponent))
