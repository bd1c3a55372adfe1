"""Tables from files: named columns from .npy, .csv, .jsonl and .parquet."""

import csv
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError, needing
from gencheck.load.files import reading, suffix_of
from gencheck.load.json_lines import json_columns
from gencheck.memory import require_memory

Column = NDArray[Any]

# What a byte of a .csv file can become at most: a cell and its comma are two bytes or more, and
# twice eight as a number; as text they are an object and a reference to it.
_BYTES_OF_NUMBERS, _BYTES_OF_TEXT = 8, 32


@dataclass(frozen=True)
class Table:
    """Named columns of equal length, in the file's order.

    Numbers are int64 or float64 columns, text is a column of strings; what is neither, such as lists
    in a .parquet file, is a column of objects.
    """

    columns: dict[str, Column]
    where: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_table(path: Path) -> Table:
    """The table in `path`, by its suffix.

    A ``.csv`` file starts with a line of column names, unless that line is all numbers: then the
    columns are called ``0``, ``1``, …. A one-dimensional ``.npy`` array is one column ``0``. Of a
    ``.jsonl`` file the keys of its lines are the columns.

    Raises
    ------
    InputError
        Missing, damaged, empty, or with rows of unequal length; names the row.
    MissingDependency
        ``.parquet`` without pyarrow.
    """
    suffix = suffix_of(path, _READERS, "a table file")
    with reading(path, f"a table in {suffix}; text in UTF-8"):
        columns = _READERS[suffix](path)
    table = Table(columns, str(path))
    if len(table) == 0:
        raise InputError(where=str(path), found="no rows", required="at least one")
    return table


def _npy(path: Path) -> dict[str, Column]:
    require_memory(path.stat().st_size, str(path), "an array")
    required = "an array of numbers written by numpy.save; no pickle is run"
    with reading(path, required), path.open("rb") as handle:
        array = np.load(handle, allow_pickle=False)
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "biuf"
        or array.ndim not in (1, 2)
    ):
        raise InputError(
            where=str(path),
            found=f"an array of {getattr(array, 'dtype', type(array))}, "
            f"shape {getattr(array, 'shape', ())}",
            required="numbers in one or two dimensions",
        )
    rows = array[:, None] if array.ndim == 1 else array
    return {str(i): widened(rows[:, i]) for i in range(rows.shape[1])}


def widened(column: Column) -> Column:
    """Numbers as int64 where they are whole and fit, else as float64."""
    fits = column.dtype.kind != "f" and (column.dtype != np.uint64 or column.max(initial=0) < 2**63)
    return column.astype(np.int64 if fits else np.float64)


def filled(column: Any, path: Path, name: str, positions: Column | None = None) -> Column:
    """One column of pyarrow as an array: whole numbers int64 where they fit, others float64.

    Parameters
    ----------
    positions
        The rows of the file that it holds; None for all of them.

    Raises
    ------
    InputError
        A value is missing; the message names its row.
    """
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise InputError(
            where=f"{path}, column {name!r}, row {row if positions is None else positions[row]}",
            found="no value",
            required="a value in every row",
        )
    values = np.asarray(column)
    return widened(values) if values.dtype.kind in "iuf" else values


def _parquet(path: Path) -> dict[str, Column]:
    with needing("pyarrow", f"Reading {path}"):
        import pyarrow.parquet as pq
    with reading(path, "a .parquet file"):
        declared = pq.read_metadata(path)
        cells = declared.num_rows * declared.num_columns
        # as pyarrow holds them, and as columns of 8 bytes a cell
        require_memory(16 * cells, str(path), f"{declared.num_rows} rows")
        content = pq.read_table(path)
    _refuse_repeated(path, content.column_names)
    columns = {}
    for name in content.column_names:
        values = filled(content.column(name), path, name)
        columns[name] = widened(values) if values.dtype.kind in "biuf" else _text(values)
    return columns


def _text(values: Column) -> Column:
    """The values as strings, or as they are where they are lists or bytes."""
    try:
        return values.astype(str)
    except ValueError:
        return values


def _refuse_repeated(path: Path, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(
                where=str(path), found=f"a column name twice ({name!r})", required="distinct names"
            )


def _csv(path: Path) -> dict[str, Column]:
    require_memory(_BYTES_OF_NUMBERS * path.stat().st_size, str(path), "a table")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        first = next(csv.reader(handle), None)
    if not first:
        raise InputError(
            where=str(path),
            found="an empty file or first line",
            required="column names or numbers in it",
        )
    headed = not all(is_number(cell) for cell in first)
    names = [cell.strip() for cell in first] if headed else [str(i) for i in range(len(first))]
    _refuse_repeated(path, names)
    try:
        # the fast way, for tables of numbers alone
        with warnings.catch_warnings():
            # a table without rows is refused by the caller, in words
            warnings.simplefilter("ignore", UserWarning)
            rows = np.loadtxt(
                path,
                delimiter=",",
                skiprows=int(headed),
                ndmin=2,
                encoding="utf-8-sig",
                comments=None,
            )
    except ValueError:
        return _mixed_csv(path, names, headed)
    if rows.shape[1] != len(names) or any(_is_rounded(column) for column in rows.T):
        return _mixed_csv(path, names, headed)
    return {name: _whole_or_real(np.ascontiguousarray(rows[:, i])) for i, name in enumerate(names)}


def _mixed_csv(path: Path, names: list[str], headed: bool) -> dict[str, Column]:
    require_memory(_BYTES_OF_TEXT * path.stat().st_size, str(path), "a table with text in it")
    cells: list[list[str]] = [[] for _ in names]
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle)
        for number, row in enumerate(reader):
            if not row or (headed and number == 0):
                continue
            if len(row) != len(names):
                raise InputError(
                    where=f"{path}, line {reader.line_num}",
                    found=f"{len(row)} cells",
                    required=f"{len(names)}, one for each column",
                )
            for column, cell in zip(cells, row, strict=True):
                column.append(cell.strip())
    return {name: _column(column) for name, column in zip(names, cells, strict=True)}


def _json(path: Path) -> dict[str, Column]:
    require_memory(_BYTES_OF_TEXT * path.stat().st_size, str(path), "a table")
    return json_columns(path)


def _column(cells: list[str]) -> Column:
    try:
        numbers = np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=str)
    if not _is_rounded(numbers):
        return _whole_or_real(numbers)
    # floats do not tell ids of so many digits apart
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except ValueError:
        return numbers
    except OverflowError:
        return np.array(cells, dtype=str)


def _is_rounded(column: Column) -> bool:
    """True for whole numbers of which one may have been another before it became a float."""
    finite = bool(np.isfinite(column).all())
    return finite and np.abs(column).max(initial=0) >= 2.0**53 and bool(np.all(column % 1 == 0))


def _whole_or_real(column: Column) -> Column:
    """The column as int64 where every number is whole, which is how labels are told from values."""
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(column) & (column == np.floor(column)) & (np.abs(column) < 2.0**53)
    return column.astype(np.int64) if whole.all() else column


def is_number(cell: str) -> bool:
    """True for what `float` reads."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path], dict[str, Column]]] = {
    ".npy": _npy,
    ".csv": _csv,
    ".jsonl": _json,
    ".parquet": _parquet,
}
