"""IDX files, the format of MNIST's own distribution, plain or gzipped."""

import gzip
from math import prod
from pathlib import Path

import numpy as np

from gencheck.errors import InputError
from gencheck.load.files import reading, require_file
from gencheck.load.split import Array, Chosen, Resizing, Rows
from gencheck.memory import require_memory

# The third byte of an IDX file: its element type, big endian.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_REQUIRED = "two zero bytes, an element type, the number of axes, their sizes, the numbers"

# NumPy has arrays of up to 32 axes in every version; images have two or three.
_MOST_AXES = 32

_FOLDER = (("train", True), ("t10k", False))


def is_idx(path: Path) -> bool:
    """True for the names that IDX files of images have."""
    return "images-idx" in path.name or "images.idx" in path.name


def is_idx_folder(folder: Path) -> bool:
    """True where a folder holds IDX files of images."""
    return any(is_idx(path) for path in folder.iterdir())


def idx_folder(folder: Path) -> tuple[Rows, Rows | None]:
    """The train split of a folder of IDX files, and its test split where it has one.

    Raises
    ------
    InputError
        There is no file of training images.
    """
    found: dict[str, Path] = {}
    for prefix, _ in _FOLDER:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(prefix) and is_idx(path):
                found.setdefault(prefix, path)
    if "train" not in found:
        raise InputError(
            where=str(folder),
            found="no train-images-idx3-ubyte",
            required="the standard names of IDX files, or the path of one images file",
        )
    test = idx_rows(found["t10k"]) if "t10k" in found else None
    return idx_rows(found["train"]), test


def idx_rows(images: Path) -> Rows:
    """The images of an IDX file with the labels of the file beside it.

    Raises
    ------
    InputError
        The labels file is missing, one of the two is damaged, or their lengths differ.
    """
    labels = _labels_of(images)
    items, targets = read_idx(images), read_idx(labels)
    if targets.ndim != 1 or len(targets) != len(items):
        raise InputError(
            where=str(labels),
            found=f"an array of shape {targets.shape} for {len(items)} images",
            required="one label an image",
        )
    if len(items) == 0:
        raise InputError(where=str(images), found="no items", required="at least one")
    targets = targets.astype(np.int64 if targets.dtype.kind in "iu" else np.float64)

    def read(positions: Array, resize: Resizing | None) -> Chosen:
        wanted = len(positions) * items[:1].nbytes
        require_memory(wanted, str(images), f"{len(positions)} images")
        chosen = np.asarray(items[positions])
        if not np.isfinite(chosen).all():
            bad = int(positions[np.argwhere(~np.isfinite(chosen))[0][0]])
            raise InputError(
                where=f"{images}, index {bad}", found="NaN or infinity", required="finite numbers"
            )
        chosen = chosen.astype(chosen.dtype.newbyteorder("="))
        if resize is not None:
            chosen = np.stack([resize(image, str(images)) for image in chosen])
        return Chosen(
            chosen,
            targets[positions],
            (f"labels from {labels.name}",),
        )

    return Rows(read, str(images), np.arange(len(items)))


def _labels_of(images: Path) -> Path:
    name = images.name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1")
    stem = name.removesuffix(".gz")
    for candidate in (stem, f"{stem}.gz"):
        path = images.with_name(candidate)
        if path.is_file() and path != images:
            return path
    raise InputError(
        where=str(images),
        found=f"no labels file {stem} or {stem}.gz beside it",
        required="the labels of the images",
    )


def read_idx(path: Path) -> Array:
    """The array of an IDX file; of a plain one only the pages that are used are read.

    A gzipped file is unpacked up to the size that its header declares, and no further.

    Raises
    ------
    InputError
        Not an IDX file, of the wrong length, or one that does not fit into memory.
    """
    require_file(path, "an IDX file")
    zipped = path.suffix == ".gz"
    with reading(path, _REQUIRED), gzip.open(path) if zipped else path.open("rb") as handle:
        head = handle.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
            raise _damaged(path, f"first bytes {head.hex()}")
        rank, dtype = head[3], np.dtype(_TYPES[head[2]])
        if rank > _MOST_AXES:
            raise _damaged(path, f"{rank} axes, where at most {_MOST_AXES} can be read")
        sizes = handle.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise _damaged(
                path, f"{4 + len(sizes)} bytes, fewer than the sizes of {rank} axes take"
            )
        shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
        expected = prod(shape) * dtype.itemsize
        if not zipped:
            found = path.stat().st_size - 4 - 4 * rank
        else:
            require_memory(expected, str(path), f"a gzipped array of shape {shape}")
            raw = handle.read(expected + 1)
            found = len(raw)
        if found != expected:
            more = " or more" if zipped and found > expected else ""
            raise _damaged(path, f"{found}{more} bytes where shape {shape} takes {expected}")
        if 0 in shape:
            return np.zeros(shape, dtype)
        if zipped:
            return np.frombuffer(raw, dtype).reshape(shape)
        return np.memmap(path, dtype, "r", 4 + 4 * rank, shape)


def _damaged(path: Path, found: str) -> InputError:
    return InputError(
        where=str(path),
        found=f"no whole IDX file ({found})",
        required=_REQUIRED,
    )
