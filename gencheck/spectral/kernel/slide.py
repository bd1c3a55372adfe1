"""The box filter that slides a window over the cells of a map, one axis at a time."""

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import Slide


def axis_order(node: Slide) -> list[int]:
    """The axes of a window that do something, those that shrink the map most first."""
    windows = node.windows
    active = [
        axis
        for axis in range(len(windows.extent))
        if windows.kernel[axis] > 1
        or windows.extent[axis] != windows.out[axis]
        or windows.padding[axis]
        or windows.stride[axis] != 1
    ]
    ratio = {axis: windows.out[axis] / windows.extent[axis] for axis in active}
    return sorted(active, key=ratio.__getitem__) or [0]


def sum_axis(
    value: Tensor, target: Tensor, node: Slide, axis: int, scale: float, constant: float
) -> None:
    """target(r) = constant + scale · Σ_tap value(reads(r)) along one axis, inside the grid."""
    windows, dim = node.windows, axis + 1
    parts = []
    for tap in range(windows.kernel[axis]):
        reads = windows.reads(axis, tap)
        inside = np.flatnonzero((reads >= 0) & (reads < windows.extent[axis]))
        if len(inside):
            first, count = int(inside[0]), len(inside)
            span = int(reads[inside[-1]] - reads[first]) + 1
            index = (*[slice(None)] * dim, slice(None, None, windows.stride[axis]))
            source = value.narrow(dim, int(reads[first]), span)[index]
            parts.append((target.narrow(dim, first, count), source))
    start: Tensor | None = target.new_full((), constant)
    # a tap that every window has writes first, so that nothing need be set before
    parts.sort(key=lambda part: -part[0].shape[dim])
    if not parts or parts[0][0].shape[dim] < windows.out[axis]:
        target.fill_(constant)
        start = None
    for part, source in parts:
        torch.add(part if start is None else start, source, alpha=scale, out=part)
        start = None
