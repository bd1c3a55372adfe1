"""Data sets from files: arrays with targets, checked before anything is computed from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError, needing
from gencheck.load.files import listed, reading, require_archive_fits, suffix_of
from gencheck.load.idx import idx_folder, idx_rows, is_idx, is_idx_folder
from gencheck.load.images import image_folder, is_image_folder
from gencheck.load.json_items import json_items
from gencheck.load.parquet import parquet_rows, target_column
from gencheck.load.split import Array, Rows, Split
from gencheck.load.table import read_table
from gencheck.memory import require_memory

# Files of weights that hold no data; .safetensors may be either.
_CHECKPOINTS = frozenset({".pt2", ".pt", ".pth", ".ckpt"})


@dataclass(frozen=True)
class DataFile:
    """A data file: its main split, and its test split where it has one."""

    main: Split | Rows
    test: Split | Rows | None


def load_dataset(path: Path, x_key: str | None = None, y_key: str | None = None) -> DataFile:
    """The data in `path`, by its suffix or, for a folder, by what it holds.

    Rows of tables in Parquet, images and IDX files are read when they are chosen.

    Parameters
    ----------
    x_key, y_key
        The names of the arrays; by default ``x``, ``y`` or ``x_train``, ``y_train``, ``x_test``,
        ``y_test``. In a table: the feature columns, separated by commas (default: all others), and
        the target column (default: ``label``, ``y`` or ``target``).

    Raises
    ------
    InputError
        Missing, damaged, of an unknown kind, empty, of unequal lengths, or holding NaN or infinity:
        names the file, the array and the first bad index.
    """
    if path.is_dir():
        return _folder(path)
    if is_idx(path) and path.is_file():
        return DataFile(idx_rows(path), None)
    if path.suffix.lower() in _CHECKPOINTS and path.is_file():
        raise InputError(
            where=str(path),
            found="a checkpoint",
            required=f"data: one of {', '.join(sorted(_LOADERS))}, or a folder",
            remedy="The checkpoint comes first, then the data.",
        )
    return _LOADERS[suffix_of(path, _LOADERS, "a data file")](path, x_key, y_key)


def _folder(path: Path) -> DataFile:
    with reading(path, "a folder that can be listed"):
        of_idx, of_images = is_idx_folder(path), is_image_folder(path)
    if of_idx:
        return DataFile(*idx_folder(path))
    if of_images:
        return DataFile(*image_folder(path))
    raise InputError(
        where=str(path),
        found="a folder without class folders of images and without IDX files",
        required="class folders of PNG or JPEG images, or train-images-idx3-ubyte and its labels",
    )


def _parquet(path: Path, x_key: str | None, y_key: str | None) -> DataFile:
    return DataFile(parquet_rows(path, x_key, y_key), None)


def _npz(path: Path, x_key: str | None, y_key: str | None) -> DataFile:
    required = "an archive of arrays written by numpy.savez"
    with (
        reading(path, required),
        path.open("rb") as handle,
        np.load(handle, allow_pickle=False) as archive,
    ):
        return _from_arrays(_Lazy(archive, path), path, x_key, y_key)


class _Lazy(Mapping[str, Array]):
    """The arrays of an archive, read when asked for; one that needs a pickle is refused by name."""

    def __init__(self, archive: Any, path: Path) -> None:
        self.archive, self.path = archive, path

    def __getitem__(self, name: str) -> Array:
        entry = self.archive.zip.getinfo(f"{name}.npy")
        require_memory(entry.file_size, f"{self.path}, array {name!r}", "an array")
        try:
            array: Array = self.archive[name]
        except ValueError as error:
            raise InputError(
                where=f"{self.path}, array {name!r}",
                found="objects that only a pickle could restore",
                required="numbers; nothing in a data file may run code",
            ) from error
        return array

    def __iter__(self) -> Any:
        return iter(self.archive.files)

    def __len__(self) -> int:
        return len(self.archive.files)


def _safetensors(path: Path, x_key: str | None, y_key: str | None) -> DataFile:
    with needing("safetensors", f"Reading {path}"):
        from safetensors import safe_open
    require_archive_fits(path)
    with reading(path, "a .safetensors file"), safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _from_arrays(arrays, path, x_key, y_key)


def _from_arrays(
    arrays: Mapping[str, Array], path: Path, x_key: str | None, y_key: str | None
) -> DataFile:
    if (x_key is None) != (y_key is None):
        raise InputError(
            where=str(path), found="only one of --x-key and --y-key", required="both or neither"
        )
    if x_key is not None and y_key is not None:
        return DataFile(_checked(arrays, path, x_key, y_key), None)
    plain, split = {"x", "y"} <= set(arrays), {"x_train", "y_train"} <= set(arrays)
    if plain == split:
        raise InputError(
            where=str(path),
            found=f"arrays {listed(sorted(arrays))}",
            required="x, y or x_train, y_train, x_test, y_test",
            remedy="Name the arrays with --x-key and --y-key.",
        )
    if plain:
        return DataFile(_checked(arrays, path, "x", "y"), None)
    test = _checked(arrays, path, "x_test", "y_test") if "x_test" in arrays else None
    return DataFile(_checked(arrays, path, "x_train", "y_train"), test)


def _checked(arrays: Mapping[str, Array], path: Path, x_key: str, y_key: str) -> Split:
    for name in (x_key, y_key):
        if name not in arrays:
            raise InputError(
                where=str(path),
                found=f"no array {name!r}, only {listed(sorted(arrays))}",
                required="the array named",
            )
    items, targets = arrays[x_key], arrays[y_key]
    where = f"{path}, arrays {x_key!r} and {y_key!r}"
    return checked_split(items, targets, where, (f"{path}, {x_key!r}", f"{path}, {y_key!r}"))


def checked_split(items: Array, targets: Array, where: str, names: tuple[str, str]) -> Split:
    """A split of numbers that are finite, of equal lengths, and not empty.

    Raises
    ------
    InputError
        Otherwise; names the array and the first bad index.
    """
    for array, name in zip((items, targets), names, strict=True):
        if array.dtype.kind not in "biuf":
            raise InputError(where=name, found=f"element type {array.dtype}", required="numbers")
        if array.ndim == 0:
            raise InputError(where=name, found="a single number", required="one entry an item")
    if len(items) != len(targets):
        raise InputError(
            where=where,
            found=f"{len(items)} items and {len(targets)} targets",
            required="equal numbers",
        )
    if len(items) == 0:
        raise InputError(where=where, found="no items", required="at least one")
    for array, name in zip((items, targets), names, strict=True):
        _refuse_nonfinite(array, name)
    return Split(items, targets, where, np.arange(len(items)))


def _refuse_nonfinite(array: Array, name: str, rows: int = 4096) -> None:
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            index = (first[0] + start, *first[1:])
            raise InputError(
                where=f"{name}, index {list(index)}",
                found=str(array[index]),
                required="finite numbers",
                remedy="Remove or repair the item.",
            )


def _json(path: Path, x_key: str | None, y_key: str | None) -> DataFile:
    with reading(path, "a file of one JSON object a line"):
        return DataFile(json_items(path, x_key, y_key), None)


def _table(path: Path, x_key: str | None, y_key: str | None) -> DataFile:
    columns = read_table(path).columns
    target = y_key or target_column(list(columns), str(path))
    features = [name for name in columns if name != target]
    if x_key is not None:
        features = [name.strip() for name in x_key.split(",")]
    for name in (*features, target):
        if name not in columns:
            raise InputError(
                where=str(path),
                found=f"no column {name!r}, only {listed(columns)}",
                required="the column named",
            )
        if columns[name].dtype.kind not in "biuf":
            raise InputError(
                where=f"{path}, column {name!r}",
                found=f"text such as {str(columns[name][0])!r}" if len(columns[name]) else "text",
                required="numbers",
                remedy="Leave the column out with --x-key, or encode it as numbers.",
            )
    if not features:
        raise InputError(where=str(path), found="no feature column", required="at least one")
    for name in features:
        _refuse_nonfinite(columns[name], f"{path}, column {name!r}")
    items = np.stack([columns[name] for name in features], axis=1)
    where = f"{path}, columns of features and {target!r}"
    return DataFile(
        checked_split(items, columns[target], where, (f"{path}, features", f"{path}, {target!r}")),
        None,
    )


_LOADERS: dict[str, Callable[[Path, str | None, str | None], DataFile]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".csv": _table,
    ".jsonl": _json,
    ".parquet": _parquet,
}
