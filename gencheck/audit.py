"""The concentration of a data set under a model: what is measured, and in which order."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gencheck.bounds.concentrated import data_dependent_bound, tightest_bound
from gencheck.bounds.magnitude import Magnitude, smallest, total
from gencheck.network.algebra import log2_l1, log2_l2_squared, log2_path_count
from gencheck.network.ir import Network
from gencheck.network.program import Program
from gencheck.network.terms import kernel_program
from gencheck.plan import require_memory
from gencheck.progress import SILENT, Progress
from gencheck.result import (
    Argmax,
    Beta1,
    Beta2,
    ConcentrationResult,
    DataFacts,
    GapFacts,
    ModelFacts,
    PathNorms,
)
from gencheck.selfcheck import (
    output_deviation,
    require_finite_outputs,
    require_gap_within_bounds,
)
from gencheck.spectral.difference import Difference, squared_norms
from gencheck.spectral.eigen import top_eigenvalue
from gencheck.spectral.factors import Factors, forward
from gencheck.spectral.gram import Gram, gram_matrix
from gencheck.spectral.paths import described
from gencheck.spectral.supnorm import NOMINAL_FLOPS_PER_SECOND, SupNorm, sup_norms
from gencheck.subject import Subject


@dataclass(frozen=True)
class AuditOptions:
    """How an audit is run.

    Attributes
    ----------
    device, dtype
        Where and in which precision kernels are formed.
    batch_size
        Items in one forward pass.
    tile
        Rows and columns of one tile of the Gram matrix.
    memory
        The most bytes that the run may take; None for a share of what the machine has free.
    beta2_budget
        Seconds, at a nominal rate, that the enumeration of paths may take.
    seed
        Seeds Lanczos' starting vector and the path search.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    batch_size: int = 1024
    tile: int = 1024
    memory: int | None = None
    beta2_budget: float = 10.0
    seed: int = 0


@dataclass(frozen=True)
class Labelled:
    """Items of shape (N, *input_shape) and their targets y, shape (N, K) in float64."""

    items: Tensor
    targets: Tensor


@dataclass
class _Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


@dataclass(frozen=True)
class _Measured:
    """What the stages leave for the assembly of the result."""

    program: Program
    difference: Difference
    outputs: Tensor
    gram: Gram
    beta1: Beta1
    sup: SupNorm
    v_l2: list[Magnitude]
    self_check: float


def audit(
    subject: Subject,
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
        The run would need more memory than it may take, or outputs are not finite.
    SelfCheckError
        z·w differs from the model's own output, or the gap exceeds its bound: a defect of ours.
    SolverError
        Lanczos did not converge.
    """
    options = options or AuditOptions()
    clock = _Clock({"load": load_seconds})
    measured = _measured(subject, sample, reference, options, progress, clock)
    result = _assembled(subject, measured, task, clock.seconds)
    size = float(measured.outputs.square().sum(1).mean())
    size += float(measured.difference.targets.square().sum(1).mean())
    require_gap_within_bounds(result, options.dtype, 2 * size)
    return result


def _measured(
    subject: Subject,
    sample: Labelled,
    reference: Labelled,
    options: AuditOptions,
    progress: Progress,
    clock: _Clock,
) -> _Measured:
    network, program = subject.network, kernel_program(subject.network)
    difference = Difference(len(sample.items), torch.cat([sample.targets, reference.targets]))
    factor_bytes = require_memory(
        network,
        program,
        len(difference.targets),
        options.dtype,
        options.tile,
        options.batch_size,
        options.memory,
    )
    with clock.stage("gates"):
        items = torch.cat([sample.items, reference.items]).to(options.device, options.dtype)
        self_check = output_deviation(subject, items)
        factors, outputs = forward(network, items, options.batch_size, progress)
        require_finite_outputs(outputs, options.dtype)
    with clock.stage("gram"):
        gram = gram_matrix(program, factors, options.tile, factor_bytes, progress)
    with clock.stage("beta1"):
        beta1 = _beta1(gram, difference, network, options.seed, progress)
    with clock.stage("beta2"):
        sup, v_l2 = _correlations(network, program, factors, gram, difference, options, progress)
    return _Measured(program, difference, outputs, gram, beta1, sup, v_l2, self_check)


def _beta1(
    gram: Gram, difference: Difference, network: Network, seed: int, progress: Progress
) -> Beta1:
    """β1 from the span of the items' path features to all of path space."""
    top = top_eigenvalue(gram, difference.weights(), seed, progress=progress)
    value, lower, upper = top.value, top.value, top.value + top.residual
    if value < 0 and _has_kernel(gram, network):
        # outside the span of the items' features the operator is zero
        value, lower, upper = 0.0, 0.0, 0.0
    elif value < 0 and _has_kernel(gram, network) is None:
        value = upper = 0.0
    return Beta1(
        value=Magnitude.of(value, top.exponent),
        lower=Magnitude.of(lower, top.exponent),
        upper=Magnitude.of(upper, top.exponent),
        residual=Magnitude.of(top.residual, top.exponent),
        iterations=top.iterations,
        method="lanczos",
    )


def _has_kernel(gram: Gram, network: Network, affordable: int = 4096) -> bool | None:
    """True where some direction of path space is orthogonal to all items; None where unknown."""
    log2_paths = log2_path_count(network)
    if log2_paths > math.log2(gram.count) + 0.5:
        return True
    if gram.count > affordable:
        return None
    rank = int(torch.linalg.matrix_rank(gram.dense().double(), hermitian=True))
    return rank < round(2**log2_paths)


def _correlations(
    network: Network,
    program: Program,
    factors: Factors,
    gram: Gram,
    difference: Difference,
    options: AuditOptions,
    progress: Progress,
) -> tuple[SupNorm, list[Magnitude]]:
    """The interval of ‖v_k‖_∞ and ‖v_k‖₂ for each output k."""
    coefficients = difference.target_weights()
    squares = squared_norms(gram, coefficients).tolist()
    v_l2 = [Magnitude.of(square, gram.exponent).sqrt() for square in squares]
    budget = options.beta2_budget * NOMINAL_FLOPS_PER_SECOND
    bounded = network.gates_lie_in_unit_interval
    sup = sup_norms(program, factors, coefficients, budget, bounded, options.seed, progress)
    return sup, v_l2


def _assembled(
    subject: Subject, measured: _Measured, task: str, seconds: dict[str, float]
) -> ConcentrationResult:
    network, sup, v_l2 = subject.network, measured.sup, measured.v_l2
    norms = _path_norms(network)
    l2, l1 = list(norms.l2_squared_per_output), list(norms.l1_per_output)
    # ‖v‖_∞ ≤ ‖v‖₂ is a further upper end where paths were not enumerated
    v_sup = [
        Magnitude.of(end) if sup.exact else smallest(Magnitude.of(end), norm)
        for end, norm in zip(sup.upper, v_l2, strict=True)
    ]
    upper = max(float(end) for end in v_sup)
    gap, beta3, largest = _gap(measured.difference, measured.outputs, task)
    count = len(measured.difference.targets)
    pairs = count * (count + 1) / 2
    return ConcentrationResult(
        model=_model_facts(subject),
        data=DataFacts(measured.difference.sample_count, measured.difference.reference_count, task),
        beta1=measured.beta1,
        beta2=Beta2(
            value=upper,
            lower=max(sup.lower),
            upper=upper,
            exact=sup.exact,
            argmax=Argmax(sup.output, tuple(described(sup.path, measured.program))),
        ),
        beta3=beta3,
        v_l2=tuple(v_l2),
        path_norms=norms,
        gap=gap,
        bound=data_dependent_bound(measured.beta1.upper, upper, beta3, l2, l1),
        tightest=tightest_bound(measured.beta1.upper, beta3, v_sup, v_l2, l2, l1),
        largest_loss=largest,
        self_check=measured.self_check,
        seconds=seconds,
        pairs_per_second=pairs / seconds["gram"],
        flops=pairs * measured.program.flops_per_pair,
        nbytes=float(sum(b.numel() * b.element_size() for b in measured.gram.blocks)),
    )


def _path_norms(network: Network) -> PathNorms:
    l2 = [Magnitude.from_log2(x) for x in log2_l2_squared(network).tolist()]
    l1 = [Magnitude.from_log2(x) for x in log2_l1(network).tolist()]
    return PathNorms(total(l2), total(l1), tuple(l2), tuple(l1))


def _model_facts(subject: Subject) -> ModelFacts:
    network = subject.network
    return ModelFacts(
        parameters=subject.parameters,
        log10_paths=log2_path_count(network) * math.log10(2),
        input_shape=network.input_shape,
        outputs=network.output_count,
        operations=network.operations(),
    )


def _gap(difference: Difference, outputs: Tensor, task: str) -> tuple[GapFacts, float, float]:
    """The gap with its terms, β3, and the largest squared loss of any pooled item."""
    targets = difference.targets
    losses = (outputs - targets).square().sum(1)
    sample_risk, reference_risk = difference.mean(losses)
    squares = difference.mean(outputs.square().sum(1))
    products = difference.mean((outputs * targets).sum(1))
    sizes = difference.mean(targets.square().sum(1))
    beta3 = sizes[1] - sizes[0]
    errors: tuple[float, float] | tuple[None, None] = (None, None)
    if task == "classification":
        errors = difference.mean((outputs.argmax(1) != targets.argmax(1)).double())
    facts = GapFacts(
        sample_risk=sample_risk,
        reference_risk=reference_risk,
        gap=reference_risk - sample_risk,
        terms=(squares[1] - squares[0], 2 * (products[0] - products[1]), beta3),
        sample_error=errors[0],
        reference_error=errors[1],
    )
    return facts, beta3, float(losses.max())
