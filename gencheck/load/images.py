"""Images: encoded bytes as arrays, and folders of class folders."""

import io
from pathlib import Path

import numpy as np

from gencheck.errors import InputError, needing
from gencheck.load.files import plain_reason, reading, require_file
from gencheck.load.split import Array, Chosen, Names, Resizing, Rows
from gencheck.memory import require_memory

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
    with needing("Pillow", f"Reading {where}"):
        from PIL import Image
    try:
        image = Image.open(io.BytesIO(raw), formats=("PNG", "JPEG"))
        image.load()
    # Pillow raises nearly anything on damaged bytes
    except Exception as error:
        raise InputError(
            where=where,
            found=f"no image that can be read ({plain_reason(error)})",
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
        train, other = (_split(folder / name, classes, folder) for name in (main[0], test[0]))
        return train, other
    return _split(folder, _classes(folder), folder), None


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _split(folder: Path, classes: list[str], root: Path) -> Rows:
    """The images of the class folders in `folder`; their files are named below `root`."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        with reading(folder / name, "a class folder that can be listed"):
            found = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        for path in found:
            require_file(path, "a PNG or JPEG image under a name like this")
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

    def read(positions: Array, resize: Resizing | None) -> Chosen:
        images, notes = [], [f"labels from class folders: {shown}"]
        taken = 0
        for count, position in enumerate(positions.tolist(), 1):
            with reading(files[position], "an image that can be read"):
                raw = files[position].read_bytes()
            image, note = decode_image(raw, str(files[position]))
            images.append(image if resize is None else resize(image, str(files[position])))
            taken += images[-1].nbytes
            if count % 512 == 1:
                # the mean so far speaks for the rest, so that too many are refused early
                all_of_them = taken // count * len(positions)
                require_memory(all_of_them, str(folder), f"{len(positions)} images")
            notes += [note] if note and note not in notes else []
        return Chosen(images, targets[positions], tuple(notes))

    named = {number: path.relative_to(root).as_posix() for number, path in enumerate(files)}
    names = Names(named, tuple(classes))
    return Rows(read, str(folder), np.arange(len(files)), names)
