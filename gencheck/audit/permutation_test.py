"""Is it noise? The statistics of an audit under relabelling of its pooled items."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gencheck.audit.question import Question
from gencheck.audit.result import NullComparison, PermutationFacts
from gencheck.bounds.magnitude import Magnitude
from gencheck.network.program import Program
from gencheck.spectral.beta1.batched_lanczos import top_eigenvalues
from gencheck.spectral.beta1.lanczos import has_kernel
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND, SupNorm, sup_norms_under
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
    question: Question,
    gram: Gram,
    *,
    observed: float,
    sup: SupNorm,
    paths: tuple[Program, Factors],
) -> PermutationFacts:
    """p-values of β1, β2, β3 and max_k ‖v_k‖₂ by relabellings of the pooled items.

    Only D changes, the Gram matrix is reused. Each statistic is evaluated alike on the observed and
    on every permuted labelling, which is what makes its p-value exact.

    Parameters
    ----------
    observed
        λ_max on the span of the items, in units of the scaled kernel.
    sup
        β2, and what its enumeration takes: it is enumerated for all relabellings where that is
        within the audit's budget.
    paths
        The program and the factors that paths are enumerated by.

    Raises
    ------
    SolverError
        As `top_eigenvalues` raises it.
    """
    options, weights = question.options, question.difference.weights()
    rounds = options.permutations
    permuted = relabel(weights, rounds, options.seed)
    labels = torch.cat([weights[:, None], permuted], 1)
    targets = question.difference.targets
    found = top_eigenvalues(gram, permuted, observed, options.seed + 1, progress=question.progress)
    values, reached = found.values, int(found.reached.sum())
    negative = min(observed, float(values.min())) < 0
    # where path space is larger than the items' span, or may be, λ_max is at least 0 in all of it
    if negative and has_kernel(gram, question.network) is not False:
        values, observed = values.clamp(min=0), max(observed, 0.0)
        reached = reached if observed > 0 else rounds
    largest = NullDistribution(observed, values, reached)
    sizes = targets.square().sum(1)
    return PermutationFacts(
        rounds=rounds,
        gates_independent=options.gates_independent,
        beta1=_comparison("β1", largest, lambda value: Magnitude.of(value, gram.exponent)),
        beta2=_beta2(question, gram, labels, sup, paths),
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
    question: Question,
    gram: Gram,
    labels: Tensor,
    sup: SupNorm,
    paths: tuple[Program, Factors],
) -> NullComparison:
    """β2 by its exact value, or the reason why not."""
    work = sup.flops * labels.shape[1]
    if not sup.exact or work > question.options.beta2_operations:
        seconds = "" if not math.isfinite(work) else f" of {work / NOMINAL_FLOPS_PER_SECOND:.2g} s"
        return NullComparison(
            "β2 by enumeration of all paths",
            reason="paths are not enumerated for every relabelling within --beta2-budget; that would "
            f"need a budget{seconds}",
        )
    targets = question.difference.targets
    values = sup_norms_under(*paths, targets, labels)
    # no entry of z is larger than ‖z‖
    lengths = gram.diagonal().clamp(min=0).sqrt() * 2.0 ** (gram.exponent / 2)
    scale = float(labels[:, 0].abs() @ (targets.abs().amax(1) * lengths))
    return _comparison("β2 by enumeration of all paths", compared(values, scale), Magnitude.of)
