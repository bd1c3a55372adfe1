"""Operations for maps whose cells sum windows of another map."""

import numpy as np

from gencheck.network.program import Slide
from gencheck.network.windows import Windows
from gencheck.spectral.kernel.bits.plan import BOX, SLIDE
from gencheck.spectral.kernel.bits.table import Slots, Table

Axes = tuple[int, ...]


def add_slide(
    table: Table, slots: Slots, node: Slide, target: int, scale: float, constant: float
) -> None:
    """Operations for windows over all axes: the last two in one where they can be, the others apart."""
    windows = node.windows
    source, extent = slots.at[node.source], list(windows.extent)
    apart = _apart(windows)
    steps = [axes for axes in apart if any(_moves(windows, axis) for axis in axes)] or apart[-1:]
    for number, axes in enumerate(steps):
        last = number == len(steps) - 1
        for axis in axes:
            extent[axis] = windows.out[axis]
        cells = node.groups * int(np.prod(extent))
        into = target if last else slots.scratch(cells)
        outer = node.groups * int(np.prod(extent[: axes[0]]))
        numbers = (scale, constant) if last else (1.0, 0.0)
        if _is_boxed(windows, axes):
            add_box(table, outer, windows, axes, numbers, target=into, source=source)
        else:
            (axis,) = axes
            inner = int(np.prod(extent[axis + 1 :]))
            places = {"target": into, "source": source, "outer": outer, "inner": inner}
            own = {"dilation": windows.dilation[axis], **_of_axis(windows, axis)}
            table.add(numbers[0], numbers[1], kind=SLIDE, **places, **own)
        source = into
    slots.drop_scratch()


def add_box(
    table: Table,
    outer: int,
    windows: Windows,
    axes: Axes,
    numbers: tuple[float, float],
    **places: int,
) -> None:
    """One operation for windows over the last two axes, or over the last: then each row is a grid."""
    rows, (scale, constant) = axes[:-1], numbers
    table.add(
        scale,
        constant,
        kind=BOX,
        outer=outer,
        row_read=windows.extent[rows[0]] if rows else 1,
        row_written=windows.out[rows[0]] if rows else 1,
        **places,
        **_of_axis(windows, axes[-1]),
    )


def _of_axis(windows: Windows, axis: int) -> dict[str, int]:
    return {
        "read": windows.extent[axis],
        "written": windows.out[axis],
        "kernel": windows.kernel[axis],
        "stride": windows.stride[axis],
        "padding": windows.padding[axis],
    }


def _apart(windows: Windows) -> list[Axes]:
    """The axes, each by itself, but for the last two where one operation takes both."""
    count = len(windows.extent)
    plane = (count - 2, count - 1)
    if count > 1 and _is_boxed(windows, plane):
        return [*((axis,) for axis in range(count - 2)), plane]
    return [(axis,) for axis in range(count)]


def _moves(windows: Windows, axis: int) -> bool:
    same = windows.extent[axis] == windows.out[axis] and windows.stride[axis] == 1
    return not (same and windows.kernel[axis] == 1 and windows.padding[axis] == 0)


def _is_boxed(windows: Windows, axes: Axes) -> bool:
    """True where there are loops for the windows over the last axes: alike on both, not dilated.

    They start with the grid, or stand around its entries with zeros on every side.
    """
    sizes = zip(windows.kernel, windows.stride, windows.padding, windows.dilation, strict=True)
    kinds = {kind for axis, kind in enumerate(sizes) if axis in axes}
    if len(kinds) > 1 or axes[-1] != len(windows.extent) - 1:
        return False
    ((kernel, stride, padding, dilation),) = kinds
    starts = padding == 0 and kernel in (1, 2, 3, 5, 7)
    around = kernel in (3, 5, 7) and padding == kernel // 2
    return dilation == 1 and stride <= 2 and (starts or around)
