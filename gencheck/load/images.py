"""Images: encoded bytes as arrays, and folders of class folders."""

import io
from pathlib import Path

import numpy as np

from gencheck.errors import InputError, MissingDependency
from gencheck.load.split import Array, Chosen, Rows

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

# What a mode of Pillow's becomes, where it is not read as it is.
_CONVERTED = {"P": "RGB", "1": "L"}
_KEPT = frozenset({"L", "RGB", "RGBA"})

# Folders of splits: the main ones, and those that can be the reference.
_MAIN, _TEST = ("train",), ("test", "val", "validation")


def decode_image(raw: bytes, where: str) -> tuple[Array, str | None]:
    """An encoded image as bytes of shape (height, width) or (height, width, channels).

    Returns
    -------
    image, note
        The note says what was converted, None where nothing was.

    Raises
    ------
    InputError
        Not an image, or of a mode that is not read.
    MissingDependency
        Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency(
            library="Pillow", extra="images", purpose=f"Reading {where}"
        ) from error
    try:
        image = Image.open(io.BytesIO(raw), formats=("PNG", "JPEG"))
        image.load()
    # Pillow raises nearly anything on damaged bytes
    except Exception as error:
        raise InputError(
            where=where,
            found=f"no image that can be read ({type(error).__name__}: {error})",
            required="a PNG or JPEG image",
        ) from error
    mode = image.mode
    if mode in _CONVERTED:
        note = f"images of mode {mode} converted to {_CONVERTED[mode]}"
        return np.asarray(image.convert(_CONVERTED[mode])), note
    if mode not in _KEPT:
        raise InputError(
            where=where,
            found=f"an image of mode {mode}",
            required="grey, colour or palette images of 8 bits",
            remedy="Convert the images to RGB or L.",
        )
    return np.asarray(image), None


def is_image_folder(folder: Path) -> bool:
    """True where some class folder below, or below a split folder, holds an image."""
    return any(path.suffix.lower() in _SUFFIXES for path in folder.glob("*/*")) or any(
        path.suffix.lower() in _SUFFIXES for path in folder.glob("*/*/*")
    )


def image_folder(folder: Path) -> tuple[Rows, Rows | None]:
    """The images of a folder of class folders: labels are the sorted class names' numbers.

    Where the folder holds the folders ``train`` and ``test`` (or ``val``), these are the main and
    the test split.

    Raises
    ------
    InputError
        There is no image, or the two splits have different classes.
    """
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    main = [name for name in _MAIN if name in names]
    test = [name for name in _TEST if name in names]
    if main and len(test) == 1 and len(names) == 2:
        classes = _classes(folder / main[0])
        if classes != _classes(folder / test[0]):
            raise InputError(
                where=str(folder),
                found=f"different class folders in {main[0]} and {test[0]}",
                required="the same ones",
            )
        return _split(folder / main[0], classes), _split(folder / test[0], classes)
    return _split(folder, _classes(folder)), None


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _split(folder: Path, classes: list[str]) -> Rows:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        files += found
        labels += [label] * len(found)
    if not files:
        raise InputError(
            where=str(folder),
            found="no PNG or JPEG image in a class folder",
            required="a folder of class folders of images",
        )
    shown = ", ".join(f"{name} = {label}" for label, name in enumerate(classes[:20]))
    targets = np.array(labels)

    def read(positions: Array) -> Chosen:
        images, notes = [], [f"labels from class folders: {shown}"]
        for position in positions.tolist():
            image, note = decode_image(files[position].read_bytes(), str(files[position]))
            images.append(image)
            notes += [note] if note and note not in notes else []
        return Chosen(images, targets[positions], tuple(notes))

    return Rows(read, str(folder), np.arange(len(files)))
