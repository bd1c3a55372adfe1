"""Items less a mean, over a standard deviation, channel by channel, as they were in training."""

import math
from dataclasses import dataclass

import numpy as np

from gencheck.errors import InputError
from gencheck.load.split import Array


@dataclass(frozen=True)
class Normalisation:
    """(x − mean) / std for every channel, or one of each for all.

    Attributes
    ----------
    mean, std
        Of equal length: 1, or the number of channels, the first axis of an item of several.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def words(self) -> str:
        """What is done, for the record."""
        mean, std = (", ".join(f"{value:g}" for value in part) for part in (self.mean, self.std))
        return f"normalised: less {mean}, over {std}"

    def applied(self, items: Array, where: str) -> Array:
        """Items of shape (N, C, …) or (N, d), normalised, in their own dtype.

        Raises
        ------
        InputError
            There are several means and another number of channels, or the items are whole numbers.
        """
        channels = items.shape[1] if items.ndim > 2 else 1
        if items.dtype.kind != "f" or len(self.mean) not in {1, channels}:
            raise InputError(
                where=f"--normalise on {where}",
                found=f"{len(self.mean)} means for items of shape {items.shape[1:]} ({items.dtype})",
                required="one mean and one deviation for all, or one for each channel (the first of "
                "several axes) of items that are numbers",
            )
        shape = (-1, *[1] * (items.ndim - 2))
        mean, std = (np.array(part, items.dtype).reshape(shape) for part in (self.mean, self.std))
        normalised: Array = (items - mean) / std
        return normalised


def normalisation(words: tuple[str, str] | None) -> Normalisation | None:
    """What ``--normalise MEAN STD`` asks for: numbers, several of them with commas between.

    Raises
    ------
    InputError
        They are no numbers, not equally many, or a deviation is not positive.
    """
    if words is None:
        return None
    try:
        mean, std = (tuple(float(each) for each in part.split(",")) for part in words)
    except ValueError:
        mean, std = (), ()
    sound = all(math.isfinite(each) for each in mean + std) and all(each > 0 for each in std)
    if not mean or len(mean) != len(std) or not sound:
        raise InputError(
            where="--normalise",
            found=" ".join(words),
            required="a mean and a positive deviation, or as many of each as there are channels, "
            "such as 0.49,0.48,0.45 0.25,0.24,0.26",
        )
    return Normalisation(mean, std)
