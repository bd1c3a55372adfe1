"""The folder that a two-phase training run leaves: two checkpoints, the split, the record.

``run.json`` is written last and holds the SHA-256 of every other file. Whoever reads the folder reads it
here, and gets nothing where a file is missing or is not the one that the run wrote.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gencheck.errors import InputError
from gencheck.load.digest import sha256_of
from gencheck.load.files import reading, require_archive_fits, require_file
from gencheck.load.split import Array

RECORD, SPLIT = "run.json", "split.npz"
GATES, WEIGHTS, SOLUTION = "gates", "weights", "ridge.npz"
# The program of a run in one phase.
MODEL = "model"
SCHEMA = "gencheck.train/1"
_TRAIN = "Only a finished two-phase run has them: gencheck train --two-phase."


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
    def solved(self) -> bool:
        """True where the freeze phase left such a solution."""
        return SOLUTION in self.record["digests"]

    @property
    def weights(self) -> Path:
        """The program with the weights after the freeze phase.

        Raises
        ------
        InputError
            There is none, because the freeze phase was solved in path space.
        """
        path = self.path / f"{WEIGHTS}.pt2"
        if path.name not in self.record["digests"]:
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
    """The run in a folder, every file of it compared with the digest that the run recorded.

    Raises
    ------
    InputError
        The folder is not that of a finished two-phase run, or a file is not the run's own.
    """
    record = run_record(path)
    _require_digests(path, record)
    split = path / SPLIT
    required = "the positions `standard`, `freeze` and `held_out` of the items of each phase"
    require_file(split, required)
    require_archive_fits(split)
    with (
        reading(split, required, _TRAIN),
        split.open("rb") as handle,
        np.load(handle, allow_pickle=False) as arrays,
    ):
        parts = {name: np.asarray(arrays[name]) for name in ("standard", "freeze", "held_out")}
    for name, array in parts.items():
        if array.dtype.kind not in "iu" or array.ndim != 1 or array.min(initial=0) < 0:
            raise InputError(
                where=f"{split}, array {name!r}",
                found=f"{array.dtype} of shape {array.shape}",
                required="a row of whole numbers from 0 on",
                remedy=_TRAIN,
            )
    if not len(parts["freeze"]):
        raise InputError(
            where=str(split), found="no item in `freeze`", required="at least one", remedy=_TRAIN
        )
    return RunFolder(path, record, **parts)


def run_record(path: Path) -> dict[str, Any]:
    """The document in the folder's ``run.json``.

    Raises
    ------
    InputError
        There is none: the run is unfinished, or the folder is none of a run.
    """
    record = None
    # one of another kind, or none, is told apart below
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    if (
        isinstance(record, dict)
        and record.get("schema") == SCHEMA
        and isinstance(record.get("inputs"), dict)
    ):
        return record
    raise InputError(
        where=str(path),
        found=f"a folder without a sound {RECORD}",
        required="a checkpoint file, or the folder of a finished run of gencheck train --two-phase",
        remedy="A run that was interrupted goes on when the same command is given again.",
    )


def _require_digests(path: Path, record: dict[str, Any]) -> None:
    """Every file of the run is there and has the bytes that the run wrote.

    Raises
    ------
    InputError
        One is missing or differs, or the record lacks the digest of one that is read.
    """
    recorded = record.get("digests")
    digests: dict[str, object] = recorded if isinstance(recorded, dict) else {}
    names = set(digests)
    programs = {f"{name}.{kind}" for name in (GATES, WEIGHTS) for kind in ("pt2", "safetensors")}
    solved = {f"{WEIGHTS}.pt2", SOLUTION} & names
    if not {f"{GATES}.pt2", SPLIT} <= names <= programs | {SPLIT, SOLUTION} or len(solved) != 1:
        raise InputError(
            where=str(path / RECORD),
            found=f"digests of {', '.join(sorted(map(str, names))) or 'no file'}",
            required=f"those of {GATES}.pt2, {SPLIT} and {WEIGHTS}.pt2 (or {SOLUTION})",
            remedy="Only a finished two-phase run has them; train again: gencheck train --two-phase.",
        )
    for name in sorted(names):
        own = path / name
        if not own.is_file() or sha256_of(own) != digests[name]:
            raise InputError(
                where=str(own),
                found="another file than the run wrote" if own.is_file() else "no such file",
                required=f"the one whose SHA-256 is in {RECORD}",
                remedy="Give the command of the run again, with --overwrite.",
            )
