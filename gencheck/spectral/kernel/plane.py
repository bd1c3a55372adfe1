"""Gates as they are kept: one bit each, or numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import channels_last
from gencheck.network.windows import Index


@dataclass(frozen=True)
class Plane:
    """One plane of a node's gates for N items.

    Attributes
    ----------
    stored
        For gates of two values, bits of shape (N, ⌈width/8⌉) in bytes; else numbers (N, width).
        Channels come last, so that the channels at one position lie side by side.
    width
        The number of gates of one item.
    channels
        How many of them are at one position.
    slope
        What an inactive gate is worth, shape (width,), channels last; None for 0.
    """

    stored: Tensor
    width: int
    channels: int
    slope: Tensor | None

    def places(self, units: Index) -> Index:
        """Where flat units, counted with channels first, are stored; −1 stays."""
        return channels_last(units, self.width, self.channels)

    @property
    def is_binary(self) -> bool:
        """True where every gate is 0 or 1."""
        return self.stored.dtype == torch.uint8 and self.slope is None

    def values(self, rows: slice | Tensor) -> Tensor:
        """The gates of some items, shape (n, width): booleans, or numbers where there are others."""
        if self.stored.dtype != torch.uint8:
            return self.stored[rows]
        active = unpacked(self.stored[rows], self.width)
        if self.slope is None:
            return active
        return torch.where(active, self.slope.new_ones(()), self.slope)


def _powers(device: torch.device) -> Tensor:
    """128, 64, …, 1, made on the device: an upload would hold it up."""
    return torch.arange(7, -1, -1, device=device).exp2().to(torch.uint8)


def unpacked(stored: Tensor, width: int) -> Tensor:
    """Bits as `packed` makes them, as booleans of shape (N, width)."""
    if stored.device.type == "cpu":
        bits = np.unpackbits(stored.numpy(), axis=1, count=width)
        return torch.from_numpy(bits.view(np.bool_))
    return (stored[:, :, None] & _powers(stored.device)).ne(0).flatten(1)[:, :width]


def packed(active: Tensor) -> Tensor:
    """Booleans of shape (N, width) as bits, eight in a byte."""
    if active.device.type == "cpu":
        return torch.from_numpy(np.packbits(active.numpy(), axis=1))
    padded = torch.nn.functional.pad(active, (0, -active.shape[1] % 8))
    return (padded.view(len(active), -1, 8) * _powers(active.device)).sum(2, dtype=torch.uint8)
