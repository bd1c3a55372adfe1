"""Studies that are folders of runs: MLflow, Ray Tune, Lightning, Hydra, Weights & Biases, Keras Tuner."""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gencheck.errors import InputError
from gencheck.load.studies.sampler import hydra_sampler, keras_sampler, ray_sampler
from gencheck.load.studies.sqlite import deleted_note
from gencheck.load.studies.study import Scores, Study, Trial

_MLFLOW_STATES = {"1": "running", "2": "waiting", "3": "complete", "4": "failed", "5": "failed"}
_RAY_STATES = {
    "TERMINATED": "complete",
    "ERROR": "failed",
    "RUNNING": "running",
    "PAUSED": "pruned",
    "PENDING": "waiting",
}
_KERAS_STATES = {"COMPLETED": "complete", "RUNNING": "running", "IDLE": "waiting"}
# What Ray records beside the scores.
_RAY_OWN = frozenset(
    {
        *("timestamp", "training_iteration", "time_this_iter_s", "time_total_s", "pid"),
        *("time_since_restore", "iterations_since_restore", "done", "timesteps_total"),
    }
)


def mlflow_folder(path: Path) -> list[Study]:
    """Every experiment of an `mlruns` folder; deleted runs count."""
    studies = []
    for meta in sorted(path.glob("*/meta.yaml")):
        facts = _plain_yaml(meta)
        runs = sorted(meta.parent.glob("*/meta.yaml"))
        if not runs:
            continue
        trials, deleted = [], 0
        for run in runs:
            of_run = _plain_yaml(run)
            deleted += of_run.get("lifecycle_stage") == "deleted"
            trials.append(
                Trial(
                    name=f"run {of_run.get('run_name') or run.parent.name}",
                    state=_MLFLOW_STATES.get(of_run.get("status", ""), "unknown"),
                    history={
                        str(file.relative_to(run.parent / "metrics")): _mlflow_metric(file)
                        for file in sorted((run.parent / "metrics").rglob("*"))
                        if file.is_file()
                    },
                )
            )
        name = facts.get("name", meta.parent.name)
        studies.append(
            Study(
                "MLflow, folder",
                name,
                str(meta.parent),
                tuple(trials),
                notes=deleted_note(deleted),
            )
        )
    return studies


def _plain_yaml(path: Path) -> dict[str, str]:
    """The top-level ``key: value`` lines of a file; quotes around a value are taken off."""
    facts = {}
    for line in _text(path).splitlines():
        key, colon, value = line.partition(":")
        if colon and not key.startswith((" ", "-", "#")):
            facts[key.strip()] = value.strip().strip("'\"")
    return facts


def _mlflow_metric(path: Path) -> Scores:
    """The values of lines ``timestamp value step``, in the order of their steps."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        try:
            timestamp, value, *step = line.split()
            rows.append((int(step[0]) if step else 0, int(timestamp), float(value)))
        except ValueError:
            raise InputError(
                where=f"{path}, line {number}",
                found=repr(line[:40]),
                required="a time, a value and a step",
                remedy="A line that a crash cut can be removed.",
            ) from None
    return tuple(value for *_, value in sorted(rows, key=lambda row: row[:2]))


def ray_folder(path: Path) -> list[Study]:
    """A Ray Tune experiment: trials from its newest state file, scores from their `result.json`."""
    (newest, *_) = sorted(path.glob("experiment_state*.json"), reverse=True)
    trials, restarts = [], 0
    for entry in _json(newest).get("trial_data", []):
        # a pair of JSON texts, or in older releases one
        static, runtime = (_loaded(newest, part) for part in ([*entry, "{}"][:2]))
        restarts += int(runtime.get("num_failures") or 0)
        folder = path / Path(str(static.get("relative_logdir") or "-"))
        history = _json_lines(folder / "result.json")
        if not history and isinstance(runtime.get("last_result"), dict):
            history = [runtime["last_result"]]
        trials.append(
            Trial(
                name=f"trial {static.get('trial_id', '?')}",
                state=_RAY_STATES.get(str(static.get("status")), "unknown"),
                history=_histories(history, _RAY_OWN),
            )
        )
    notes = (f"{restarts} restarts after failures: their scores are counted",) if restarts else ()
    return [
        Study(
            "Ray Tune",
            path.name,
            str(newest),
            tuple(trials),
            notes=notes,
            sampler=ray_sampler([file.name for file in path.iterdir()]),
        )
    ]


def _loaded(path: Path, part: Any) -> dict[str, Any]:
    try:
        value = json.loads(part) if isinstance(part, str) else part
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _damaged(path, "a trial that is no JSON object")
    return value


def lightning_folder(path: Path) -> list[Study]:
    """The versions of Lightning's CSVLogger: one `metrics.csv` each, below `path`."""
    trials = [
        Trial(name=str(file.parent.relative_to(path)), history=csv_history(file))
        for file in sorted(path.rglob("metrics.csv"))
    ]
    return [Study("Lightning, CSVLogger", path.name, str(path), tuple(trials))]


def csv_history(path: Path) -> dict[str, Scores]:
    """The numbers of each column, empty cells left out; `epoch` and `step` are no scores."""
    with path.open(encoding="utf-8", newline="", errors="replace") as handle:
        rows = csv.DictReader(handle)
        return _histories(rows, frozenset({"epoch", "step"}))


def _histories(rows: Iterable[dict[str, Any]], but: frozenset[str]) -> dict[str, Scores]:
    """By key: its numbers, one a row that has it."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            number = _number(value)
            if number is not None and key not in but:
                found[str(key)].append(number)
    return {key: tuple(scores) for key, scores in found.items()}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def hydra_folder(path: Path) -> list[Study]:
    """The jobs of a Hydra multirun: every folder with a `.hydra` in it.

    Hydra keeps no scores; those of a `metrics.json` (one object) or of every Lightning `metrics.csv` in
    the job's folder are taken.
    """
    trials = []
    for mark in sorted(path.rglob(".hydra")):
        job = mark.parent
        histories = [csv_history(file) for file in sorted(job.rglob("metrics.csv"))]
        names = {name: None for history in histories for name in history}
        # a job may have trained several times; each of its scores was one to choose by
        history = {name: sum((h.get(name, ()) for h in histories), ()) for name in names}
        own = job / "metrics.json"
        kept = _histories([_json(own)], frozenset()) if own.is_file() else {}
        final = {name: scores[-1] for name, scores in kept.items()}
        trials.append(Trial(name=f"job {job.relative_to(path)}", history=history, final=final))
    settings = sorted(path.rglob("hydra.yaml"))
    sampler = hydra_sampler(_text(settings[0])) if settings else None
    return [Study("Hydra, multirun", path.name, str(path), tuple(trials), sampler=sampler)]


def wandb_folder(path: Path) -> list[Study]:
    """The runs of a `wandb` folder, offline or synchronised. Their scores are in a format of its own."""
    trials = []
    for run in sorted((*path.glob("offline-run-*"), *path.glob("run-*"))):
        summary = run / "files" / "wandb-summary.json"
        history = _histories([_json(summary)], frozenset()) if summary.is_file() else {}
        own = {key: scores for key, scores in history.items() if not key.startswith("_")}
        trials.append(Trial(name=run.name, history=own))
    note = "runs are counted; scores are read only where a wandb-summary.json was written"
    return [Study("Weights & Biases", path.name, str(path), tuple(trials), notes=(note,))]


def keras_folder(path: Path) -> list[Study]:
    """A Keras Tuner project: one `trial.json` a trial."""
    trials, directions = [], {}
    for file in sorted(path.glob("trial_*/trial.json")):
        found = _json(file)
        history: dict[str, Scores] = {}
        for metric, content in _at(found, "metrics", "metrics").items():
            observed = sorted(content.get("observations", []), key=lambda o: o.get("step") or 0)
            history[metric] = tuple(
                math.nan if value is None else float(value)
                for o in observed
                for value in o.get("value", [])
            )
            if content.get("direction") in {"max", "min"}:
                directions[metric] = content["direction"]
        trials.append(
            Trial(
                name=f"trial {found.get('trial_id', file.parent.name)}",
                state=_KERAS_STATES.get(str(found.get("status")), "failed"),
                history=history,
            )
        )
    oracle = path / "oracle.json"
    note = "a score is the mean of a trial's executions: each of these was a model that was tried"
    return [
        Study(
            kind="Keras Tuner",
            name=path.name,
            where=str(path),
            trials=tuple(trials),
            directions=directions,
            notes=(note,),
            sampler=keras_sampler(_json(oracle)) if oracle.is_file() else None,
        )
    ]


def _at(value: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _damaged(path, f"a file that cannot be read ({error.strerror})") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON ({error})") from error
    if not isinstance(value, dict):
        raise _damaged(path, "no JSON object")
    return value


def _json_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise _damaged(path, f"no JSON object in line {number}")
        rows.append(row)
    return rows


def _damaged(path: Path, found: str) -> InputError:
    return InputError(
        where=str(path),
        found=found,
        required="a file as its tool wrote it",
        remedy="Restore it, or export the trials to a .csv file and pass that.",
    )
