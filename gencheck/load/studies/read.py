"""Which store a path is, and the one study of it that is meant."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.studies.folders import (
    hydra_folder,
    keras_folder,
    lightning_folder,
    mlflow_folder,
    ray_folder,
    wandb_folder,
)
from gencheck.load.studies.journal import journal_studies
from gencheck.load.studies.sqlite import is_sqlite, sqlite_studies
from gencheck.load.studies.study import Study, Trial
from gencheck.load.table import Column, read_table

# By what is in a folder, the first that fits: a Hydra job may hold Lightning's files.
_FOLDERS: tuple[tuple[str, Callable[[Path], list[Study]]], ...] = (
    ("experiment_state*.json", ray_folder),
    ("trial_*/trial.json", keras_folder),
    ("offline-run-*", wandb_folder),
    ("run-*/files", wandb_folder),
    ("*/.hydra", hydra_folder),
    ("*/*/.hydra", hydra_folder),
    ("*/*/meta.yaml", mlflow_folder),
    ("**/metrics.csv", lightning_folder),
)
_KINDS = (
    "an Optuna or MLflow database (sqlite), an Optuna journal, a .csv of trials, or a folder of MLflow "
    "(mlruns), Ray Tune, Lightning's CSVLogger, Hydra's multirun, wandb or Keras Tuner"
)


def load_study(path: Path, name: str | None) -> Study:
    """The study `name` of a store; the only one where no name is given.

    Raises
    ------
    InputError
        The path is no store, or damaged or locked; there is no such study, or several.
    """
    try:
        studies = _studies(path)
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise InputError(
            where=f"--study {path}",
            found=f"a damaged store ({error!r})",
            required="one as its tool wrote it",
            remedy="Restore it, or export the trials to a .csv file and pass that.",
        ) from error
    chosen = [study for study in studies if name is None or study.name == name]
    if len(chosen) != 1:
        names = ", ".join(repr(study.name) for study in studies[:8])
        raise InputError(
            where=f"--study {path}" if name is None else f"--name {name}",
            found=f"{len(studies)} studies: {names}" if studies else "no study with trials",
            required="the name of one of them: --name NAME" if studies else "one with trials",
        )
    if not chosen[0].trials:
        raise InputError(
            where=f"--study {path}", found=f"no trials in {chosen[0].name!r}", required="a trial"
        )
    return chosen[0]


def _studies(path: Path) -> list[Study]:
    if path.is_dir():
        for pattern, reader in _FOLDERS:
            if next(path.glob(pattern), None) is not None:
                return reader(path)
        raise InputError(where=f"--study {path}", found="a folder of none of them", required=_KINDS)
    if not path.is_file():
        raise InputError(where=f"--study {path}", found="no such file", required=_KINDS)
    if is_sqlite(path):
        return sqlite_studies(path)
    if path.suffix.lower() == ".csv":
        return [_trials_table(path)]
    with path.open("rb") as handle:
        first = handle.read(1)
    if first == b"{":
        return journal_studies(path)
    raise InputError(where=f"--study {path}", found="a file of none of them", required=_KINDS)


def _trials_table(path: Path) -> Study:
    """A row a trial; columns of numbers are metrics, and `state` (or `status`) its state."""
    table = read_table(path)
    state_column = next((n for n in ("state", "State", "status") if n in table.columns), None)
    numbers = {n: c for n in table.columns if (c := _numbers(table.columns[n])) is not None}
    trials = []
    for row in range(len(table)):
        state = "unknown" if state_column is None else str(table.columns[state_column][row])
        trials.append(
            Trial(
                name=f"row {row}",
                state={"complete": "complete", "pruned": "pruned", "fail": "failed"}.get(
                    state.lower().removeprefix("trialstate."), "unknown"
                ),
                final={
                    name: float(column[row])
                    for name, column in numbers.items()
                    if str(table.columns[name][row]) != ""
                },
            )
        )
    return Study("trials, .csv", path.stem, str(path), tuple(trials))


def _numbers(column: Column) -> NDArray[np.float64] | None:
    """The column as floats, NaN where a cell is empty; None where a cell is neither."""
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    try:
        return np.array([cell if cell != "" else "nan" for cell in column], dtype=np.float64)
    except (TypeError, ValueError):
        return None
