"""The folder that a two-phase training run leaves: two checkpoints, the split, the record."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.load.files import reading, require_archive_fits, require_file
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
        data = self.record["inputs"].get("data")
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
    required = "the positions `standard`, `freeze` and `held_out` of the items of each phase"
    remedy = "Only a finished two-phase run has them: gencheck train --two-phase."
    require_file(split, required)
    require_archive_fits(split)
    with (
        reading(split, required, remedy),
        split.open("rb") as handle,
        np.load(handle, allow_pickle=False) as arrays,
    ):
        standard, freeze, held_out = (
            np.asarray(arrays[name]) for name in ("standard", "freeze", "held_out")
        )
    for name, array in (("standard", standard), ("freeze", freeze), ("held_out", held_out)):
        if array.dtype.kind not in "iu" or array.ndim != 1 or array.min(initial=0) < 0:
            raise InputError(
                where=f"{split}, array {name!r}",
                found=f"{array.dtype} of shape {array.shape}",
                required="a row of whole numbers from 0 on",
                remedy=remedy,
            )
    if not len(freeze):
        raise InputError(
            where=str(split), found="no item in `freeze`", required="at least one", remedy=remedy
        )
    run = RunFolder(path, record, standard, freeze, held_out)
    if not run.gates.is_file():
        raise InputError(
            where=str(path), found=f"no {run.gates.name}", required="the programs of the run"
        )
    return run


def _record(path: Path) -> dict[str, Any]:
    record = None
    # one of another kind, or none, is told apart below
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    sound = (
        isinstance(record, dict)
        and record.get("schema") == SCHEMA
        and isinstance(record.get("inputs"), dict)
    )
    if not sound:
        raise InputError(
            where=str(path),
            found=f"a folder without a sound {RECORD}",
            required="a checkpoint file, or the folder of a run of gencheck train --two-phase",
        )
    assert isinstance(record, dict)
    return record
