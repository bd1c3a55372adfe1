"""The concentration of a data set under a model: what is measured, and in which order."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from gencheck.audit.attribution import largest_shares
from gencheck.audit.certificate_request import require_certifiable
from gencheck.audit.memory_plan import MemoryBudget, require_memory
from gencheck.audit.model import AuditedModel
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled, Question
from gencheck.audit.result import ConcentrationResult
from gencheck.audit.self_check import (
    output_deviation,
    require_finite_outputs,
    require_gap_within_bounds,
)
from gencheck.audit.stages import direction_of, sup_norms_of
from gencheck.audit.strategies import FromLandmarks, KernelView, WholeGram
from gencheck.audit.summary import Measurements, summarise
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel
from gencheck.spectral.ranks import ALONE, Ranks


@dataclass
class _Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def audit(
    model: AuditedModel,
    sample: Labelled,
    reference: Labelled,
    task: str,
    options: AuditOptions | None = None,
    *,
    progress: Progress = SILENT,
    load_seconds: float = 0.0,
    ranks: Ranks = ALONE,
) -> ConcentrationResult:
    """β1, β2, β3, the data-dependent bound and the gap it bounds, for S and T under a model.

    Parameters
    ----------
    sample, reference
        S and T, the latter standing in for the distribution.
    task
        ``classification`` (one-hot targets; 0-1 errors are reported too) or ``regression``.
    load_seconds
        What loading took, for the record.
    ranks
        The processes that share the work, each with the same question; each has the result.

    Raises
    ------
    InputError
        The run would need more memory than it may take, outputs are not finite, or a certificate
        was asked for that the network or the items do not allow.
    SelfCheckError
        z·w differs from the model's own output, or the gap exceeds its bound: a defect of ours.
    SolverError
        Lanczos did not converge.
    """
    question = Question(
        model=model,
        sample=sample,
        reference=reference,
        task=task,
        options=options or AuditOptions(),
        progress=progress,
        ranks=ranks,
    )
    return audit_of(question, load_seconds)


def audit_of(question: Question, load_seconds: float = 0.0) -> ConcentrationResult:
    """As `audit`, of all that is asked in one object: the stages, in their order."""
    options, clock = question.options, _Clock({"load": load_seconds})
    options.require_consistency()
    kernel = question.kernel()
    budget = require_memory(
        kernel, question.count, options, question.progress, neighbours=question.ranks.neighbours
    )
    kernel = budget.within(kernel)
    with clock.stage("gates"):
        items = _entering(question)
        features = _features(question, kernel, items, budget)
        self_check = output_deviation(question.model, items, features.outputs)
    with clock.stage("gram"):
        view = _view(question, kernel, features)
    with clock.stage("beta1"):
        moments = view.moments()
    with clock.stage("beta2"):
        sup = sup_norms_of(question, kernel, features)
    certified, permutation, direction = None, None, None
    if options.certificate is not None:
        with clock.stage("certificate"):
            certified = view.certified_betas(items)
    if options.permutations:
        with clock.stage("permutation"):
            permutation = view.permutation_test(sup)
    if options.top:
        with clock.stage("direction"):
            direction = direction_of(question, kernel, features, moments)
    measured = Measurements(
        program=kernel.program(view.facts.executor),
        windows=kernel.windows,
        outputs=features.outputs,
        moments=moments,
        sup=sup,
        self_check=self_check,
        kernel=view.facts,
        tiles=view.tiles,
        permutation=permutation,
        attribution=largest_shares(question, moments),
        direction=direction,
        betas=certified,
    )
    result = summarise(question, measured, clock.seconds)
    require_gap_within_bounds(result, options.dtype, _size(question, features))
    return result


def _view(question: Question, kernel: PathKernel, features: PathFeatures) -> KernelView:
    """The whole Gram matrix, or what landmarks say of it."""
    if question.options.landmarks is None:
        return WholeGram.formed(question, kernel, features)
    return FromLandmarks(question, kernel, features)


def _entering(question: Question) -> Tensor:
    """The pooled items as they enter the network, after what a certificate requires of them."""
    items, request = question.entering(), question.options.certificate
    if request is not None:
        targets = question.difference.targets
        require_certifiable(question.network, items, targets, question.task, request)
    return items


def _features(
    question: Question, kernel: PathKernel, items: Tensor, budget: MemoryBudget
) -> PathFeatures:
    """Gates and finite outputs of the pooled items."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        # a mapped file lives on without its name, so the folder need not outlast this stage
        folder = Path(scratch) if budget.gates_on_disk else None
        features = kernel.features(items, question.progress, folder)
    require_finite_outputs(features.outputs, question.options.dtype)
    return features


def _size(question: Question, features: PathFeatures) -> float:
    """E‖h‖² + E‖y‖², twice: the magnitude of what is subtracted to get the gap."""
    outputs, targets = features.outputs, question.difference.targets
    return 2 * float((outputs.square().sum(1) + targets.square().sum(1)).mean())
