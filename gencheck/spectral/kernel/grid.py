"""Index arrays recognised as regular grids, so that tensors are read as views and not copied."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.network.windows import Index

# Grids of more levels than this (groups, axes, a window) are not looked for.
_LEVELS = 5


@dataclass(frozen=True)
class Grid:
    """Index arrays of one length n = Π sizes, each ``start + Σ_l i_l · strides[l]``.

    Attributes
    ----------
    sizes
        The outermost level first; common to all arrays.
    starts, strides
        By array.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    def view(self, array: int, tensor: Tensor, axis: int = 0, levels: int | None = None) -> Tensor:
        """The entries that array number `array` chooses on `axis` of `tensor`, as a view.

        That axis is replaced by the levels of the grid, or by the outermost `levels` of them.
        """
        step = tensor.stride(axis)
        sizes = (*tensor.shape[:axis], *self.sizes[:levels], *tensor.shape[axis + 1 :])
        own = tuple(step * stride for stride in self.strides[array][:levels])
        strides = (*tensor.stride()[:axis], *own, *tensor.stride()[axis + 1 :])
        first = tensor.storage_offset() + step * self.starts[array]
        return torch.as_strided(tensor, sizes, strides, first)


def common_grid(*arrays: Index) -> Grid | None:
    """The grid that all `arrays`, of one length, lie on; None where they lie on none."""
    rest = np.stack(arrays)
    if rest.shape[1] == 0 or bool((rest < 0).any()):
        return None
    starts = tuple(int(first) for first in rest[:, 0])
    sizes: list[int] = []
    strides: list[Index] = []
    while rest.shape[1] > 1:
        if len(sizes) == _LEVELS:
            return None
        step = rest[:, 1] - rest[:, 0]
        if bool((step < 0).any()):
            # a view cannot run backwards
            return None
        breaks = np.flatnonzero((np.diff(rest) != step[:, None]).any(0))
        run = int(breaks[0]) + 1 if len(breaks) else rest.shape[1]
        if rest.shape[1] % run:
            return None
        rows = rest.reshape(len(rest), -1, run)
        if bool((rows - rows[:, :, :1] != (np.arange(run) * step[:, None])[:, None, :]).any()):
            return None
        sizes.append(run)
        strides.append(step)
        rest = rows[:, :, 0]
    levels = tuple(zip(*(s.tolist() for s in reversed(strides)), strict=True)) if strides else ()
    if not sizes:
        return Grid((1,), starts, tuple((0,) for _ in arrays))
    return Grid(tuple(reversed(sizes)), starts, levels)
