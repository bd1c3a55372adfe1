"""An item as a picture of small size, for reports."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gencheck.audit.image_grid import Picture

# Longer sides would make a report heavy; shorter ones are no picture.
_SIDES = range(2, 257)

# Grey and colour.
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class ItemPicture:
    """Rows of pixels of 8 bits, top first; of each pixel its one or three channels."""

    height: int
    width: int
    channels: int
    pixels: bytes


def item_picture(values: NDArray[np.float64], picture: Picture | None) -> ItemPicture | None:
    """The picture that flat values are; None where they are none, or one too large for a report.

    Numbers in [0, 1] are taken as brightness; where some lie outside, those of this item are
    stretched to it from their smallest to their largest.
    """
    if picture is None:
        return None
    whole = values.reshape(picture.shape)
    axis = picture.channel_axis
    whole = whole[..., None] if axis is None else np.moveaxis(whole, axis, -1)
    height, width, channels = whole.shape
    if channels not in _CHANNELS or height not in _SIDES or width not in _SIDES:
        return None
    low, high = float(whole.min()), float(whole.max())
    if low < 0 or high > 1:
        # halves, because the difference of two floats can be past their range
        whole = (whole / 2 - low / 2) / (high / 2 - low / 2 or 1)
    pixels = np.rint(255 * whole).astype(np.uint8)
    return ItemPicture(height, width, channels, pixels.tobytes())
