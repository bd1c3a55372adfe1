"""What `concentrate` does between its options and its document."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from gencheck.audit.options import AuditOptions
    from gencheck.audit.question import Question
    from gencheck.audit.selection import DataSelection, ModelSelection
    from gencheck.load.vocabulary import Vocabulary


Result = TypeVar("Result")


def rounds_of(asked: int | None, landmarks: int | None) -> int:
    """How often items are relabelled; landmarks have no Gram matrix to do it with."""
    return asked if asked is not None else 200 if landmarks is None else 0


def _words(path: Path | None, checkpoint: Path, text: bool) -> "Vocabulary | None":
    """The vocabulary asked for, or the one that lies beside a text model.

    Raises
    ------
    InputError
        One was asked for, and items are no tokens; or it cannot be read.
    """
    from gencheck.errors import InputError
    from gencheck.load.vocabulary import read_vocabulary, vocabulary_of_folder

    if path is None:
        return vocabulary_of_folder(checkpoint) if text else None
    if not text:
        raise InputError(
            where="--vocabulary",
            found=f"{path}, for a model whose items are no tokens",
            required="a model that looks whole numbers up in an embedding",
            remedy="Leave --vocabulary away.",
        )
    return read_vocabulary(path)


def run_audit(
    chosen: "ModelSelection",
    selection: "DataSelection",
    options: "AuditOptions",
    vocabulary: Path | None,
    measure: "Callable[[Question, float], Result]",
) -> "tuple[Result, dict[str, Any]]":
    """Open model and data, `measure` as `audit_of` or `plan_audit` does, and record what went in.

    Raises
    ------
    GencheckError
        As `open_inputs` and `measure` raise it.
    """
    from gencheck.audit.certificate_request import require_independent_gates
    from gencheck.audit.inputs import open_inputs
    from gencheck.audit.question import Question
    from gencheck.audit.ranks import require_same
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.cli.sharing import shared
    from gencheck.memory import memory_limit
    from gencheck.progress import SILENT

    started = time.perf_counter()
    with shared(options.device, options.landmarks) as ranks:
        with memory_limit(options.memory):
            opened = open_inputs(chosen, selection, options.dtype)
        words = _words(vocabulary, chosen.checkpoint, opened.model.whole_numbers)
        options = replace(options, gates_independent=opened.gates_independent, vocabulary=words)
        if options.certificate is not None:
            require_independent_gates(opened.gates_independent)
        require_same(ranks, opened.record, (opened.sample, opened.reference), options)
        question = Question(
            opened.model,
            opened.sample,
            opened.reference,
            opened.task,
            options,
            progress=ProgressBars() if ranks.number == 0 else SILENT,
            ranks=ranks,
        )
        result = measure(question, time.perf_counter() - started)
    return result, opened.record | options.record()
