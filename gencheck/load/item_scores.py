"""One loss an item, with what names, groups and weighs the items, from a table of either kind."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.item_ids import id_column, names_of
from gencheck.load.losses import Losses, losses_of, numbers_of, predictions_of
from gencheck.load.table import Table, read_table

Names = NDArray[np.str_]


@dataclass(frozen=True)
class ScoreKeys:
    """The columns or keys that a user names, and the range of the loss; None for the usual ones.

    Attributes
    ----------
    id_key
        What names an item.
    score_key
        A score of which more is better; its loss is low + high − score.
    cluster_key, stratify_key, weight_key
        What groups items that are not independent, names a stratum, says an item's weight.
    low, high
        The range of scores and losses, fixed beforehand.
    bounded
        True where losses between the ends were declared; else every loss is 0 or 1.
    holds
        What the file was said to hold; "scores" where that is for its columns to say.
    label_key, prediction_key
        The columns of predictions, where they are called otherwise.
    """

    id_key: str | None = None
    score_key: str | None = None
    cluster_key: str | None = None
    stratify_key: str | None = None
    weight_key: str | None = None
    low: float = 0.0
    high: float = 1.0
    bounded: bool = False
    holds: str = "scores"
    label_key: str | None = None
    prediction_key: str | None = None


@dataclass(frozen=True)
class ItemScores:
    """The losses of one model on the items of one task (empty where there is but one).

    Attributes
    ----------
    losses
        Shape (n,), in [low, high] of the keys; 0 or 1 where the keys declare nothing else.
    ids, clusters, strata
        Shape (n,), text; None where nothing names them.
    weights
        Shape (n,), or None.
    labels
        Shape (n,), text, for predictions.
    ties
        Items with several largest scores.
    """

    model: str
    task: str
    losses: Losses
    where: str
    ids: Names | None = None
    clusters: Names | None = None
    strata: Names | None = None
    weights: Losses | None = None
    labels: Names | None = field(default=None, repr=False)
    ties: int = 0

    def __len__(self) -> int:
        return len(self.losses)

    def at(self, rows: NDArray[np.intp]) -> "ItemScores":
        """The items of these rows, in their order."""
        names = ("losses", "ids", "clusters", "strata", "weights", "labels")
        held: dict[str, Any] = {
            name: column[rows] for name in names if (column := getattr(self, name)) is not None
        }
        return replace(self, **held)


def table_scores(path: Path, keys: ScoreKeys) -> ItemScores:
    """The losses of a .npy, .csv or .parquet file.

    A column `keys.score_key`, or the column ``loss``, or ``label`` and ``prediction`` (or scores of
    classes), or the only column.

    Raises
    ------
    InputError
        A column is missing, a cell cannot be used, or a loss lies outside its range.
    """
    return scores_of_table(read_table(path), path.stem, keys)


def scores_of_table(table: Table, model: str, keys: ScoreKeys) -> ItemScores:
    """As `table_scores`, for a table that was read."""
    name = id_column(table, keys.id_key)
    ties, labels = 0, None
    if keys.score_key is not None:
        losses = (
            keys.low + keys.high - numbers_of(table, _column(table, "--score-key", keys.score_key))
        )
    elif _holds_predictions(table, keys):
        label = _column(table, "--label-key", keys.label_key) or "label"
        prediction = _column(table, "--prediction-key", keys.prediction_key) or "prediction"
        predictions = predictions_of(table, label, prediction)
        losses, ties, labels = predictions.losses, predictions.ties, table.columns[label]
    else:
        losses = losses_of(table)
    refuse_outside(losses, f"{table.where}, row", keys, score=keys.score_key is not None)
    return ItemScores(
        model=model,
        task="",
        losses=losses,
        where=table.where,
        ids=_text(table, name),
        clusters=_text(table, _column(table, "--cluster-key", keys.cluster_key)),
        strata=_text(table, _column(table, "--stratify-key", keys.stratify_key)),
        weights=_weights(table, _column(table, "--weight-key", keys.weight_key)),
        labels=None if labels is None else labels.astype(str),
        ties=ties,
    )


def _holds_predictions(table: Table, keys: ScoreKeys) -> bool:
    if keys.holds != "scores":
        return keys.holds == "predictions"
    return "label" in table.columns and "loss" not in table.columns


def _column(table: Table, option: str, name: str | None) -> str:
    if name is not None and name not in table.columns:
        raise InputError(
            where=f"{table.where}, {option} {name}",
            found=f"columns {', '.join(table.columns)}",
            required="one of them",
        )
    return name or ""


def _text(table: Table, name: str | None) -> Names | None:
    return names_of(table, name) if name else None


def _weights(table: Table, name: str) -> Losses | None:
    if not name:
        return None
    weights = numbers_of(table, name)
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise InputError(
            where=f"{table.where}, column {name!r}, row {row}",
            found=f"the weight {weights[row]:g}",
            required="a weight of 0 or more",
        )
    return weights


def refuse_outside(losses: Losses, where: str, keys: ScoreKeys, *, score: bool) -> None:
    """Check that every loss is what was declared: 0 or 1, or within the range; `score` as it is shown.

    Raises
    ------
    InputError
        One is not; names the first.
    """
    if keys.bounded:
        bad = (losses < keys.low) | (losses > keys.high)
        required, remedy = f"a number from {keys.low:g} to {keys.high:g}", _RANGE
    else:
        bad = (losses != 0) & (losses != 1)
        required, remedy = "0 or 1", "For scores or losses between 0 and 1 pass --loss bounded."
    if bad.any():
        row = int(bad.argmax())
        shown = keys.low + keys.high - losses[row] if score else losses[row]
        raise InputError(
            where=f"{where} {row}", found=f"{shown:g}", required=required, remedy=remedy
        )


_RANGE = (
    "--loss-range A B is what the loss can be, known before the items were seen. The smallest and "
    "largest loss among them are not: losses there were none of can lie outside, and the bound would "
    "not hold. Clip a loss without limits at limits fixed in advance."
)
