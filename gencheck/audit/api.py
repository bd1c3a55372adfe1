"""The audit for those who hold a module and arrays, without files."""

from typing import Any

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.result import ConcentrationResult
from gencheck.audit.run import audit
from gencheck.load.dataset import checked_split
from gencheck.load.prepare import candidate_shapes, prepared, target_rows, task_of
from gencheck.load.split import Array, Split
from gencheck.progress import SILENT, Progress


def audit_module(
    module: nn.Module,
    sample: tuple[Any, Any],
    reference: tuple[Any, Any],
    task: str = "auto",
    options: AuditOptions | None = None,
    progress: Progress = SILENT,
    from_layer: str | None = None,
    gates: nn.Module | None = None,
) -> ConcentrationResult:
    """β1, β2, β3, the data-dependent bound and the gap for a live module, which is left unchanged.

    Parameters
    ----------
    sample, reference
        S and T, each a pair (x, y) of arrays or tensors: x of shape (N, …), y labels of shape (N,)
        or values of shape (N,) or (N, K).
    task
        ``auto``, ``classification`` or ``regression``.
    from_layer
        Audit the tail from this layer on: the tensor entering it is x, the rest the network.
    gates
        A module of the same architecture that decides the gates: the network after the standard
        phase of two-phase training.

    Raises
    ------
    InputError
        The arrays do not fit the model, or are not finite.
    UnsupportedModel
        The module has operations outside the path view; names every one of them.
    SolverError, SelfCheckError
        As `audit` raises them.
    """
    options = options or AuditOptions()
    splits = [_split(sample, "sample"), _split(reference, "reference")]
    model = model_of_module(
        module,
        candidate_shapes(tuple(splits[0].items.shape[1:])),
        from_layer=from_layer,
        gates=gates,
    )
    chosen = task_of(splits[0], task)
    dtype = "int64" if model.whole_numbers else str(options.dtype).removeprefix("torch.")
    labelled = [
        Labelled(
            torch.from_numpy(
                prepared(split, model.item_shape, dtype, vocabulary=model.vocabulary)[0]
            ),
            torch.from_numpy(target_rows(split, chosen, model.network.output_count)),
        )
        for split in splits
    ]
    return audit(model, labelled[0], labelled[1], chosen, options, progress=progress)


def _split(pair: tuple[Any, Any], name: str) -> Split:
    items, targets = (_array(values) for values in pair)
    return checked_split(items, targets, name, (f"{name}, x", f"{name}, y"))


def _array(values: Any) -> Array:
    if isinstance(values, torch.Tensor):
        # numpy knows no bfloat16
        own = values.float() if values.dtype == torch.bfloat16 else values
        return own.detach().to_dense().cpu().numpy()
    return np.asarray(values)
