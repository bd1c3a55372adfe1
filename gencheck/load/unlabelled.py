"""Items whose labels nobody needs, from files that may have none."""

from pathlib import Path

import numpy as np

from gencheck.errors import InputError
from gencheck.load.dataset import checked_split, load_dataset
from gencheck.load.files import listed, reading, require_archive_fits
from gencheck.load.parquet import TARGET_COLUMNS
from gencheck.load.split import Array, Split
from gencheck.load.table import read_table

# The first of these that an archive has; never those to train on.
_ARRAYS = ("x_test", "x")


def load_unlabelled(path: Path, x_key: str | None = None) -> Split:
    """The items in `path`, its test split where it has one; targets are zeros that mean nothing.

    An .npz needs an array ``x_test`` or ``x``, a .csv columns of features. Other kinds are read as data
    with labels are, and their labels left aside.

    Parameters
    ----------
    x_key
        The array, or feature columns with commas.

    Raises
    ------
    InputError
        No such array or column, or as `load_dataset` raises it.
    """
    if path.suffix == ".npz":
        return _archive(path, x_key)
    if path.suffix == ".csv":
        return _table(path, x_key)
    data = load_dataset(path, x_key, None)
    return (data.test or data.main).loaded()


def _archive(path: Path, x_key: str | None) -> Split:
    require_archive_fits(path)
    with (
        reading(path, "an archive of arrays written by numpy.savez"),
        path.open("rb") as handle,
        np.load(handle, allow_pickle=False) as arrays,
    ):
        wanted = _ARRAYS if x_key is None else (x_key,)
        name = next((name for name in wanted if name in arrays.files), None)
        if name is None:
            raise InputError(
                where=str(path),
                found=f"arrays {listed(sorted(arrays.files))}",
                required=f"an array {' or '.join(wanted)} of items",
                remedy="Name it with --x-key.",
            )
        return _without_targets(arrays[name], f"{path}, {name!r}")


def _table(path: Path, x_key: str | None) -> Split:
    columns = read_table(path).columns
    names = [name for name in columns if name not in TARGET_COLUMNS]
    if x_key is not None:
        names = [name.strip() for name in x_key.split(",")]
    for name in names:
        if name not in columns or columns[name].dtype.kind not in "biuf":
            raise InputError(
                where=str(path),
                found=f"no column {name!r} of numbers, only {listed(columns)}",
                required="columns of numbers as features",
                remedy="Name them with --x-key.",
            )
    return _without_targets(np.stack([columns[name] for name in names], axis=1), str(path))


def _without_targets(items: Array, where: str) -> Split:
    return checked_split(items, np.zeros(len(items)), where, (where, where))
