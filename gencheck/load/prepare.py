"""From data as stored to what a model takes, each step recorded; and the choice of items."""

from collections.abc import Iterator
from math import prod

import numpy as np

from gencheck.errors import InputError
from gencheck.load.split import Array, Rows, Split
from gencheck.memory import require_memory

Shape = tuple[int, ...]

# The figures hold fourth powers of targets, which must be floats.
_LARGEST_TARGET = 1e75


def shuffled(split: Split | Rows, limit: int | None, seed: int) -> Split | Rows:
    """The first `limit` items after a seeded shuffle; all, in the file's order, without a limit."""
    if limit is None:
        return split
    order = np.random.default_rng(seed).permutation(len(split))[:limit]
    return split.taken(order)


def held_out(split: Split | Rows, fraction: float, seed: int) -> tuple[Split | Rows, Split | Rows]:
    """The split cut at random into a sample and a reference of `fraction` of the items.

    Raises
    ------
    InputError
        One of the two would be empty.
    """
    count = round(fraction * len(split)) if 0 < fraction < 1 else 0
    if not 0 < count < len(split):
        raise InputError(
            where="--holdout",
            found=f"{fraction} of {len(split)} items",
            required="a fraction between 0 and 1 that leaves items on both sides",
        )
    order = np.random.default_rng(seed).permutation(len(split))
    return split.taken(order[count:]), split.taken(order[:count])


def candidate_shapes(stored: Shape) -> Iterator[Shape]:
    """The item shapes that stored items can be brought to, the nearest first."""
    yield stored
    if len(stored) == 3:
        yield (stored[2], stored[0], stored[1])
    if len(stored) == 2:
        yield (1, *stored)
    if len(stored) > 1:
        yield (prod(stored),)


def prepared(
    split: Split,
    shape: Shape,
    dtype: str,
    automatic: bool = True,
    vocabulary: int | None = None,
) -> tuple[Array, list[str]]:
    """The items in the model's shape and in `dtype`, and what was done to bring them there.

    Unsigned bytes become numbers in [0, 1], unless they are tokens. Channel-last images become
    channel-first where that is the model's shape, two-dimensional ones get a channel axis, and any
    become flat (row by row, in the stored order) where the model wants flat items.

    Parameters
    ----------
    automatic
        False where a function of the user's has brought the items to the model's shape: then only
        their dtype is changed.
    vocabulary
        How many tokens the model knows, where items are tokens.

    Raises
    ------
    InputError
        No such step leads from the stored shape to the model's, or a number is past `dtype`, no whole
        number where tokens are wanted, or no token that the model knows.
    """
    stored, items = tuple(split.items.shape[1:]), split.items
    require_memory(items.size * np.dtype(dtype).itemsize, split.where, f"{len(items)} items")
    steps = list(split.notes)
    if not automatic:
        if stored != shape:
            raise InputError(
                where=f"--transform on {split.where}",
                found=f"items of shape {stored}",
                required=f"items of the model's shape {shape}",
            )
        return _cast(split, items, dtype, vocabulary), steps
    if stored == shape:
        pass
    elif len(stored) == 3 and shape == (stored[2], stored[0], stored[1]):
        items = items.transpose(0, 3, 1, 2)
        steps.append(f"channel-last {stored} to channel-first {shape}")
    elif len(stored) == 2 and shape == (1, *stored):
        items = items[:, None]
        steps.append(f"channel axis added: {stored} to {shape}")
    elif len(stored) > 1 and shape == (prod(stored),):
        items = items.reshape(len(items), -1)
        steps.append(f"flattened in stored order: {stored} to {shape}")
    else:
        raise InputError(
            where=split.where,
            found=f"items of shape {stored}",
            required=f"items of the model's shape {shape}",
        )
    if split.items.dtype == np.uint8 and not np.issubdtype(np.dtype(dtype), np.integer):
        steps.insert(0, "unsigned bytes divided by 255")
        return np.divide(items, 255, dtype=dtype, order="C"), steps
    if split.items.dtype != np.dtype(dtype):
        steps.insert(0, f"{split.items.dtype} converted to {dtype}")
    return _cast(split, items, dtype, vocabulary), steps


def _cast(split: Split, items: Array, dtype: str, vocabulary: int | None) -> Array:
    """The items in `dtype`, which must have room for their numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.ascontiguousarray(items, dtype=dtype)
    if cast.dtype.kind == "i":
        _refuse_no_tokens(split, items, cast, vocabulary)
    bad = ~np.isfinite(cast.reshape(len(cast), -1)).all(1)
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            where=f"{split.where}, item {int(split.indices[first])}",
            found=f"a number past the range of {dtype}",
            required=f"items that {dtype} can hold",
            remedy="Divide them by a constant near their size, or pass --dtype float64.",
        )
    return cast


def _refuse_no_tokens(split: Split, items: Array, cast: Array, vocabulary: int | None) -> None:
    bad = cast != items
    if vocabulary is not None:
        bad |= (cast < 0) | (cast >= vocabulary)
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), bad.shape)
        known = "" if vocabulary is None else f" from 0 to {vocabulary - 1:,}"
        raise InputError(
            where=f"{split.where}, item {int(split.indices[at[0]])}",
            found=f"{items[at]:g} in the place of a token",
            required=f"a whole number{known}, as the tokens of the model are",
        )


def task_of(split: Split, task: str) -> str:
    """The task: as asked, or by the targets' type: whole numbers classify, others regress."""
    if task != "auto":
        return task
    whole = split.targets.dtype.kind in "biu" and split.targets.ndim == 1
    return "classification" if whole else "regression"


def target_rows(split: Split, task: str, outputs: int) -> Array:
    """Targets as rows y of K numbers in float64: one-hot for classification, values otherwise.

    Raises
    ------
    InputError
        A label is outside 0 … K − 1 or not whole (names the first), or the values of a regression
        do not match the model's outputs or are past 1e75.
    """
    if task == "regression":
        rows = split.targets.reshape(len(split), -1).astype(np.float64)
        if rows.shape[1] != outputs:
            raise InputError(
                where=split.where,
                found=f"{rows.shape[1]} target values an item",
                required=f"{outputs}, one for each output of the model",
                remedy="For labels stored as floating-point numbers pass --task classification.",
            )
        _refuse_extreme(split, rows)
        return rows
    labels = split.targets
    if labels.ndim != 1 or outputs < 2:
        raise InputError(
            where=split.where,
            found=f"targets of shape {labels.shape} for a model with {outputs} output(s)",
            required="one label an item and a model with an output for each class",
            remedy="For real-valued targets pass --task regression.",
        )
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= outputs)
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            where=f"{split.where}, item {int(split.indices[first])}",
            found=f"label {labels[first]}",
            required=f"a whole number from 0 to {outputs - 1}, one for each output of the model",
        )
    return np.eye(outputs)[labels.astype(np.int64)]


def _refuse_extreme(split: Split, rows: Array) -> None:
    """Name the first item with a target past the largest."""
    bad = (np.abs(rows) > _LARGEST_TARGET).any(1)
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            where=f"{split.where}, item {int(split.indices[first])}",
            found=f"a target of {np.abs(rows[first]).max():g}",
            required=f"targets of at most {_LARGEST_TARGET:g}",
            remedy="Measure targets in units near their size.",
        )
