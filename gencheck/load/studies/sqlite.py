"""Studies in sqlite databases: Optuna's and MLflow's own tables, read only."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gencheck.errors import InputError
from gencheck.load.studies.sampler import optuna_sampler
from gencheck.load.studies.study import Study, Trial

_STATES = {
    "COMPLETE": "complete",
    "FINISHED": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "FAILED": "failed",
    "KILLED": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
    "SCHEDULED": "waiting",
}
# Seconds to wait for a writer to let go.
_PATIENCE = 2.0


def is_sqlite(path: Path) -> bool:
    """True where the file starts as a sqlite database does."""
    with path.open("rb") as handle:
        return handle.read(16) == b"SQLite format 3\x00"


def sqlite_studies(path: Path) -> list[Study]:
    """Every study of an Optuna or MLflow database.

    Raises
    ------
    InputError
        The database is locked or damaged, or is neither's.
    """
    with _database(path) as rows:
        tables = {name for (name,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if {"studies", "trials"} <= tables:
            return _optuna(path, rows)
        if {"experiments", "runs", "metrics"} <= tables:
            return _mlflow(path, rows)
    raise InputError(
        where=str(path),
        found=f"a database of {', '.join(sorted(tables)[:6]) or 'no tables'}",
        required="one that Optuna or MLflow wrote",
    )


class _Rows:
    """Runs queries on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(query, values))

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns; none where there is no such table."""
        return {row[1] for row in self(f"PRAGMA table_info({table})")}


@contextmanager
def _database(path: Path) -> Iterator[_Rows]:
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as connection:
            yield _Rows(connection)
    except (sqlite3.Error, ValueError, TypeError) as error:
        busy = "locked" in str(error) or "busy" in str(error)
        raise InputError(
            where=str(path),
            found="a locked database" if busy else f"a damaged database ({error})",
            required="a sqlite database that can be read",
            remedy=(
                "Wait until the process that writes to it has ended, or copy it and pass the copy."
                if busy
                else "Restore it from a copy, or export the trials to a .csv file and pass that."
            ),
        ) from error


def _optuna(path: Path, rows: _Rows) -> list[Study]:
    finals = _optuna_finals(rows)
    history = _optuna_history(rows)
    by_study: dict[int, list[Trial]] = defaultdict(list)
    numbered = "number" if "number" in rows.columns("trials") else "trial_id"
    query = f"SELECT trial_id, study_id, {numbered}, state FROM trials ORDER BY trial_id"
    for trial, study, number, state in rows(query):
        by_study[study].append(
            Trial(
                name=f"trial {number}",
                state=_STATES.get(state, "unknown"),
                history={"value": tuple(history[trial])} if trial in history else {},
                final=finals.get(trial, {}),
            )
        )
    directions, marks = _optuna_directions(rows), _optuna_marks(rows)
    return [
        Study(
            kind="Optuna, sqlite",
            name=name,
            where=str(path),
            trials=tuple(by_study[study]),
            directions=objective_names(directions.get(study, [])),
            sampler=optuna_sampler(marks[study]),
            objectives=max(1, len(directions.get(study, []))),
        )
        for study, name in rows("SELECT study_id, study_name FROM studies ORDER BY study_id")
    ]


def _optuna_marks(rows: _Rows) -> dict[int, set[str]]:
    """By study: the keys of the system attributes of its own and of its trials."""
    found: dict[int, set[str]] = defaultdict(set)
    if rows.columns("study_system_attributes"):
        for study, key in rows("SELECT study_id, key FROM study_system_attributes"):
            found[study].add(key)
    if rows.columns("trial_system_attributes"):
        query = "SELECT DISTINCT study_id, key FROM trial_system_attributes JOIN trials USING (trial_id)"
        for study, key in rows(query):
            found[study].add(key)
    return found


def objective_names(directions: list[str]) -> dict[str, str]:
    """``value`` for a single objective, ``value 0``, ``value 1``, … for several, as in the trials."""
    if len(directions) == 1:
        return {"value": directions[0]}
    return {f"value {i}": direction for i, direction in enumerate(directions)}


def _optuna_directions(rows: _Rows) -> dict[int, list[str]]:
    short = {"MAXIMIZE": "max", "MINIMIZE": "min"}
    found: dict[int, list[str]] = defaultdict(list)
    if "direction" in rows.columns("studies"):
        # before Optuna 2.4 a study had one objective, in its own row
        pairs = rows("SELECT study_id, direction FROM studies")
    else:
        pairs = rows("SELECT study_id, direction FROM study_directions ORDER BY objective")
    for study, direction in pairs:
        if direction in short:
            found[study].append(short[direction])
    return found


def _optuna_finals(rows: _Rows) -> dict[int, dict[str, float]]:
    finals: dict[int, dict[str, float]] = defaultdict(dict)
    columns = rows.columns("trial_values")
    if "objective" not in columns:
        # before Optuna 2.4 the value stood in the trial's row
        query = "SELECT trial_id, value FROM trials WHERE value IS NOT NULL"
        return {trial: {"value": float(value)} for trial, value in rows(query)}
    kind = "value_type" if "value_type" in columns else "'FINITE'"
    query = f"SELECT trial_id, objective, value, {kind} FROM trial_values ORDER BY objective"
    found = rows(query)
    single = not any(objective for _, objective, *_ in found)
    for trial, objective, value, value_type in found:
        name = "value" if single else f"value {objective}"
        finals[trial][name] = _number(value, value_type)
    return finals


def _optuna_history(rows: _Rows) -> dict[int, list[float]]:
    columns = rows.columns("trial_intermediate_values")
    history: dict[int, list[float]] = defaultdict(list)
    if columns:
        kind = "intermediate_value_type" if "intermediate_value_type" in columns else "'FINITE'"
        query = (
            f"SELECT trial_id, intermediate_value, {kind} FROM trial_intermediate_values "
            "ORDER BY trial_id, step"
        )
    elif "step" in rows.columns("trial_values"):
        query = "SELECT trial_id, value, 'FINITE' FROM trial_values ORDER BY trial_id, step"
    else:
        return history
    for trial, value, value_type in rows(query):
        history[trial].append(_number(value, value_type))
    return history


def _number(value: float | None, value_type: str) -> float:
    infinite = {"INF_POS": math.inf, "INF_NEG": -math.inf}
    if value_type in infinite:
        return infinite[value_type]
    return math.nan if value is None else float(value)


def _mlflow(path: Path, rows: _Rows) -> list[Study]:
    history: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    query = "SELECT run_uuid, key, value, is_nan FROM metrics ORDER BY step, timestamp"
    for run, key, value, is_nan in rows(query):
        history[run][key].append(math.nan if is_nan else float(value))
    trials: dict[int, list[Trial]] = defaultdict(list)
    deleted: dict[int, int] = defaultdict(int)
    query = (
        "SELECT run_uuid, name, status, experiment_id, lifecycle_stage FROM runs "
        "ORDER BY start_time, run_uuid"
    )
    for run, name, status, experiment, stage in rows(query):
        deleted[experiment] += stage == "deleted"
        trials[experiment].append(
            Trial(
                name=f"run {name or run}",
                state=_STATES.get(status, "unknown"),
                history={key: tuple(scores) for key, scores in history[run].items()},
            )
        )
    return [
        Study(
            kind="MLflow, sqlite",
            name=name,
            where=str(path),
            trials=tuple(trials[experiment]),
            notes=deleted_note(deleted[experiment]),
        )
        for experiment, name in rows("SELECT experiment_id, name FROM experiments")
        if trials[experiment]
    ]


def deleted_note(count: int) -> tuple[str, ...]:
    """What is said of runs that were deleted: they were tried all the same."""
    return (f"{count} deleted runs counted: they were tried",) if count else ()
