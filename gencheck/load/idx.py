"""IDX files, the format of MNIST's own distribution, plain or gzipped."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from gencheck.errors import InputError
from gencheck.load.split import Array, Chosen, Rows

# The third byte of an IDX file: its element type, big endian.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

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

    def read(positions: Array) -> Chosen:
        chosen = np.asarray(items[positions])
        if not np.isfinite(chosen).all():
            bad = int(positions[np.argwhere(~np.isfinite(chosen))[0][0]])
            raise InputError(
                where=f"{images}, index {bad}", found="NaN or infinity", required="finite numbers"
            )
        return Chosen(
            chosen.astype(chosen.dtype.newbyteorder("=")),
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

    Raises
    ------
    InputError
        Not an IDX file, or of the wrong length.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else None
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if raw is None:
        with path.open("rb") as handle:
            head = handle.read(4 + 4 * 255)
    else:
        head = raw
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
        raise _damaged(path, f"first bytes {head[:4].hex()}")
    rank, dtype = head[3], np.dtype(_TYPES[head[2]])
    start = 4 + 4 * rank
    if len(head) < start:
        raise _damaged(path, f"{len(head)} bytes, fewer than the sizes of {rank} axes take")
    shape = tuple(int(n) for n in np.frombuffer(head[4:start], ">u4"))
    expected = start + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    size = path.stat().st_size if raw is None else len(raw)
    if size != expected:
        raise _damaged(path, f"{size} bytes where shape {shape} takes {expected}")
    if 0 in shape:
        return np.zeros(shape, dtype)
    if raw is None:
        return np.memmap(path, dtype, "r", start, shape)
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


def _damaged(path: Path, found: str) -> InputError:
    return InputError(
        where=str(path),
        found=f"no whole IDX file ({found})",
        required="two zero bytes, an element type, the number of axes, their sizes, the numbers",
    )
