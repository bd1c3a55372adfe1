"""Losses and predictions on validation items, from files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.table import Table, read_table

Losses = NDArray[np.float64]

_SCORE = re.compile(r"(?:score|logit|prob)_?(\d+)")


@dataclass(frozen=True)
class Predictions:
    """The 0-1 losses of a file of predictions, and how they came about.

    Attributes
    ----------
    losses
        Shape (m,): 1.0 where the prediction is not the label.
    ties
        How many items have several largest scores; the smallest class index was taken.
    """

    losses: Losses
    ties: int


def load_losses(path: Path) -> Losses:
    """One loss an item, from the only column or the one called ``loss``. Shape (m,).

    Raises
    ------
    InputError
        No such column, text, NaN or infinity; names the first bad row.
    """
    table = read_table(path)
    if "loss" not in table.columns and len(table.columns) != 1:
        raise InputError(
            where=str(path),
            found=f"columns {', '.join(table.columns)}",
            required="one column, or one called 'loss'",
        )
    name = "loss" if "loss" in table.columns else next(iter(table.columns))
    return _numbers(table, name)


def _numbers(table: Table, name: str) -> Losses:
    column = table.columns[name]
    if column.dtype.kind not in "biuf":
        row = next(i for i, cell in enumerate(column) if not _is_number(str(cell)))
        raise InputError(
            where=f"{table.where}, column {name!r}, row {row}",
            found=repr(str(column[row])),
            required="a number",
        )
    bad = ~np.isfinite(column.astype(np.float64))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            where=f"{table.where}, column {name!r}, row {row}",
            found=str(column[row]),
            required="a finite number",
            remedy="Remove or repair the item.",
        )
    return column.astype(np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def load_predictions(path: Path) -> Predictions:
    """0-1 losses from columns ``label`` and ``prediction``, or ``label`` and ``score_0``, ….

    Labels and predictions may be numbers or text. Score columns are ``score_K``, ``logit_K`` or
    ``prob_K`` for class K; the largest score is the prediction.

    Raises
    ------
    InputError
        A column is missing, a value is not finite, or a label has no score column.
    """
    table = read_table(path)
    if "label" not in table.columns:
        raise _columns_error(table)
    if "prediction" in table.columns:
        label, prediction = _comparable(table, "label"), _comparable(table, "prediction")
        if (label.dtype.kind in "biuf") != (prediction.dtype.kind in "biuf"):
            raise InputError(
                where=f"{table.where}, columns 'label' and 'prediction'",
                found="numbers in one and text in the other",
                required="both numbers or both text",
            )
        return Predictions((label != prediction).astype(np.float64), 0)
    return _from_scores(table)


def _comparable(table: Table, name: str) -> NDArray[Any]:
    column = table.columns[name]
    return _numbers(table, name) if column.dtype.kind in "biuf" else column


def _from_scores(table: Table) -> Predictions:
    classes = {int(match[1]): name for name in table.columns if (match := _SCORE.fullmatch(name))}
    if sorted(classes) != list(range(len(classes))) or len(classes) < 2:
        raise _columns_error(table)
    scores = np.stack([_numbers(table, classes[k]) for k in range(len(classes))], axis=1)
    labels = _numbers(table, "label")
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= len(classes))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            where=f"{table.where}, column 'label', row {row}",
            found=f"{labels[row]:g}",
            required=f"a whole number from 0 to {len(classes) - 1}, one for each score column",
        )
    ties = int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum())
    return Predictions((scores.argmax(1) != labels).astype(np.float64), ties)


def _columns_error(table: Table) -> InputError:
    return InputError(
        where=table.where,
        found=f"columns {', '.join(table.columns)}",
        required="columns label and prediction, or label and score_0, score_1, …",
    )
