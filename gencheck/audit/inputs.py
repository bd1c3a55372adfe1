"""A case for the audit: one checkpoint and one data set, opened and brought together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gencheck.audit.model import AuditedModel, load_model
from gencheck.audit.question import Labelled
from gencheck.audit.selection import DataSelection, ModelSelection, select_splits
from gencheck.audit.two_classes import as_two_classes
from gencheck.errors import InputError
from gencheck.load.digest import sha256_of
from gencheck.load.hugging_face import is_pretrained_folder
from gencheck.load.prepare import candidate_shapes, prepared, target_rows, task_of
from gencheck.load.run_folder import RunFolder, read_run_folder
from gencheck.load.split import Split, require_same_classes


@dataclass(frozen=True)
class AuditInputs:
    """A model with a sample and a reference in its shape, and a record of how they were made."""

    model: AuditedModel
    sample: Labelled
    reference: Labelled
    task: str
    record: dict[str, Any]
    gates_independent: bool = False


def open_inputs(
    chosen: ModelSelection, selection: DataSelection, dtype: torch.dtype
) -> AuditInputs:
    """The model and the data of one audit, with everything that is needed to repeat it.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers raise them.
    """
    run, notes = None, []
    independent = chosen.gates_independent or chosen.gates is not None
    if chosen.checkpoint.is_dir() and not is_pretrained_folder(chosen.checkpoint):
        found = _run_of(chosen)
        chosen = replace(chosen, checkpoint=found.weights, gates=found.gates)
        if found.trained_on(sha256_of(selection.path)):
            run = found
            # what another reference holds may have trained the gates
            independent = chosen.gates_independent or selection.reference is None
            notes = [f"the {len(run.freeze)} items of the freeze phase; the gates saw none of them"]
    sample, reference = select_splits(selection, run)
    model, task = model_for(chosen, sample, selection.task)
    labelled, steps = labelled_items((sample, reference), model, task, dtype, selection)
    gates = chosen.gates
    return AuditInputs(
        model=model,
        sample=labelled[0],
        reference=labelled[1],
        task=task,
        record=input_record(chosen, selection, [*notes, *steps], model)
        | {
            "key": chosen.key,
            "output": chosen.output,
            "from": chosen.from_layer,
            "gates": None if gates is None else {"path": str(gates), "sha256": sha256_of(gates)},
            "gates_independent": independent,
        },
        gates_independent=independent,
    )


def model_for(chosen: ModelSelection, sample: Split, task: str) -> tuple[AuditedModel, str]:
    """The model that takes the sample's items, and what their targets mean: `task` where it is not auto.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the reader raises them.
    """
    model = load_model(
        chosen.checkpoint,
        chosen.factory,
        candidate_shapes(tuple(sample.items.shape[1:])),
        chosen.from_layer,
        chosen.gates,
        key=chosen.key,
        output=chosen.output,
    )
    task = task_of(sample, task)
    if task == "classification" and model.network.output_count == 1:
        model = as_two_classes(model)
    return model, task


def labelled_items(
    splits: Sequence[Split],
    model: AuditedModel,
    task: str,
    dtype: torch.dtype,
    selection: DataSelection,
) -> tuple[list[Labelled], list[str]]:
    """The items of each split as the model takes them, and the steps that made them so."""
    if task == "classification":
        require_same_classes(splits)
    name = "int64" if model.whole_numbers else str(dtype).removeprefix("torch.")
    labelled: list[Labelled] = []
    steps: list[str] = []
    transform, normalise = selection.transform, selection.normalise
    for split in splits:
        items, taken = prepared(split, model.item_shape, name, transform is None, model.vocabulary)
        if selection.resize is not None:
            taken = [selection.resize.words, *taken]
        if normalise is not None:
            items = normalise.applied(items, split.where)
            taken = [*taken, normalise.words]
        labelled.append(
            Labelled(
                items=torch.from_numpy(items),
                targets=torch.from_numpy(target_rows(split, task, model.network.output_count)),
                indices=split.indices.tolist(),
                stored_shape=tuple(split.items.shape[1:]) if transform is None else None,
                names=split.names,
            )
        )
        steps += [step for step in taken if step not in steps]
    if transform is not None:
        steps.append(f"each item transformed by {transform}")
    return labelled, steps


def _run_of(chosen: ModelSelection) -> RunFolder:
    if chosen.gates is not None:
        raise InputError(
            where="--gates",
            found=f"{chosen.gates}, beside the folder {chosen.checkpoint}, which has gates of its own",
            required="--gates only with a checkpoint file",
        )
    return read_run_folder(chosen.checkpoint)


def input_record(
    chosen: ModelSelection, selection: DataSelection, steps: list[str], model: AuditedModel
) -> dict[str, Any]:
    """What repeats the choice of model and data: paths with digests, options, steps, assumptions."""
    checkpoint = chosen.checkpoint
    other = selection.reference
    return {
        "checkpoint": {"path": str(checkpoint), "sha256": sha256_of(checkpoint)},
        "model": chosen.factory,
        "data": {"path": str(selection.path), "sha256": sha256_of(selection.path)},
        "reference": None if other is None else {"path": str(other), "sha256": sha256_of(other)},
        "holdout": selection.holdout,
        "x_key": selection.x_key,
        "y_key": selection.y_key,
        "limit": selection.limit,
        "seed": selection.seed,
        "task": selection.task,
        "transform": selection.transform,
        "normalise": None if selection.normalise is None else vars(selection.normalise),
        "resize": None if selection.resize is None else vars(selection.resize),
        "preprocessing": steps,
        "assumptions": list(model.notes),
    }
