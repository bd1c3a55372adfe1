"""From what the stages of an audit measured to its result: norms, gap, bounds, facts."""

import math
from dataclasses import dataclass

from torch import Tensor

from gencheck.audit.beta1 import Moments
from gencheck.audit.certify import CertifiedBetas, certified
from gencheck.audit.class_errors import ClassErrors, class_errors
from gencheck.audit.kernel_facts import CacheFacts, KernelFacts
from gencheck.audit.model import AuditedModel
from gencheck.audit.permutation_facts import PermutationFacts
from gencheck.audit.question import Question
from gencheck.audit.result import (
    Argmax,
    Beta2,
    ConcentrationResult,
    DataFacts,
    Direction,
    GapFacts,
    ItemShare,
    ModelFacts,
    PathNorms,
)
from gencheck.audit.warnings import warnings_of
from gencheck.bounds.binomial import binomial_interval
from gencheck.bounds.concentrated import data_dependent_bound, tightest_bound
from gencheck.bounds.magnitude import Magnitude, smallest, total
from gencheck.network.algebra import log2_l1, log2_l2_squared, log2_path_count
from gencheck.network.ir import Network
from gencheck.network.program import Program
from gencheck.spectral.beta2.paths import describe_path
from gencheck.spectral.beta2.sup_norm import SupNorm
from gencheck.spectral.difference import Difference, squared_loss_gap

# Intervals for errors miss the truth this often at most.
_LEVEL = 0.05


@dataclass(frozen=True)
class Measurements:
    """What the stages leave for the assembly of the result.

    `program` is what kernels were formed by, `windows` what paths were searched in.
    """

    program: Program
    windows: Program
    outputs: Tensor
    moments: Moments
    sup: SupNorm
    self_check: float
    kernel: KernelFacts
    tiles: CacheFacts | None
    permutation: PermutationFacts | None
    attribution: tuple[ItemShare, ...]
    direction: Direction | None = None
    betas: CertifiedBetas | None = None


def summarise(
    question: Question, measured: Measurements, seconds: dict[str, float]
) -> ConcentrationResult:
    """The result of an audit from what its stages measured.

    Parameters
    ----------
    seconds
        By stage.
    """
    network, sup, moments = question.network, measured.sup, measured.moments
    beta1, v_l2 = moments.beta1, moments.v_l2
    norms = _path_norms(network)
    l2, l1 = list(norms.l2_squared_per_output), list(norms.l1_per_output)
    # ‖v‖_∞ ≤ ‖v‖₂ is a further upper end where paths were not enumerated
    v_sup = [
        Magnitude.of(end) if sup.exact else smallest(Magnitude.of(end), norm)
        for end, norm in zip(sup.upper, v_l2, strict=True)
    ]
    upper = max(float(end) for end in v_sup)
    difference, task = question.difference, question.task
    gap = gap_facts(difference, measured.outputs, task, softmax=question.options.softmax)
    beta3 = gap.terms[2]
    largest = float((measured.outputs - difference.targets).square().sum(1).max())
    betas = measured.betas
    return ConcentrationResult(
        model=model_facts(question.model),
        data=DataFacts(difference.sample_count, difference.reference_count, task),
        beta1=beta1,
        beta2=Beta2(
            value=upper,
            lower=max(sup.lower),
            upper=upper,
            exact=sup.exact,
            argmax=Argmax(sup.output, tuple(describe_path(sup.path, measured.windows))),
            stopped_by_clock=sup.stopped_by_clock,
        ),
        beta3=beta3,
        v_l2=tuple(v_l2),
        v_l2_lower=None if moments.v_l2_lower is None else tuple(moments.v_l2_lower),
        path_norms=norms,
        gap=gap,
        bound=data_dependent_bound(beta1.upper, upper, beta3, l2, l1),
        tightest=tightest_bound(beta1.upper, beta3, v_sup=v_sup, v_l2=v_l2, l2_squared=l2, l1=l1),
        largest_loss=largest,
        self_check=measured.self_check,
        seconds=seconds,
        pairs_per_second=moments.pairs / seconds["gram"],
        flops=moments.pairs * measured.program.flops_per_pair,
        kernel=measured.kernel,
        tiles=measured.tiles,
        certified=None if betas is None else certified(betas, norms, gap.sample_risk, largest),
        permutation=measured.permutation,
        attribution=measured.attribution,
        direction=measured.direction,
        nbytes=moments.nbytes,
        warnings=warnings_of(question, measured.outputs),
        classes=_class_errors(question, measured.outputs),
    )


def _class_errors(question: Question, outputs: Tensor) -> tuple[ClassErrors, ...]:
    """Counts and errors by class; none of a regression."""
    if question.task != "classification":
        return ()
    difference = question.difference
    return class_errors(
        difference.targets.argmax(1).numpy(),
        outputs.argmax(1).numpy(),
        difference.sample_count,
        question.class_of,
    )


def _path_norms(network: Network) -> PathNorms:
    l2 = [Magnitude.from_log2(x) for x in log2_l2_squared(network).tolist()]
    l1 = [Magnitude.from_log2(x) for x in log2_l1(network).tolist()]
    return PathNorms(total(l2), total(l1), tuple(l2), tuple(l1))


def model_facts(model: AuditedModel) -> ModelFacts:
    """What the model is: parameters, paths, shapes, operations."""
    network = model.network
    return ModelFacts(
        parameters=model.parameters,
        log10_paths=log2_path_count(network) * math.log10(2),
        input_shape=network.input_shape,
        outputs=network.output_count,
        operations=network.operations(),
        smooth=network.smooth,
        gates=tuple(network.gate_places()),
    )


def gap_facts(
    difference: Difference, outputs: Tensor, task: str, *, softmax: bool = False
) -> GapFacts:
    """The gap with its terms, and 0-1 errors; with `softmax` the probabilities' squared loss too."""
    found = squared_loss_gap(difference, outputs)
    errors: tuple[float, float] | tuple[None, None] = (None, None)
    own, between, probability_loss = None, None, None
    if task == "classification":
        if softmax:
            probability_loss = (outputs.softmax(1) - difference.targets).square().sum(1)
        wrong = outputs.argmax(1) != difference.targets.argmax(1)
        errors = difference.mean(wrong.double())
        counts = difference.sample_count, difference.reference_count
        wrongs = int(wrong[: counts[0]].sum()), int(wrong[counts[0] :].sum())
        own = binomial_interval(wrongs[1], counts[1], _LEVEL)
        # two intervals that hold with 97.5 % each: their ends hold together with 95 %
        sample, reference = (
            binomial_interval(k, m, _LEVEL / 2) for k, m in zip(wrongs, counts, strict=True)
        )
        between = (reference[0] - sample[1], reference[1] - sample[0])
    return GapFacts(
        sample_risk=found.sample_risk,
        reference_risk=found.reference_risk,
        gap=found.value,
        terms=found.terms,
        sample_error=errors[0],
        reference_error=errors[1],
        reference_error_interval=own,
        error_gap_interval=between,
        softmax=difference.mean(probability_loss) if probability_loss is not None else None,
    )
