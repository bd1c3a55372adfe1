"""Scores of models from whatever holds them: tables, evaluation logs, folders of them."""

from pathlib import Path

from gencheck.load.item_ids import refuse_repeats
from gencheck.load.item_scores import ItemScores, ScoreKeys, table_scores


def load_model_scores(path: Path, keys: ScoreKeys) -> ItemScores:
    """The losses of the one model in `path`, each item once.

    Raises
    ------
    InputError
        The file cannot be used, or an id stands twice.
    """
    scores = table_scores(path, keys)
    if scores.ids is not None:
        refuse_repeats(scores.ids, scores.where)
    return scores
