"""Sums over windows, in registers: every kind of window gives what adding up its entries gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencheck.network.program import Slide
from gencheck.network.windows import Windows
from gencheck.spectral.kernel.bits.plan import BOX, KIND, SLIDE, WIDEST
from gencheck.spectral.kernel.bits.slides import add_slide
from gencheck.spectral.kernel.bits.table import COLUMNS, Slots, Table

pytest.importorskip("numba")


def _summed(source: np.ndarray, slide: Slide, scale: float, constant: float) -> np.ndarray:
    padded = np.append(source, 0.0)
    return constant + scale * padded[slide.reads].sum(axis=1)


def _by_loops(
    source: np.ndarray, slide: Slide, scale: float, constant: float, dtype: str
) -> tuple[np.ndarray, list[int]]:
    """What the loops put into the slide's place, with other maps' entries left as they were."""
    from gencheck.spectral.kernel.bits.box_loops import box
    from gencheck.spectral.kernel.bits.loops import _slide

    class _Program:
        maps = (slide, slide)

    table, slots = Table(), Slots(_Program())  # type: ignore[arg-type]
    first, other = slots.take(0, len(source)), slots.take(7, 5)
    target = slots.take(1, slide.cells)
    add_slide(table, slots, node=slide, target=target, scale=scale, constant=constant)
    # what no loop may read shows in the result
    maps = np.full(slots.size, np.nan, dtype)
    maps[:WIDEST] = 0
    maps[first : first + len(source)] = source
    maps[other : other + 5] = 7
    kinds = []
    for columns, numbers in zip(table.rows, table.numbers, strict=True):
        row = np.zeros(len(COLUMNS), np.int64)
        for column, value in columns.items():
            row[column] = value
        kinds.append(int(row[KIND]))
        scale_, constant_ = (maps.dtype.type(number) for number in numbers)
        (box if row[KIND] == BOX else _slide)(row, scale_, constant_, maps)
    assert (maps[other : other + 5] == 7).all()
    np.testing.assert_array_equal(maps[first : first + len(source)], source.astype(dtype))
    return maps[target : target + slide.cells].astype(float), kinds


def _slide_of(
    extent: tuple[int, int], kernel: int, stride: int, padding: int, groups: int
) -> Slide:
    out = tuple((n + 2 * padding - kernel) // stride + 1 for n in extent)
    windows = Windows(extent, (kernel,) * 2, (stride,) * 2, (padding,) * 2, (1, 1), out)
    return Slide(source=0, groups=groups, windows=windows, bias=True, label="test")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "padding"),
    [(1, 0), (2, 0), (3, 0), (5, 0), (7, 0), (3, 1), (5, 2), (7, 3)],
)
def test_windows_with_loops_of_their_own(
    kernel: int, padding: int, stride: int, dtype: str
) -> None:
    draw = np.random.default_rng(0)
    for width in (7, 8, 15, 16, 17, 28, 31, 32, 33, 34, 37, 56, 63, 64, 65, 112):
        slide = _slide_of((9, width), kernel, stride, padding, groups=2)
        # whole numbers: their sums are exact in any order
        source = draw.integers(-9, 10, 2 * 9 * width).astype(float)
        found, kinds = _by_loops(source, slide, 0.5, 3.0, dtype)
        assert kinds == [BOX]
        np.testing.assert_array_equal(found, _summed(source, slide, 0.5, 3.0), err_msg=str(width))


@pytest.mark.parametrize(
    ("kernel", "padding", "kinds"),
    [(3, (0, 1), [BOX]), (7, (1, 3), [SLIDE, BOX]), (4, (0, 0), [SLIDE])],
)
def test_windows_over_columns_take_each_row_as_a_grid(
    kernel: int, padding: tuple[int, int], kinds: list[int]
) -> None:
    tall = 3 if padding[0] else 1
    extent = (6, 40)
    out = (6 + 2 * padding[0] - tall + 1, 40 + 2 * padding[1] - kernel + 1)
    windows = Windows(extent, (tall, kernel), (1, 1), padding, (1, 1), out)
    slide = Slide(source=0, groups=2, windows=windows, bias=False, label="test")
    source = np.random.default_rng(1).integers(-9, 10, 2 * 6 * 40).astype(float)
    found, done = _by_loops(source, slide, 1.0, 0.0, "float32")
    assert done == kinds
    np.testing.assert_array_equal(found, _summed(source, slide, 1.0, 0.0))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_windows_of_every_kind(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))

    def drawn(least: int, most: int) -> tuple[int, ...]:
        return tuple(data.draw(st.integers(least, most)) for _ in range(axes))

    extent, kernel, stride, dilation = (
        drawn(1, 40 if axes == 1 else 9),
        drawn(1, 7),
        drawn(1, 3),
        drawn(1, 2),
    )
    padding = tuple(data.draw(st.integers(-min(1, n - 1), 4)) for n in extent)
    out = drawn(1, 40 if axes == 1 else 9)
    slide = Slide(
        source=0,
        groups=data.draw(st.integers(1, 2)),
        windows=Windows(extent, kernel, stride, padding, dilation, out),
        bias=True,
        label="test",
    )
    source = np.arange(1.0, 1 + slide.groups * int(np.prod(extent)))
    found, _ = _by_loops(source, slide, 2.0, -1.0, "float64")
    np.testing.assert_array_equal(found, _summed(source, slide, 2.0, -1.0))
