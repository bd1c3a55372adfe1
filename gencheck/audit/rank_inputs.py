"""A ranking's inputs: one checkpoint, candidate data sets and their reference, brought together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gencheck.audit.inputs import input_record, labelled_items, model_for
from gencheck.audit.model import AuditedModel
from gencheck.audit.question import Labelled
from gencheck.audit.selection import DataSelection, ModelSelection, select_splits
from gencheck.errors import InputError
from gencheck.load.digest import sha256_of


@dataclass(frozen=True)
class RankInputs:
    """A model with candidate sets, one reference, and a record of how they were made."""

    model: AuditedModel
    candidates: dict[str, Labelled]
    reference: Labelled
    task: str
    record: dict[str, Any]


def open_candidates(
    chosen: ModelSelection,
    candidates: Sequence[Path],
    selection: DataSelection,
    dtype: torch.dtype,
) -> RankInputs:
    """One model, candidate data sets by the names of their files, and the reference of `selection`.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers raise them; two candidates have one name.
    """
    names = [str(path) for path in candidates]
    if len(set(names)) < len(names):
        raise InputError(where="CANDIDATE", found="the same file twice", required="different files")
    selections = [replace(selection, path=path) for path in candidates]
    splits = [select_splits(each) for each in selections]
    model, task = model_for(chosen, splits[0][1], selection.task)
    # the reference is one file under one seed: the same items beside every candidate
    ordered = [*(sample for sample, _ in splits), splits[0][1]]
    labelled, steps = labelled_items(ordered, model, task, dtype, selection)
    record = input_record(chosen, selections[0], steps, model)
    del record["data"]
    files = [{"path": str(path), "sha256": sha256_of(path)} for path in candidates]
    return RankInputs(
        model=model,
        candidates=dict(zip(names, labelled, strict=False)),
        reference=labelled[-1],
        task=task,
        record=record | {"candidates": files, "key": chosen.key, "from": chosen.from_layer},
    )
