"""Scores of models from whatever holds them: tables, evaluation logs, folders of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gencheck.errors import InputError
from gencheck.load.helm_log import helm_scores
from gencheck.load.inspect_log import inspect_scores
from gencheck.load.item_ids import refuse_repeats
from gencheck.load.item_scores import ItemScores, ScoreKeys, table_scores
from gencheck.load.json_lines import json_lines
from gencheck.load.logs import harness_scores, plain_scores

_TABLES = (".csv", ".npy", ".parquet")


def load_scores(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    """Every model and task of a file or a folder; in a folder, of all logs below it.

    Raises
    ------
    InputError
        Nothing there can be read, or a part of it cannot be used; an item stands twice.
    """
    if path.is_dir():
        files = _files(path)
        if not files:
            raise InputError(
                where=str(path),
                found="no evaluation log",
                required="samples_*.jsonl of lm-evaluation-harness, .eval or .json of Inspect, "
                f"per_instance_stats.json of HELM, .jsonl, or tables in {', '.join(_TABLES)}",
            )
    else:
        files = [path]
    found = [scores for file in files for scores in _of_file(file, keys)]
    for scores in found:
        if keys.cluster_key is None and scores.ids is not None:
            refuse_repeats(scores.ids, scores.where)
    return _refuse_twice(found)


def _files(folder: Path) -> list[Path]:
    """The files of a folder that hold scores: the logs of known tools, else whatever can be read."""
    readers = {
        file: reader
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (reader := _reader(file)) is not None
    }
    known = [file for file, reader in readers.items() if reader not in (plain_scores, _of_table)]
    others = [file for file, reader in readers.items() if reader is plain_scores]
    return sorted(known + others) if known else list(readers)


def _of_table(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    return [table_scores(path, keys)]


def _of_file(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    if keys.holds != "scores" or not path.is_file():
        return [table_scores(path, keys)]
    reader = _reader(path)
    if reader is None:
        raise InputError(
            where=str(path),
            found=f"suffix {path.suffix!r}",
            required=f"one of {', '.join(_TABLES)}, .jsonl, .eval, or Inspect's or HELM's .json",
        )
    return reader(path, keys)


def _reader(path: Path) -> Callable[[Path, ScoreKeys], list[ItemScores]] | None:
    if path.suffix.lower() in _TABLES:
        return _of_table
    if path.suffix == ".eval":
        return inspect_scores
    if path.name == "per_instance_stats.json":
        return helm_scores
    if path.suffix == ".json":
        with path.open("rb") as handle:
            return inspect_scores if b'"eval"' in handle.read(65536) else None
    if path.suffix != ".jsonl":
        return None
    if path.name.startswith("samples_"):
        _, first = next(json_lines(path), (0, {}))
        if "doc_id" in first:
            return harness_scores
    return plain_scores


def _refuse_twice(found: list[ItemScores]) -> list[ItemScores]:
    """Check that no model has a task twice: two runs of it are two models."""
    seen: dict[tuple[str, str], str] = {}
    for scores in found:
        before = seen.setdefault((scores.model, scores.task), scores.where)
        if before != scores.where:
            raise InputError(
                where=scores.where,
                found=f"the task {scores.task!r} of the model {scores.model!r}, as in {before}",
                required="every task of a model once",
                remedy="Keep one run in the folder; if the best of several was kept, count them all "
                "with --n-models.",
            )
    return found


def load_model_scores(path: Path, keys: ScoreKeys) -> ItemScores:
    """The losses of the one model in `path`, each item once, its tasks one after another.

    Raises
    ------
    InputError
        The file cannot be used, an id stands twice, or there are several models.
    """
    found = load_scores(path, keys)
    models = {scores.model for scores in found}
    if len(models) > 1:
        raise InputError(
            where=str(path),
            found=f"the models {', '.join(sorted(models)[:6])}",
            required="one model",
            remedy="Pass the log or folder of each model on its own.",
        )
    if len(found) == 1:
        return found[0]
    ids = [s.ids for s in found if s.ids is not None]
    clusters = [np.char.add(f"{s.task}/", s.clusters) for s in found if s.clusters is not None]
    strata = [s.strata for s in found if s.strata is not None]
    weights = [s.weights for s in found if s.weights is not None]
    return replace(
        found[0],
        task="",
        where=str(path),
        losses=np.concatenate([scores.losses for scores in found]),
        ids=np.concatenate(ids) if len(ids) == len(found) else None,
        clusters=np.concatenate(clusters) if clusters else None,
        strata=np.concatenate(strata) if strata else None,
        weights=np.concatenate(weights) if weights else None,
        labels=None,
    )
