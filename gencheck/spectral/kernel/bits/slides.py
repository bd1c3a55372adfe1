"""Operations for maps whose cells sum windows of another map."""

import numpy as np

from gencheck.network.program import Slide
from gencheck.network.windows import Windows
from gencheck.spectral.kernel.bits.plan import BOX, SLIDE
from gencheck.spectral.kernel.bits.table import Slots, Table


def add_slide(
    table: Table, slots: Slots, node: Slide, target: int, scale: float, constant: float
) -> None:
    """One operation for the last two axes, and one for each before them."""
    windows = node.windows
    source, extent = slots.at[node.source], list(windows.extent)
    plane = len(extent) - 2 if _is_boxed(windows) else len(extent)
    axes = [a for a in range(plane) if _moves(windows, a)]
    if plane == len(extent) and not axes:
        axes = [0]
    for count, axis in enumerate(axes):
        last = plane == len(extent) and count == len(axes) - 1
        extent[axis] = windows.out[axis]
        cells = node.groups * int(np.prod(extent))
        into = target if last else slots.scratch(cells)
        inner = int(np.prod(extent[axis + 1 :]))
        table.add(
            scale if last else 1.0,
            constant if last else 0.0,
            kind=SLIDE,
            target=into,
            source=source,
            outer=cells // (windows.out[axis] * inner),
            read=windows.extent[axis],
            written=windows.out[axis],
            inner=inner,
            kernel=windows.kernel[axis],
            stride=windows.stride[axis],
            padding=windows.padding[axis],
            dilation=windows.dilation[axis],
        )
        source = into
    if plane < len(extent):
        outer = node.groups * int(np.prod(extent[:plane]))
        add_box(table, outer, windows, scale, constant, target=target, source=source)
    slots.drop_scratch()


def _moves(windows: Windows, axis: int) -> bool:
    same = windows.extent[axis] == windows.out[axis] and windows.stride[axis] == 1
    return not (same and windows.kernel[axis] == 1 and windows.padding[axis] == 0)


def _is_boxed(windows: Windows) -> bool:
    """True where there are loops for the windows over the last two axes: squares, not dilated.

    They start with the grid, or stand around its entries with zeros on every side.
    """
    if len(windows.extent) < 2:
        return False
    last = (windows.kernel, windows.stride, windows.padding, windows.dilation)
    if any(sizes[-2] != sizes[-1] for sizes in last):
        return False
    kernel, padding = windows.kernel[-1], windows.padding[-1]
    starts = padding == 0 and kernel in (1, 2, 3, 5, 7)
    around = kernel in (3, 5, 7) and padding == kernel // 2
    return windows.dilation[-1] == 1 and windows.stride[-1] <= 2 and (starts or around)


def add_box(
    table: Table, outer: int, windows: Windows, scale: float, constant: float, **places: int
) -> None:
    """One operation for windows over the last two axes."""
    table.add(
        scale,
        constant,
        kind=BOX,
        outer=outer,
        row_read=windows.extent[-2],
        row_written=windows.out[-2],
        read=windows.extent[-1],
        written=windows.out[-1],
        kernel=windows.kernel[-1],
        stride=windows.stride[-1],
        padding=windows.padding[-1],
        **places,
    )
