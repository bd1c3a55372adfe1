"""Items with targets from a file of one JSON object a line."""

from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.load.files import listed
from gencheck.load.json_lines import Record, json_lines, value_under
from gencheck.load.parquet import target_column
from gencheck.load.split import Array, Split, stack_items
from gencheck.memory import require_memory

# A digit and a comma become a number of eight bytes, once alone and once among all.
_BYTES_OF_NUMBERS = 8

# Under one of these stands a whole item, where no key is named.
_ITEMS = ("x", "input_ids", "text")


def json_items(path: Path, x_key: str | None, y_key: str | None) -> Split:
    """The items of a .jsonl file: lists of numbers, texts, or numbers under several keys.

    Parameters
    ----------
    x_key
        The key of the item, or several with commas for one number each (default: ``x``,
        ``input_ids`` or ``text``, else all but the target).
    y_key
        The key of the target (default: ``label``, ``y`` or ``target``).

    Raises
    ------
    InputError
        A line is no JSON object, lacks a key, or holds something else; names it.
    """
    require_memory(_BYTES_OF_NUMBERS * path.stat().st_size, str(path), "its items")
    items: list[Any] = []
    targets: list[Array] = []
    keys: list[str] = []
    target = ""
    for number, record in json_lines(path):
        at = f"{path}, line {number}"
        if not keys:
            target = y_key or target_column(list(record), str(path))
            keys = _item_keys(record, target, x_key, str(path))
        items.append(_item(record, keys, at))
        targets.append(_numbers(value_under(record, target, at), f"{at}, key {target!r}"))
    if not items:
        raise InputError(where=str(path), found="no items", required="at least one")
    indices = np.arange(len(items))
    if any(isinstance(item, str) for item in items):
        texts = np.empty(len(items), object)
        texts[:] = [str(item) for item in items]
        return Split(texts, stack_items(targets, indices, str(path)), str(path), indices)
    return Split(
        items=stack_items(items, indices, f"{path}, keys {', '.join(keys)}"),
        targets=stack_items(targets, indices, f"{path}, key {target!r}"),
        where=str(path),
        indices=indices,
    )


def _item_keys(record: Record, target: str, x_key: str | None, where: str) -> list[str]:
    if x_key is not None:
        return [key.strip() for key in x_key.split(",")]
    whole = [key for key in _ITEMS if key in record]
    if len(whole) > 1:
        raise InputError(
            where=where,
            found=f"the keys {listed(whole)}",
            required="one that holds the item",
            remedy="Name it with --x-key.",
        )
    keys = whole or [key for key in record if key != target]
    if not keys:
        raise InputError(where=where, found=f"only {target!r}", required="an item in every line")
    return keys


def _item(record: Record, keys: list[str], at: str) -> Array | str:
    if len(keys) == 1:
        value = value_under(record, keys[0], at)
        return value if isinstance(value, str) else _numbers(value, f"{at}, key {keys[0]!r}")
    values = [_numbers(value_under(record, key, at), f"{at}, key {key!r}") for key in keys]
    return stack_items(values, np.arange(len(values)), f"{at}, keys {', '.join(keys)}")


def _numbers(value: Any, where: str) -> Array:
    """A number, or lists of them in lists, as an array of finite numbers."""
    try:
        found = np.array(value)
    except ValueError:
        found = np.array(None)
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise InputError(
            where=where,
            found=f"{str(value)[:60]!r}",
            required="finite numbers, in lists of equal lengths; or a text as the item",
        )
    return found
