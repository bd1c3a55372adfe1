"""Losses and predictions on validation items, from files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.item_ids import refuse_repeated_ids
from gencheck.load.table import Table, is_number, read_table

Losses = NDArray[np.float64]

_SCORE = re.compile(r"(score|logit|prob)_?(0|[1-9]\d*)")

# Classes beyond would not stay apart as floats.
_LARGEST_CLASS = 2.0**53


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


def load_losses(path: Path, id_key: str | None = None) -> Losses:
    """One loss an item, from the only column or the one called ``loss``. Shape (m,).

    Raises
    ------
    InputError
        No such column, text, NaN or infinity, an item twice; names the first bad row.
    """
    table = read_table(path)
    refuse_repeated_ids(table, id_key)
    return losses_of(table)


def losses_of(table: Table) -> Losses:
    """The losses of a table, as `load_losses` reads them."""
    if "loss" not in table.columns and len(table.columns) != 1:
        raise InputError(
            where=table.where,
            found=f"columns {', '.join(table.columns)}",
            required="one column, or one called 'loss'",
        )
    name = "loss" if "loss" in table.columns else next(iter(table.columns))
    return numbers_of(table, name)


def numbers_of(table: Table, name: str) -> Losses:
    """The column as finite floats; names the first cell that is none."""
    column = table.columns[name]
    try:
        numbers = column.astype(np.float64)
    except (TypeError, ValueError):
        row = next(i for i, cell in enumerate(column) if not is_number(str(cell)))
        raise _cell_error(table, name, row, "a number") from None
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise _cell_error(table, name, int(np.argmax(bad)), "a finite number")
    return numbers


def _cell_error(table: Table, name: str, row: int, required: str) -> InputError:
    cell = table.columns[name][row]
    text = str(cell) if len(str(cell)) <= 40 else f"{str(cell)[:40]}…"
    return InputError(
        where=f"{table.where}, column {name!r}, row {row}",
        found=text if table.columns[name].dtype.kind in "biuf" else repr(text),
        required=required,
        remedy="Rows are counted from 0, below the line of names.",
    )


def load_predictions(
    path: Path,
    id_key: str | None = None,
    *,
    label_key: str | None = None,
    prediction_key: str | None = None,
) -> Predictions:
    """0-1 losses from columns ``label`` and ``prediction``, or ``label`` and ``score_0``, ….

    Labels and predictions may be numbers or text. Score columns are ``score_K``, ``logit_K`` or
    ``prob_K`` for class K; the largest score is the prediction.

    Parameters
    ----------
    label_key, prediction_key
        What the first two columns are called, where not so; scores are not looked at in place of a
        prediction that was named.

    Raises
    ------
    InputError
        A column is missing, a cell is empty or not finite, a label or a prediction is not a class, a
        label has no score column, or an item is there twice.
    """
    table = read_table(path)
    refuse_repeated_ids(table, id_key)
    for option, key in (("--label-key", label_key), ("--prediction-key", prediction_key)):
        if key is not None and key not in table.columns:
            raise InputError(
                where=f"{table.where}, {option} {key}",
                found=f"columns {', '.join(table.columns)}",
                required="the name of one of them",
            )
    return predictions_of(table, label_key or "label", prediction_key or "prediction")


def predictions_of(
    table: Table, label_name: str = "label", prediction_name: str = "prediction"
) -> Predictions:
    """The 0-1 losses of a table, as `load_predictions` reads them."""
    if label_name not in table.columns:
        raise _columns_error(table)
    if prediction_name in table.columns:
        label, prediction = (_comparable(table, name) for name in (label_name, prediction_name))
        if label.dtype != prediction.dtype and "f" in label.dtype.kind + prediction.dtype.kind:
            raise _kinds_error(table, prediction_name if label.dtype.kind == "f" else label_name)
        for name, column in ((label_name, label), (prediction_name, prediction)):
            if column.dtype.kind == "f":
                _refuse_fractions(table, name, column)
        return Predictions((label != prediction).astype(np.float64), 0)
    return _from_scores(table, label_name)


def _comparable(table: Table, name: str) -> NDArray[Any]:
    """The column as floats or text, every cell of which names a class."""
    column = table.columns[name]
    if column.dtype.kind in "biuf":
        numbers = numbers_of(table, name)
        bad = np.abs(numbers) >= _LARGEST_CLASS
        required = "a class number below 2^53"
    elif column.dtype.kind == "U":
        numbers, bad, required = column, column == "", "a class"
    else:
        raise _cell_error(table, name, 0, "a number or text")
    if bad.any():
        raise _cell_error(table, name, int(np.argmax(bad)), required)
    return numbers


def _kinds_error(table: Table, text_name: str) -> InputError:
    column = table.columns[text_name]
    # a column of quoted numbers is text as well; then any row shows it
    row = next((i for i, cell in enumerate(column) if not is_number(str(cell))), 0)
    return InputError(
        where=f"{table.where}, column {text_name!r}, row {row}",
        found=f"{str(column[row])!r}: numbers in one and text in the other of label and prediction",
        required="both numbers or both text, and no empty cell",
    )


def _refuse_fractions(table: Table, name: str, column: Losses) -> None:
    """A measurement is not a class: that two of them differ in the last digit is no error of 1."""
    bad = column != np.floor(column)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            where=f"{table.where}, column {name!r}, row {row}",
            found=f"{column[row]:g}",
            required="a class: a whole number or text",
            remedy=(
                "Numbers that are measured or predicted are scored by a loss of your own: "
                "--losses FILE --loss bounded, with --loss-range A B where it is not in [0, 1]. "
                "Probabilities of classes belong in columns prob_0, prob_1, …"
            ),
        )


def _from_scores(table: Table, label_name: str) -> Predictions:
    matches = [match for name in table.columns if (match := _SCORE.fullmatch(name))]
    classes = {int(match[2]): match[0] for match in matches}
    if len({match[1] for match in matches}) > 1 or len(classes) < len(matches):
        raise InputError(
            where=table.where,
            found=f"several kinds of score columns ({', '.join(match[0] for match in matches)})",
            required="one column for each class",
        )
    if sorted(classes) != list(range(len(classes))) or len(classes) < 2:
        raise _columns_error(table)
    scores = np.stack([numbers_of(table, classes[k]) for k in range(len(classes))], axis=1)
    labels = numbers_of(table, label_name)
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= len(classes))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            where=f"{table.where}, column {label_name!r}, row {row}",
            found=f"{labels[row]:g}",
            required=f"a whole number from 0 to {len(classes) - 1}, one for each score column",
        )
    ties = int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum())
    return Predictions((scores.argmax(1) != labels).astype(np.float64), ties)


def is_score(name: str) -> bool:
    """True for the name of a column of one class's scores."""
    return _SCORE.fullmatch(name) is not None


def _columns_error(table: Table) -> InputError:
    return InputError(
        where=table.where,
        found=f"columns {', '.join(table.columns)}",
        required="columns label and prediction, or label and score_0, score_1, …",
    )
