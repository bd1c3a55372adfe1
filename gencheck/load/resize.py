"""Images brought to one size, as the model saw them in training."""

import re
from dataclasses import dataclass

import numpy as np

from gencheck.errors import InputError, needing
from gencheck.load.split import Array

# The axis of channels of an image is as long as this at most.
_MOST_CHANNELS = 4

# A side beyond is a mistake.
_LONGEST = 1 << 14


@dataclass(frozen=True)
class Resize:
    """Images of `height` × `width`, by Pillow's bilinear filter, widened where it shrinks an image.

    Each channel is resized on its own: unsigned bytes stay such, other numbers are taken as float32.
    For grey and colour images this is what ``torchvision.transforms.Resize((height, width))`` makes
    of one opened by Pillow.
    """

    height: int
    width: int

    @property
    def words(self) -> str:
        """What is done, for the record."""
        return f"images resized to {self.height} × {self.width} (bilinear, antialiased)"

    def applied(self, image: Array, where: str) -> Array:
        """An image of shape (H, W), (H, W, C) or (C, H, W), resized.

        Raises
        ------
        InputError
            It is none, or which of its axes is that of channels cannot be told.
        MissingDependency
            Pillow is not installed.
        """
        axis = _channel_axis(image, where)
        with needing("Pillow", "--resize"):
            from PIL import Image
        plain = image if image.dtype == np.uint8 else image.astype(np.float32)
        planes = [plain] if axis is None else list(np.moveaxis(plain, axis, 0))
        size = (self.width, self.height)
        resized = [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BILINEAR)
            )
            for plane in planes
        ]
        return resized[0] if axis is None else np.stack(resized, axis)


def _channel_axis(image: Array, where: str) -> int | None:
    """Which of three axes is that of channels; None for two axes."""
    if image.ndim == 2 and image.dtype.kind in "biuf":
        return None
    ends = [axis for axis in (0, 2) if image.ndim == 3 and image.shape[axis] <= _MOST_CHANNELS]
    if len(ends) != 1 or image.dtype.kind not in "biuf":
        raise InputError(
            where=f"--resize on {where}",
            found=f"an item of shape {image.shape} and type {image.dtype}",
            required=f"an image: height × width, with at most {_MOST_CHANNELS} channels before or "
            "after",
            remedy="Resize the items yourself with --transform MODULE:FUNCTION.",
        )
    return ends[0]


def resize_of(words: str | None) -> Resize | None:
    """What ``--resize 32`` or ``--resize 32x48`` (height × width) asks for.

    Raises
    ------
    InputError
        It is neither.
    """
    if words is None:
        return None
    found = re.fullmatch(r"(\d{1,5})(?:[x×,](\d{1,5}))?", words.strip())
    sides = [int(side) for side in found.groups() if side] if found else []
    if not sides or not all(1 <= side <= _LONGEST for side in sides):
        raise InputError(
            where="--resize",
            found=words,
            required=f"one side of squares or HEIGHTxWIDTH, from 1 to {_LONGEST}: 32 or 32x48",
        )
    return Resize(sides[0], sides[-1])
