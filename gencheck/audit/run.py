"""The concentration of a data set under a model: what is measured, and in which order."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from gencheck.audit.attribution import largest_shares, top_direction
from gencheck.audit.beta1 import moments_of_gram, moments_of_landmarks
from gencheck.audit.certificate_request import require_certifiable
from gencheck.audit.certify import certified_betas
from gencheck.audit.image_grid import picture_of
from gencheck.audit.memory_plan import require_memory
from gencheck.audit.model import AuditedModel
from gencheck.audit.options import AuditOptions
from gencheck.audit.permutation_test import permutation_test
from gencheck.audit.result import (
    CacheFacts,
    ConcentrationResult,
)
from gencheck.audit.self_check import (
    output_deviation,
    require_finite_outputs,
    require_gap_within_bounds,
)
from gencheck.audit.summary import Measurements, summarise
from gencheck.errors import InputError, MissingDependency
from gencheck.network.ir import Network
from gencheck.network.terms import kernel_program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta1.lanczos import has_kernel
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND, sup_norms
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.bits.plan import suits_bits
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.executors import compiled_loops_are_there, executor_for
from gencheck.spectral.kernel.factors import forward
from gencheck.spectral.kernel.gram import gram_matrix


@dataclass(frozen=True)
class Labelled:
    """Items of shape (N, *input_shape) and their targets y, shape (N, K) in float64.

    `indices` are the items' positions in their file, where these are not 0, 1, 2, …; `stored_shape`
    is the shape that flat items have there.
    """

    items: Tensor
    targets: Tensor
    indices: Sequence[int] | None = None
    stored_shape: tuple[int, ...] | None = None


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
    subject: AuditedModel,
    sample: Labelled,
    reference: Labelled,
    task: str,
    options: AuditOptions | None = None,
    progress: Progress = SILENT,
    load_seconds: float = 0.0,
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
    options = options or AuditOptions()
    clock = _Clock({"load": load_seconds})
    measured = _measured(subject, sample, reference, task, options, progress, clock)
    result = summarise(subject, measured, task, clock.seconds)
    size = float(measured.outputs.square().sum(1).mean())
    size += float(measured.difference.targets.square().sum(1).mean())
    require_gap_within_bounds(result, options.dtype, 2 * size)
    return result


def _measured(
    subject: AuditedModel,
    sample: Labelled,
    reference: Labelled,
    task: str,
    options: AuditOptions,
    progress: Progress,
    clock: _Clock,
) -> Measurements:
    network = subject.network
    options.require_consistency()
    executor = (
        "matrix"
        if options.landmarks is not None
        else _executor(network, len(sample.items) + len(reference.items), options)
    )
    program = kernel_program(network, patches=executor == "matrix")
    difference = Difference(len(sample.items), torch.cat([sample.targets, reference.targets]))
    allowance = require_memory(
        network,
        program,
        len(difference.targets),
        options.dtype,
        options.tile,
        options.batch_size,
        options.memory,
        executor,
        options.permutations,
        options.landmarks,
    )
    with clock.stage("gates"), TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        items = _entering(subject, torch.cat([sample.items, reference.items]), options)
        if options.certificate is not None:
            require_certifiable(network, items, difference.targets, task, options.certificate)
        self_check = output_deviation(subject, items)
        # a mapped file lives on without its name, so the folder need not outlast this stage
        folder = Path(scratch) if allowance.gates_on_disk else None
        factors, outputs = forward(
            network, items, options.batch_size, progress, folder, subject.gates
        )
        require_finite_outputs(outputs, options.dtype)
    cache = None if options.cache is None else TileCache(options.cache, progress.report)
    gram, top = None, None
    with clock.stage("gram"):
        if options.landmarks is None:
            gram = gram_matrix(
                program,
                factors,
                options.tile,
                allowance.layout_bytes,
                allowance.kept_bytes,
                executor,
                cache,
                progress,
            )
        else:
            moments = moments_of_landmarks(
                factors, network, difference, options.landmarks, options.seed, progress
            )
    with clock.stage("beta1"):
        if gram is not None:
            moments, top = moments_of_gram(gram, network, difference, options.seed, progress)
    with clock.stage("beta2"):
        # whole windows at a time, whatever the executor: the search is then many times quicker
        walks = program if executor == "matrix" else kernel_program(network)
        sup = sup_norms(
            walks,
            factors,
            difference.target_weights(),
            options.beta2_budget * NOMINAL_FLOPS_PER_SECOND,
            network.gates_lie_in_unit_interval,
            options.seed,
            progress,
        )
    betas = None
    if options.certificate is not None and gram is not None:
        with clock.stage("certificate"):
            count = len(sample.items)
            betas = certified_betas(
                network,
                items[:count],
                difference.targets[:count],
                gram,
                options.certificate,
                options.seed,
                progress,
            )
    permutation = None
    if options.permutations and gram is not None and top is not None:
        whole = gram
        with clock.stage("permutation"):
            permutation = permutation_test(
                whole,
                walks,
                factors,
                difference,
                top.value,
                lambda: has_kernel(whole, network),
                sup,
                options.beta2_budget * NOMINAL_FLOPS_PER_SECOND,
                options.permutations,
                options.gates_independent,
                options.seed,
                progress,
            )
    direction = None
    if options.top:
        with clock.stage("direction"):
            stored = sample.stored_shape if subject.head is None else None
            direction = top_direction(
                moments,
                walks,
                factors,
                difference,
                picture_of(network.input_shape, stored),
                options.seed,
                progress,
            )
    facts = None if cache is None else CacheFacts(cache.reused, cache.computed, cache.rejected)
    return Measurements(
        program,
        walks,
        difference,
        outputs,
        moments,
        sup,
        self_check,
        executor,
        facts,
        permutation,
        largest_shares(
            difference.weights() * moments.products.square(),
            difference,
            (sample.indices, reference.indices),
            task,
            options.top,
        ),
        direction,
        betas,
    )


def _executor(network: Network, items: int, options: AuditOptions) -> str:
    """The executor asked for, or the quicker one.

    Raises
    ------
    InputError, MissingDependency
        Counting bits was asked for and cannot be done.
    """
    if options.executor == "matrix":
        return "matrix"
    program = kernel_program(network, patches=False)
    if options.executor == "auto":
        return executor_for(network, program, items, options.device)
    if options.device != "cpu" or not suits_bits(program, network):
        raise InputError(
            where="--executor",
            found=f"bits, for {', '.join(sorted(network.operations()))} on {options.device}",
            required="convolutions with gates of 0 and 1 (ReLU, ReLU6, max-pool) on the CPU",
            remedy="Pass --executor matrix.",
        )
    if not compiled_loops_are_there():
        raise MissingDependency(library="numba", extra="fast", purpose="--executor bits")
    return "bits"


def _entering(subject: AuditedModel, items: Tensor, options: AuditOptions) -> Tensor:
    """The tensors that enter the audited network: the items, or what the head makes of them."""
    items = items.to(options.device)
    if subject.head is None:
        return items.to(options.dtype)
    if not subject.whole_numbers:
        items = items.to(options.dtype)
    with torch.no_grad():
        parts = [subject.head(part, options.dtype) for part in items.split(options.batch_size)]
    return torch.cat(parts)
