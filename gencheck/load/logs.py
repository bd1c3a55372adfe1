"""Evaluation logs, one score an item: lm-evaluation-harness, plain JSON lines."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.load.item_scores import ItemScores, ScoreKeys, refuse_outside, table_scores
from gencheck.load.json_lines import Record, json_lines
from gencheck.load.losses import is_score

_SAMPLES = re.compile(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?")
# Inspect's own reading of a grade.
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
# The key of strata that every log has.
TASK = "task"
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


@dataclass
class ScoreRows:
    """What is gathered of one model's items on one task."""

    where: str
    scores: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, record: Record, score: float, identity: str, keys: ScoreKeys, at: str) -> None:
        """Take one item; `at` is its place."""
        self.scores.append(score)
        self.ids.append(identity)
        if keys.cluster_key is not None:
            own = keys.cluster_key == "id"
            self.clusters.append(identity if own else _name_at(record, keys.cluster_key, at))
        if keys.stratify_key not in (None, TASK):
            self.strata.append(_name_at(record, str(keys.stratify_key), at))
        if keys.weight_key is not None:
            self.weights.append(
                score_of(value_at(record, keys.weight_key, at), at, keys.weight_key)
            )

    def finished(self, model: str, task: str, keys: ScoreKeys) -> ItemScores:
        """The losses, checked."""
        if not self.scores:
            raise InputError(where=self.where, found="no items", required="at least one")
        if keys.stratify_key == TASK:
            self.strata = [task] * len(self.scores)
        losses = keys.low + keys.high - np.array(self.scores)
        refuse_outside(losses, f"{self.where}, item", keys, score=True)
        return ItemScores(
            model=model,
            task=task,
            losses=losses,
            where=self.where,
            ids=np.array(self.ids) if all(self.ids) else None,
            clusters=np.array(self.clusters) if self.clusters else None,
            strata=np.array(self.strata) if self.strata else None,
            weights=np.array(self.weights) if self.weights else None,
        )


def value_at(record: Record, key: str, at: str) -> Any:
    """The value under a key, or under dots a key within a key.

    Raises
    ------
    InputError
        There is none.
    """
    value: Any = record.get(key)
    if value is None:
        value = record
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        raise InputError(
            where=at,
            found=f"no value under {key!r}",
            required=f"one of {', '.join(sorted(map(str, record))[:12])}, dots for keys within keys",
        )
    return value


def _name_at(record: Record, key: str, at: str) -> str:
    """What groups an item: a value that is not blank."""
    value = value_at(record, key, at)
    whole = isinstance(value, float) and value.is_integer()
    name = str(int(value) if whole else value)
    if not name.strip() or value != value:
        raise InputError(
            where=at, found=f"under {key!r} {name!r}", required="a name of the group of the item"
        )
    return name


def score_of(value: Any, at: str, key: str) -> float:
    """The finite number that a score means."""
    if isinstance(value, str):
        value = _GRADES.get(value, _WORDS.get(value.lower(), value))
    if isinstance(value, list | dict):
        raise InputError(
            where=at,
            found=f"under {key!r} {type(value).__name__} of {len(value)}: no score of the item alone",
            required="a number an item",
            remedy=(
                "A metric of a whole corpus (BLEU, F1 of all items, perplexity) is no mean over items; "
                "choose a metric of each item with --score-key."
            ),
        )
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InputError(
            where=at, found=f"under {key!r} {str(value)[:40]!r}", required="a finite number"
        )
    return number


def harness_scores(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    """lm-evaluation-harness' `samples_TASK_DATE.jsonl`: the metric `keys.score_key`, or the only one.

    Where a task has several filters the key is ``metric,filter``, as in the harness' own results.
    """
    match = _SAMPLES.fullmatch(path.stem)
    task = match[1] if match else path.stem
    records = list(json_lines(path))
    metric, chosen = _metric_and_filter(path, [record for _, record in records], keys.score_key)
    rows = ScoreRows(str(path))
    for number, record in records:
        if chosen in (None, record.get("filter")):
            at = f"{path}, line {number}"
            score = score_of(value_at(record, metric, at), at, metric)
            rows.add(record, score, f"{task}/{record['doc_id']}", keys, at)
    return [rows.finished(path.parent.name, task, keys)]


def _metric_and_filter(
    path: Path, records: list[Record], asked: str | None
) -> tuple[str, str | None]:
    metric, _, chosen = (asked or "").partition(",")
    filters = sorted({str(record.get("filter", "none")) for record in records})
    names = sorted({str(name) for record in records for name in record.get("metrics", ())})
    if not metric:
        if len(names) != 1:
            raise InputError(
                where=str(path),
                found=f"the metrics {', '.join(names) or 'of no name'}",
                required="the one to bound: --score-key METRIC",
            )
        metric = names[0]
    if len(filters) > 1 and chosen not in filters:
        raise InputError(
            where=str(path),
            found=f"the filters {', '.join(filters)}",
            required=f"one of them: --score-key {metric},{filters[0]}",
        )
    return metric, chosen or None


def plain_scores(path: Path, keys: ScoreKeys) -> list[ItemScores]:
    """JSON lines of anybody's: the score under `keys.score_key`, by `model` and `task` where given.

    Without such a key they are a table of losses or predictions, as their first line shows.
    """
    if keys.score_key is None:
        _, first = next(json_lines(path), (0, {}))
        predicted = "label" in first and ("prediction" in first or any(map(is_score, first)))
        if "loss" in first or predicted:
            return [table_scores(path, keys)]
        raise InputError(
            where=str(path),
            found="JSON lines of no known tool",
            required="the key of the score: --score-key KEY (dots for keys within keys)",
        )
    groups: dict[tuple[str, str], ScoreRows] = defaultdict(lambda: ScoreRows(str(path)))
    for number, record in json_lines(path):
        at = f"{path}, line {number}"
        group = groups[str(record.get("model", path.stem)), str(record.get("task", ""))]
        score = score_of(value_at(record, keys.score_key, at), at, keys.score_key)
        name = keys.id_key or next((n for n in ("id", "item_id", "doc_id") if n in record), None)
        group.add(record, score, str(value_at(record, name, at)) if name else "", keys, at)
    if not groups:
        raise InputError(where=str(path), found="no lines", required="at least one")
    return [rows.finished(model, task, keys) for (model, task), rows in groups.items()]
