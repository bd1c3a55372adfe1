"""Optuna's journal files: one JSON record a line, replayed."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gencheck.errors import InputError
from gencheck.load.studies.sampler import optuna_sampler
from gencheck.load.studies.sqlite import objective_names
from gencheck.load.studies.study import Study, Trial

# TrialState of Optuna, by its number.
_STATES = ("running", "complete", "pruned", "failed", "waiting")
_DIRECTIONS = {1: "min", 2: "max"}


@dataclass
class _Trial:
    study: int
    number: int
    state: str = "running"
    values: list[float] = field(default_factory=list)
    history: dict[int, float] = field(default_factory=dict)


@dataclass
class _Study:
    name: str
    directions: list[str]
    trials: int = 0
    marks: set[str] = field(default_factory=set)
    deleted: bool = False


def journal_studies(path: Path) -> list[Study]:
    """Every study of a journal.

    Records are told apart by their keys, not by their codes, which were renumbered between releases.

    Raises
    ------
    InputError
        A line is cut, is no record, or speaks of what was not created; names it.
    """
    studies: list[_Study] = []
    trials: list[_Trial] = []
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            record = _record(path, number, line)
            try:
                _replay(record, studies, trials)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise InputError(
                    where=f"{path}, line {number}",
                    found=f"a record that does not follow from those before it ({error!r})",
                    required="a journal that is whole from its first line on",
                    remedy="Restore it from a copy; a part of a journal would count too few trials.",
                ) from error
    if not studies:
        raise InputError(where=str(path), found="no study", required="a journal that Optuna wrote")
    return [
        _finished(path, index, study, trials)
        for index, study in enumerate(studies)
        if not study.deleted
    ]


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or "op_code" not in record:
        cut = "a line that is cut" if not line.endswith(b"\n") else "a line that is no record"
        raise InputError(
            where=f"{path}, line {number}",
            found=cut,
            required="one JSON object a line, with an op_code",
            remedy=(
                "Wait until nothing writes to it. If the last line was cut by a crash, remove that "
                "line: its trial then counts by what stands before."
            ),
        )
    return record


def _replay(record: dict[str, Any], studies: list[_Study], trials: list[_Trial]) -> None:
    if "study_name" in record:
        studies.append(_Study(str(record["study_name"]), _directions(record.get("directions"))))
    elif "directions" in record:
        studies[record["study_id"]].directions = _directions(record["directions"])
    elif "system_attr" in record:
        own = trials[record["trial_id"]].study if "trial_id" in record else record["study_id"]
        studies[own].marks |= record["system_attr"].keys()
    elif "trial_id" in record:
        _replay_trial(record, trials[record["trial_id"]])
    elif "datetime_start" in record or "state" in record:
        study = studies[record["study_id"]]
        trials.append(_created(record, study.trials))
        study.trials += 1
    elif record.keys() <= {"op_code", "worker_id", "study_id"}:
        studies[record["study_id"]].deleted = True


def _directions(numbers: list[int] | None) -> list[str]:
    return [_DIRECTIONS[number] for number in numbers or [] if number in _DIRECTIONS]


def _created(record: dict[str, Any], number: int) -> _Trial:
    trial = _Trial(int(record["study_id"]), number)
    trial.state = _STATES[record.get("state", 0)]
    given = record.get("values") or ([record["value"]] if record.get("value") is not None else [])
    trial.values = [_number(value) for value in given]
    steps = record.get("intermediate_values") or {}
    trial.history = {int(step): _number(value) for step, value in steps.items()}
    return trial


def _replay_trial(record: dict[str, Any], trial: _Trial) -> None:
    if "intermediate_value" in record:
        trial.history[int(record["step"])] = _number(record["intermediate_value"])
    elif "state" in record:
        trial.state = _STATES[record["state"]]
        if record.get("values") is not None:
            trial.values = [_number(value) for value in record["values"]]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _finished(path: Path, index: int, study: _Study, trials: list[_Trial]) -> Study:
    single = len(study.directions) <= 1
    return Study(
        kind="Optuna, journal",
        name=study.name,
        where=str(path),
        trials=tuple(
            Trial(
                name=f"trial {trial.number}",
                state=trial.state,
                history=(
                    {"value": tuple(trial.history[step] for step in sorted(trial.history))}
                    if trial.history
                    else {}
                ),
                final={
                    "value" if single else f"value {i}": value
                    for i, value in enumerate(trial.values)
                },
            )
            for trial in trials
            if trial.study == index
        ),
        directions=objective_names(study.directions),
        sampler=optuna_sampler(study.marks),
        objectives=max(1, len(study.directions)),
    )
