"""What an item decides about each node: planes of gates, from the values that enter it."""

from itertools import product
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from gencheck.network.activations import SMOOTH
from gencheck.network.computed import Computed
from gencheck.network.ir import AvgPool, Clamp, Gate, MaxPool
from gencheck.network.on_device import on_device
from gencheck.network.scaled import Scaled
from gencheck.network.windows import Index, Windows

# The planes of one node's gates, each of shape (N, *shape); None where a plane is 1 everywhere.
Planes: TypeAlias = list[Tensor]
GatedNode: TypeAlias = Gate | Clamp | MaxPool | Computed


def taps_of(tensor: Tensor, reads: Index, fill: float) -> Tensor:
    """What windows read: from (N, C, positions) to (N, C, taps, windows), `fill` where nothing."""
    padded = functional.pad(tensor, (0, 1), value=fill)
    index = on_device(reads, tensor)
    # one that is outside reads the last entry
    index = torch.where(index < 0, tensor.shape[2], index)
    # a gather, since the gradient of indexing adds one entry at a time
    flat = index.flatten().expand(*padded.shape[:2], -1)
    return torch.gather(padded, 2, flat).reshape(*padded.shape[:2], *index.shape)


def channels_of(node: MaxPool | AvgPool, windows: int) -> int:
    """The channels of a pool with so many windows in each."""
    return prod(node.shape) // windows


def window_taps(tensor: Tensor, windows: Windows, fill: float) -> list[Tensor]:
    """For each tap what the windows read there, shape (N, C, windows), `fill` outside the grid.

    The taps of sliding windows lie on grids of their own: slices, several times as fast as a gather.
    """
    padded = functional.pad(
        tensor.reshape(len(tensor), -1, *windows.extent), windows.pads, value=fill
    )
    ends = zip(windows.kernel, windows.dilation, windows.stride, windows.out, strict=True)
    axes = [
        [slice(tap * d, tap * d + s * (count - 1) + 1, s) for tap in range(taps)]
        for taps, d, s, count in ends
    ]
    return [padded[(slice(None), slice(None), *place)].flatten(2) for place in product(*axes)]


def _first_largest(taps: list[Tensor]) -> Planes:
    """Of each window which tap is a largest one, the first of several."""
    largest = taps[0]
    for tap in taps[1:]:
        largest = torch.maximum(largest, tap)
    planes, still = [], torch.ones_like(largest, dtype=torch.bool)
    for tap in taps:
        planes.append((tap == largest) & still)
        still = still & ~planes[-1]
    return planes


def decided(node: GatedNode, value: Scaled) -> Planes:
    """The planes that the values entering decide: boolean for gates of two values, real for smooth ones.

    A gate's plane is true where x > 0. The planes of a `Clamp` say where x lies, those of a
    `MaxPool`, each of shape (N, channels, windows), which tap is a largest one.
    """
    if isinstance(node, Computed):
        raise TypeError("the gates of a computed node are not decided by what enters it")
    if isinstance(node, MaxPool):
        return _first_largest(window_taps(value.mantissa, node.windows, -torch.inf))
    if isinstance(node, Clamp):
        plain = value.plain()
        above, below = plain >= node.high, plain <= node.low
        return [~(above | below), above, below][: node.planes]
    if node.kind in SMOOTH:
        return [SMOOTH[node.kind](value.plain())]
    return [value.mantissa > 0]


def gate_values(node: GatedNode, plane: Tensor, like: Tensor) -> Tensor:
    """Gates as numbers from a plane that `decided` made: slopes where a ReLU's kin is not active."""
    if plane.dtype != torch.bool:
        return plane.to(like)
    if not isinstance(node, Gate) or node.slope is None or not node.leaks:
        return plane.to(like)
    # from numbers of the run's own dtype: a slope rounded to float32 would cost float64 runs digits
    slope = on_device(node.slope, like, like.dtype)
    return torch.where(plane, like.new_ones(()), slope)
