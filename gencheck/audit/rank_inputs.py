"""A ranking's inputs: one checkpoint, candidate data sets and their reference, brought together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gencheck.audit.inputs import input_record, labelled_items
from gencheck.audit.model import AuditedModel, load_model
from gencheck.audit.question import Labelled
from gencheck.audit.selection import DataSelection, select_splits
from gencheck.audit.two_classes import as_two_classes
from gencheck.errors import InputError
from gencheck.load.digest import sha256_of
from gencheck.load.prepare import candidate_shapes, task_of


@dataclass(frozen=True)
class RankInputs:
    """A model with candidate sets, one reference, and a record of how they were made."""

    model: AuditedModel
    candidates: dict[str, Labelled]
    reference: Labelled
    task: str
    record: dict[str, Any]


def open_candidates(
    checkpoint: Path,
    factory: str | None,
    candidates: Sequence[Path],
    selection: DataSelection,
    dtype: torch.dtype,
    *,
    from_layer: str | None = None,
    key: str | None = None,
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
    chosen = [replace(selection, path=path) for path in candidates]
    splits = [select_splits(each) for each in chosen]
    shapes = candidate_shapes(tuple(splits[0][1].items.shape[1:]))
    model = load_model(checkpoint, factory, shapes, from_layer, key=key)
    task = task_of(splits[0][1], selection.task)
    if task == "classification" and model.network.output_count == 1:
        model = as_two_classes(model)
    # the reference is one file under one seed: the same items beside every candidate
    ordered = [*(sample for sample, _ in splits), splits[0][1]]
    labelled, steps = labelled_items(ordered, model, task, dtype, selection)
    record = input_record(checkpoint, factory, chosen[0], steps, model)
    files = [{"path": str(path), "sha256": sha256_of(path)} for path in candidates]
    del record["data"]
    return RankInputs(
        model=model,
        candidates=dict(zip(names, labelled, strict=False)),
        reference=labelled[-1],
        task=task,
        record=record | {"candidates": files, "key": key, "from": from_layer},
    )
