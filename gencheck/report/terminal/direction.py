"""Where on the input the path direction of β1 lies, drawn in characters."""

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gencheck.audit.image_grid import Picture
from gencheck.report.json import Document

# From no energy to the most; they need no colour.
_SHADES = " ░▒▓█"

# A picture is at most so many characters wide; a character is twice as tall as wide.
_COLUMNS = 56

# Pictures of so few rows are drawn with two characters a cell instead.
_FEW_ROWS = 16

# Where there is no picture, so many coordinates are named.
_NAMED = 5


def direction_section(doc: Document) -> list[RenderableType]:
    """The picture, or the coordinates with the most energy; nothing where there is no direction."""
    found = doc["direction"]
    if not found["items"]:
        return []
    energy = np.array(found["energy"])
    inside = float(energy.sum())
    where = f"{inside:.1%} on paths from the input, {found['elsewhere']:.1%} on paths from biases"
    if found["captured"] < 0.9995:
        where += f"; seen from {found['items']:,} items, which hold {found['captured']:.1%} of it"
    lines = [f"Where on the input that path direction lies: {where}."]
    if found["shape"] is None or not inside > 0:
        largest = np.argsort(-energy, kind="stable")[:_NAMED]
        named = ", ".join(f"{j} ({energy[j]:.1%})" for j in largest if energy[j] > 0)
        lines.append(f"Coordinates with the most of it: {named}.")
        return [Text("\n".join(lines), style="dim")]
    picture = Picture(tuple(found["shape"]), found["channel_axis"])
    drawn = Text("\n".join(shaded(picture.grid(energy))), no_wrap=True)
    lines.append("The darker, the more; a blank has less than a sixty-fourth of the most.")
    return [Padding(drawn, (1, 0, 1, 2)), Group(Text("\n".join(lines), style="dim"))]


def shaded(grid: NDArray[np.float64]) -> list[str]:
    """Rows of characters, each cell shaded by the square root of its energy; no trailing blanks."""
    rows, columns = grid.shape
    if 1 < rows <= _FEW_ROWS and 2 * columns <= _COLUMNS:
        grid, tall, wide = grid.repeat(2, 1), 1, 1
    else:
        wide = -(-columns // _COLUMNS)
        tall = 2 * wide if rows > 1 else 1
    # means, so that a cell at the edge is not darker for being whole
    cells = _means(_means(grid, wide, 1), tall, 0)
    level = np.sqrt(cells / cells.max())
    index = np.ceil(level * (len(_SHADES) - 1) - 0.5).astype(int).clip(0, len(_SHADES) - 1)
    return ["".join(_SHADES[i] for i in row).rstrip() for row in index]


def _means(grid: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    starts = np.arange(0, grid.shape[axis], size)
    counts = np.diff(np.append(starts, grid.shape[axis]))
    sums: NDArray[np.float64] = np.add.reduceat(grid, starts, axis)
    return sums / (counts if axis == 1 else counts[:, None])
