"""Where the windows of convolutions and pools read: index arithmetic, once for all dimensions."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Extent = tuple[int, ...]

# Positions that an item's tensor, or the windows over one, may have: an index of 2 GiB.
MOST_UNITS = 2**28


@dataclass(frozen=True)
class Windows:
    """Windows that slide over a grid.

    Attributes
    ----------
    extent, out
        Sizes of the grid that is read and of the grid of windows, by axis.
    kernel, stride, dilation
        By axis.
    padding
        How far the first window starts before the grid, by axis; what lies outside is absent.
    """

    extent: Extent
    kernel: Extent
    stride: Extent
    padding: Extent
    dilation: Extent
    out: Extent

    @property
    def taps(self) -> int:
        """The number of positions of one window."""
        return prod(self.kernel)

    @property
    def is_identity(self) -> bool:
        """True where each window is the one position of its own."""
        return self.taps == 1 and self.extent == self.out and not any(self.padding)

    def reads(self, axis: int, tap: int) -> Index:
        """What each window reads on one axis at one tap: shape (out,), outside the grid included."""
        first = tap * self.dilation[axis] - self.padding[axis]
        return first + self.stride[axis] * np.arange(self.out[axis])

    @cached_property
    def sources(self) -> Index:
        """The flat position that each window reads at each tap, −1 outside. Shape (taps, windows)."""
        flat = np.zeros((1, 1), np.int64)
        for axis, size in enumerate(self.extent):
            reads = np.stack([self.reads(axis, tap) for tap in range(self.kernel[axis])])
            inside = (reads >= 0) & (reads < size)
            joined = flat[:, None, :, None] * size + reads[None, :, None, :]
            known = (flat >= 0)[:, None, :, None] & inside[None, :, None, :]
            flat = np.where(known, joined, -1).reshape(len(flat) * len(reads), -1)
        return flat

    @property
    def is_padded_alike(self) -> bool:
        """True where `padding` before and after each axis gives these windows, as torch counts them."""
        reach = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
        rooms = (n + 2 * p - r for n, p, r in zip(self.extent, self.padding, reach, strict=True))
        counts = tuple(room // step + 1 for room, step in zip(rooms, self.stride, strict=True))
        return min(self.padding) >= 0 and counts == self.out

    @property
    def pads(self) -> list[int]:
        """Zeros before and after each axis, the last axis first, as torch pads; negative: cropped."""
        amounts: list[int] = []
        for axis in reversed(range(len(self.extent))):
            last = int(self.reads(axis, self.kernel[axis] - 1)[-1])
            amounts += [self.padding[axis], last + 1 - self.extent[axis]]
        return amounts


def sliding(
    extent: Extent,
    kernel: Extent,
    stride: Extent,
    padding: Extent,
    dilation: Extent,
    ceil_mode: bool = False,
    after: Extent | None = None,
) -> Windows:
    """The windows of a layer, counted as torch counts them.

    Parameters
    ----------
    ceil_mode
        True where a last, incomplete window counts, if it starts inside the grid or its padding.
    after
        The padding behind each axis, where it differs from the padding before.

    Raises
    ------
    ValueError
        There is no window.
    """
    after = padding if after is None else after
    out = []
    for size, k, s, low, high, d in zip(
        extent, kernel, stride, padding, after, dilation, strict=True
    ):
        room = size + low + high - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= size + low:
            count -= 1
        out.append(count)
    if min(out) < 1:
        raise ValueError(f"windows of {kernel} do not fit into {extent}")
    if prod(out) * prod(kernel) > MOST_UNITS:
        raise ValueError(f"{prod(out)} windows of {kernel}, more than can be held")
    return Windows(
        extent=extent,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        out=tuple(out),
    )


def adaptive_sources(extent: Extent, out: Extent) -> Index:
    """What each bin of an adaptive pool reads: position ⌊i·n/out⌋ to ⌈(i+1)·n/out⌉ by axis.

    Returns
    -------
    Index
        Shape (taps, bins), −1 where a bin is smaller than the largest.
    """
    flat = np.zeros((1, 1), np.int64)
    for size, bins in zip(extent, out, strict=True):
        first = np.arange(bins) * size // bins
        stop = -(-(np.arange(bins) + 1) * size // bins)
        reads = first + np.arange(int((stop - first).max()))[:, None]
        joined = flat[:, None, :, None] * size + reads[None, :, None, :]
        known = (flat >= 0)[:, None, :, None] & (reads < stop)[None, :, None, :]
        flat = np.where(known, joined, -1).reshape(len(flat) * len(reads), -1)
    return flat


def by_axis(value: Any, rank: int) -> Extent:
    """An argument as one number for each axis: torch writes ``[2]`` for ``[2, 2]``."""
    numbers = tuple(int(v) for v in (value if isinstance(value, list | tuple) else [value]))
    return numbers * rank if len(numbers) == 1 else numbers
