"""The folder that a two-phase training run leaves: two checkpoints, the split, the record."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.load.split import Array

RECORD, SPLIT = "run.json", "split.npz"
GATES, WEIGHTS, SOLUTION = "gates", "weights", "ridge.npz"
SCHEMA = "gencheck.train/1"


@dataclass(frozen=True)
class RunFolder:
    """A finished two-phase run.

    Attributes
    ----------
    path
        The folder.
    record
        How the run was made: data with SHA-256, architecture, alpha, seeds, results.
    standard, freeze
        The positions in their file of the items of each phase.
    held_out
        Those of the items that were held out of the same file; empty where none were.
    """

    path: Path
    record: dict[str, Any]
    standard: Array
    freeze: Array
    held_out: Array

    @property
    def solution(self) -> Path:
        """Where a ridge solution stands in the place of weights."""
        return self.path / SOLUTION

    @property
    def weights(self) -> Path:
        """The program with the weights after the freeze phase.

        Raises
        ------
        InputError
            There is none, because the freeze phase was solved in path space.
        """
        path = self.path / f"{WEIGHTS}.pt2"
        if not path.is_file():
            raise InputError(
                where=str(self.path),
                found=f"no {path.name}",
                required="a freeze phase by gradient descent (--solver sgd)",
                remedy=f"A ridge solution has path weights only: {RECORD} has its norms, gap and "
                "bound; gencheck data-indep --checkpoint reads it.",
            )
        return path

    @property
    def gates(self) -> Path:
        """The program that decides the gates, as it was after the standard phase."""
        return self.path / f"{GATES}.pt2"

    def trained_on(self, digest: str) -> bool:
        """True where the data with this SHA-256 are those of the run."""
        data = self.record["inputs"]["data"]
        return isinstance(data, dict) and data.get("sha256") == digest


def positions_of(items: Array, among: Array, where: str) -> Array:
    """Where the items at positions `items` of their file stand in a split with positions `among`.

    Raises
    ------
    InputError
        The split does not have all of them.
    """
    order = np.argsort(among)
    found = np.searchsorted(among, items, sorter=order)
    if found.max(initial=-1) >= len(among) or not np.array_equal(among[order[found]], items):
        raise InputError(
            where=where,
            found="a split without some of the items that the run was trained on",
            required="the data of the run, with the same --x-key and --y-key",
        )
    return order[found]


def read_run_folder(path: Path) -> RunFolder:
    """The run in a folder.

    Raises
    ------
    InputError
        The folder is not that of a finished two-phase run.
    """
    record = _record(path)
    split = path / SPLIT
    try:
        with np.load(split, allow_pickle=False) as arrays:
            standard, freeze = arrays["standard"], arrays["freeze"]
            held_out = arrays["held_out"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            where=str(split),
            found=f"{type(error).__name__}: {error}",
            required="the positions `standard` and `freeze` of the items of each phase",
            remedy="Only a finished two-phase run has them: gencheck train --two-phase.",
        ) from error
    if standard.dtype.kind not in "iu" or freeze.dtype.kind not in "iu" or not len(freeze):
        raise InputError(
            where=str(split),
            found=f"arrays of {standard.dtype} and {freeze.dtype}",
            required="whole numbers, at least one in `freeze`",
        )
    run = RunFolder(path, record, standard, freeze, held_out)
    if not run.gates.is_file():
        raise InputError(
            where=str(path), found=f"no {run.gates.name}", required="the programs of the run"
        )
    return run


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        sound = isinstance(record, dict) and record["schema"] == SCHEMA and "inputs" in record
    except (OSError, ValueError, KeyError):
        sound = False
    if not sound:
        raise InputError(
            where=str(path),
            found=f"a folder without a sound {RECORD}",
            required="a checkpoint file, or the folder of a run of gencheck train --two-phase",
        )
    assert isinstance(record, dict)
    return record
