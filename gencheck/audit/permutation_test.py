"""Is it noise? The statistics of an audit under relabelling of its pooled items."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gencheck.audit.result import NullComparison, PermutationFacts
from gencheck.bounds.magnitude import Magnitude
from gencheck.network.program import Program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta1.batched_lanczos import top_eigenvalues
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND, SupNorm, sup_norms_under
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.permutation import (
    NullDistribution,
    compared,
    largest_norm,
    mean_difference,
    relabel,
)


def permutation_test(
    gram: Gram,
    program: Program,
    factors: Factors,
    difference: Difference,
    beta1: float,
    has_kernel: Callable[[], bool | None],
    sup: SupNorm,
    budget: float,
    rounds: int,
    gates_independent: bool,
    seed: int,
    progress: Progress = SILENT,
) -> PermutationFacts:
    """p-values of β1, β2, β3 and max_k ‖v_k‖₂ by `rounds` relabellings of the pooled items.

    Only D changes, the Gram matrix is reused. Each statistic is evaluated alike on the observed and
    on every permuted labelling, which is what makes its p-value exact.

    Parameters
    ----------
    beta1
        The observed λ_max on the span of the items, in units of the scaled kernel.
    has_kernel
        Whether path space is larger than that span, so that β1 is at least 0; None where unknown.
        Asked only where some value is negative.
    budget
        Paths are enumerated for all relabellings where that takes at most this many floating-point
        operations.

    Raises
    ------
    SolverError
        As `top_eigenvalues` raises it.
    """
    weights = difference.weights()
    permuted = relabel(weights, rounds, seed)
    labels = torch.cat([weights[:, None], permuted], 1)
    targets = difference.targets
    found = top_eigenvalues(gram, permuted, beta1, seed + 1, progress=progress)
    values, reached, observed = found.values, int(found.reached.sum()), beta1
    if min(observed, float(values.min())) < 0 and has_kernel() is not False:
        values, observed = values.clamp(min=0), max(observed, 0.0)
        reached = reached if observed > 0 else rounds
    largest = NullDistribution(observed, values, reached)
    sizes = targets.square().sum(1)
    return PermutationFacts(
        rounds=rounds,
        gates_independent=gates_independent,
        beta1=_comparison("β1", largest, lambda value: Magnitude.of(value, gram.exponent)),
        beta2=_beta2(gram, program, factors, targets, labels, sup, budget),
        beta3=_comparison("β3", mean_difference(sizes, labels), Magnitude.of),
        v_l2=_comparison(
            "the largest ‖v_k‖₂ of all outputs k",
            largest_norm(gram, targets, labels),
            lambda value: Magnitude.of(value, gram.exponent).sqrt(),
        ),
    )


def _comparison(
    statistic: str, null: NullDistribution, magnitude: Callable[[float], Magnitude]
) -> NullComparison:
    return NullComparison(
        statistic,
        magnitude(null.observed),
        null.p_value,
        magnitude(null.quantile(0.5)),
        magnitude(null.quantile(0.95)),
    )


def _beta2(
    gram: Gram,
    program: Program,
    factors: Factors,
    targets: Tensor,
    labels: Tensor,
    sup: SupNorm,
    budget: float,
) -> NullComparison:
    """β2 by its exact value, or the reason why not."""
    work = sup.flops * labels.shape[1]
    if not sup.exact or work > budget:
        seconds = "" if not math.isfinite(work) else f" of {work / NOMINAL_FLOPS_PER_SECOND:.2g} s"
        return NullComparison(
            "β2 by enumeration of all paths",
            reason="paths are not enumerated for every relabelling within --beta2-budget; that would "
            f"need a budget{seconds}",
        )
    values = sup_norms_under(program, factors, targets, labels)
    # no entry of z is larger than ‖z‖
    lengths = gram.diagonal().clamp(min=0).sqrt() * 2.0 ** (gram.exponent / 2)
    scale = float(labels[:, 0].abs() @ (targets.abs().amax(1) * lengths))
    return _comparison("β2 by enumeration of all paths", compared(values, scale), Magnitude.of)
