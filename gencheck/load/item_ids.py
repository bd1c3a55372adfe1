"""The column that names items, in which nothing may stand twice."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.table import Table

# A column of one of these names names items wherever it stands.
NAMES = ("id", "item", "item_id", "sample_id", "example_id")


def id_column(table: Table, id_key: str | None) -> str | None:
    """The column of item ids: `id_key`, else the first of `NAMES` that there is, else None.

    Raises
    ------
    InputError
        There is no column `id_key`.
    """
    if id_key is not None and id_key not in table.columns:
        raise InputError(
            where=f"{table.where}, --id-key {id_key}",
            found=f"columns {', '.join(table.columns)}",
            required="one of them",
        )
    return id_key or next((name for name in NAMES if name in table.columns), None)


def names_of(table: Table, name: str) -> NDArray[np.str_]:
    """A column that names items or groups of them, as text.

    Raises
    ------
    InputError
        A cell is empty or NaN, numbers are too large to be told apart, or it is no column of names.
    """
    column = table.columns[name]
    where, kind = f"{table.where}, column {name!r}", column.dtype.kind
    if kind not in "biufU":
        raise InputError(
            where=where, found=f"{type(column[0]).__name__} in a cell", required="numbers or text"
        )
    text: NDArray[np.str_] = column.astype(str)
    bad = np.char.strip(text) == "" if kind == "U" else np.isnan(column)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            where=f"{where}, row {row}",
            found="an empty cell" if kind == "U" else "NaN, or an empty cell",
            required="a name in every row",
        )
    if kind == "f" and np.abs(column).max() >= 2.0**53:
        raise InputError(
            where=f"{where}, row {int(np.abs(column).argmax())}",
            found=f"{np.abs(column).max():.17g}",
            required="text, or whole numbers: so large, neighbours are one float",
        )
    if kind == "f" and bool((column % 1 == 0).all()):
        text = column.astype(np.int64).astype(str)
    return text


def refuse_repeated_ids(table: Table, id_key: str | None) -> None:
    """Check that every id stands once: an item counted twice makes a bound too small.

    Raises
    ------
    InputError
        An id stands twice, with or without the same values beside it, or is empty; names its rows.
    """
    name = id_column(table, id_key)
    if name is None:
        return
    column = table.columns[name]
    # whole numbers are told apart as they are, in half the time
    ids = column if column.dtype.kind in "iu" else names_of(table, name)
    refuse_repeats(ids, f"{table.where}, column {name!r}")


def refuse_repeats(ids: NDArray[Any], where: str) -> None:
    """Check that every id stands once.

    Raises
    ------
    InputError
        One stands twice; names its rows.
    """
    values, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    repeated = int((counts > 1).sum())
    if not repeated:
        return
    # the one that is repeated first
    first = int(np.argmax((counts > 1)[inverse]))
    rows = np.flatnonzero(inverse == inverse[first])
    more = f", and {repeated - 1} more ids repeated" if repeated > 1 else ""
    shown = ", ".join(map(str, rows[:5])) + ("" if len(rows) <= 5 else ", …")
    raise InputError(
        where=f"{where}, rows {shown}",
        found=f"the id {str(values[inverse[first]])[:40]!r} {len(rows)} times{more}",
        required="every item once",
        remedy=(
            "Keep one row for each item: items counted twice make the bound too small. Rows that "
            "belong together (epochs, samples of one prompt) are a cluster: --cluster-key. Where the "
            "column does not name items, --id-key COLUMN says which does."
        ),
    )
