"""Files of one JSON object a line: as objects, as columns, and as items with targets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError

Record = dict[str, Any]
Column = NDArray[Any]


def json_lines(path: Path) -> Iterator[tuple[int, Record]]:
    """The objects of a file of one JSON object a line, with the numbers of their lines.

    Raises
    ------
    InputError
        A line is none; names it.
    """
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                yield number, json_object(line, f"{path}, line {number}")


def json_object(text: bytes, at: str) -> Record:
    """The JSON object of a text; `at` is its place.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            where=at,
            found=f"no JSON ({error})",
            required="a JSON object",
            remedy="A line that a crash cut can be removed; its item is then not among the scores.",
        ) from error
    if not isinstance(record, dict):
        raise InputError(where=at, found="no JSON object", required="a JSON object")
    return record


def json_columns(path: Path) -> dict[str, Column]:
    """The keys of the first line as columns, of numbers or of text; every line must have them.

    Raises
    ------
    InputError
        A line lacks a key, or holds neither a number nor a text under it; names the line.
    """
    cells: dict[str, list[Any]] = {}
    for number, record in json_lines(path):
        cells = cells or {key: [] for key in record}
        for key, column in cells.items():
            column.append(_scalar(record, key, f"{path}, line {number}"))
    return {key: _column(column) for key, column in cells.items()}


def _scalar(record: Record, key: str, at: str) -> Any:
    value = value_under(record, key, at)
    if not isinstance(value, bool | int | float | str):
        raise InputError(
            where=f"{at}, key {key!r}",
            found=f"a {type(value).__name__}",
            required="a number or a text in every line",
        )
    return value


def value_under(record: Record, key: str, at: str) -> Any:
    """What a line holds under a key.

    Raises
    ------
    InputError
        Nothing, or null.
    """
    if record.get(key) is None:
        raise InputError(
            where=at, found=f"no value under {key!r}", required="the keys of the first line"
        )
    return record[key]


def _column(cells: list[Any]) -> Column:
    """Whole numbers as int64, others as float64; text, and numbers past these, as strings."""
    if any(isinstance(cell, str) for cell in cells):
        return np.array([str(cell) for cell in cells], dtype=str)
    whole = all(isinstance(cell, int) for cell in cells)
    try:
        return np.array(cells, dtype=np.int64 if whole else np.float64)
    except OverflowError:
        return np.array([str(cell) for cell in cells], dtype=str)
