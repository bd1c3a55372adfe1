"""How the coordinates of an item lie in a picture, where they do."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]

# Gray, gray with alpha, colour, colour with alpha.
_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Picture:
    """Rows and columns of the coordinates, in row-major order of `shape`.

    Attributes
    ----------
    shape
        Two axes, or three with one of channels.
    channel_axis
        Which of the three; None where there are two.
    """

    shape: Shape
    channel_axis: int | None

    def grid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Flat values by coordinate as rows and columns, the channels added up."""
        whole = values.reshape(self.shape)
        return whole if self.channel_axis is None else whole.sum(self.channel_axis)


def picture_of(entering: Shape, stored: Shape | None = None) -> Picture | None:
    """The picture that items of the shape `entering` are, None where they are none.

    Parameters
    ----------
    stored
        The shape that flat items had in their file, row by row; None where that is not known.
    """
    shape = entering
    if len(entering) == 1 and stored is not None and prod(stored) == entering[0]:
        shape = stored
        if len(shape) == 3 and shape[2] in _CHANNELS and shape[0] not in _CHANNELS:
            return Picture(shape, 2)
    if len(shape) == 3:
        return Picture(shape, 0)
    return Picture(shape, None) if len(shape) == 2 else None
