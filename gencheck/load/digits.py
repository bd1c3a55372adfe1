"""The handwritten digits that ship with the package (see LICENSE-digits.txt beside them)."""

from importlib import resources

import numpy as np

from gencheck.load.split import Array


def load_digits() -> tuple[Array, Array]:
    """Images of shape (1797, 8, 8), float32 in [0, 1], and labels 0 to 9, int64, of shape (1797,)."""
    file = resources.files("gencheck") / "data" / "digits.npz"
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as archive:
        images = archive["x"].astype(np.float32) / 16
        return images, archive["y"].astype(np.int64)
