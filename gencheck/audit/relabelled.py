"""The statistics of an audit on the observed labels and on every relabelling of the pooled items."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.audit.question import Question
from gencheck.bounds.magnitude import Magnitude
from gencheck.network.program import Program
from gencheck.spectral.beta1.batched_lanczos import top_eigenvalues
from gencheck.spectral.beta1.lanczos import has_kernel, top_eigenvalue
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND, SupNorm, sup_norms_under
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.permutation import (
    NullDistribution,
    compared,
    mean_difference,
    norms_of_differences,
    relabel,
)

# What no relabelling changes is no question.
_NO_LABELS = "a regression has no classes"


@dataclass(frozen=True)
class Relabelled:
    """One statistic under all relabellings, or the reason why it was not evaluated.

    Attributes
    ----------
    statistic
        What it is, in words.
    null
        Its values, in the solvers' own units.
    magnitude
        The figure that such a value stands for.
    """

    statistic: str
    null: NullDistribution | None = None
    magnitude: Callable[[float], Magnitude] = Magnitude.of
    reason: str | None = None


def relabelled_statistics(
    question: Question,
    gram: Gram,
    outputs: Tensor,
    *,
    observed: float,
    sup: SupNorm | None,
    paths: tuple[Program, Factors] | None,
) -> dict[str, Relabelled]:
    """Every statistic by name under the same relabellings; only D changes, the Gram matrix is reused.

    Parameters
    ----------
    outputs
        h of the pooled items, shape (N, K), float64.
    observed
        λ_max on the span of the items, in units of the scaled kernel.
    sup
        β2, and what its enumeration takes: it is enumerated for all relabellings where that is
        within the budget for it. None where β2 was not asked for.
    paths
        The program and the factors that paths are enumerated by; with `sup` alone.

    Raises
    ------
    SolverError
        As `top_eigenvalues` raises it.
    """
    options, weights = question.options, question.difference.weights()
    permuted = relabel(weights, options.permutations, options.seed)
    labels = torch.cat([weights[:, None], permuted], 1)
    targets = question.difference.targets
    largest, together = norms_of_differences(gram, targets, labels)
    return {
        "beta1": _beta1(question, gram, permuted, observed),
        "beta1_normalised": _beta1_normalised(question, gram, permuted),
        "beta2": _beta2(question, gram, labels, sup, paths),
        "beta3": Relabelled("β3", mean_difference(targets.square().sum(1), labels)),
        "v_l2": Relabelled("the largest ‖v_k‖₂ of all outputs k", largest, _root(gram.exponent)),
        "v_frobenius": Relabelled("‖V‖_F, all outputs", together, _root(gram.exponent)),
        **_losses(question, outputs, labels),
        "label_means": _label_means(question, labels),
        "feature_means": feature_means(gram, labels),
    }


def _root(exponent: int) -> Callable[[float], Magnitude]:
    return lambda square: Magnitude.of(square, exponent).sqrt()


def _beta1(question: Question, gram: Gram, permuted: Tensor, observed: float) -> Relabelled:
    """β1 in all of path space: at least 0 where that is larger than the items' span, or may be."""
    seed, progress = question.options.seed + 1, question.progress
    found = top_eigenvalues(gram, permuted, observed, seed, progress=progress)
    null = NullDistribution.of(observed, found.values, found.reached)
    negative = min(observed, float(found.values.min())) < 0
    if negative and has_kernel(gram, question.network) is not False:
        null = NullDistribution(max(observed, 0.0), null.values.clamp(min=0))
    return Relabelled("β1", null, lambda value: Magnitude.of(value, gram.exponent))


def _beta1_normalised(question: Question, gram: Gram, permuted: Tensor) -> Relabelled:
    """λ_max of the same difference for z/‖z‖: a test, from which no bound follows."""
    seed, weights = question.options.seed, question.difference.weights()
    cosines = gram.normalised()
    observed = top_eigenvalue(cosines, weights, seed, progress=question.progress).value
    found = top_eigenvalues(cosines, permuted, observed, seed + 2, progress=question.progress)
    null = NullDistribution.of(observed, found.values, found.reached)
    return Relabelled("β1 of the normalised kernel", null)


def _losses(question: Question, outputs: Tensor, labels: Tensor) -> dict[str, Relabelled]:
    """|mean loss on T − mean loss on S| in three losses; no kernel enters."""
    targets = question.difference.targets
    losses = {"squared_gap": ("the gap in squared loss", (outputs - targets).square().sum(1))}
    if question.task == "classification":
        right = (outputs * targets).sum(1)
        wrong = (outputs.argmax(1) != targets.argmax(1)).double()
        losses["zero_one_gap"] = ("the gap in 0-1 error", wrong)
        losses["cross_entropy_gap"] = ("the gap in cross-entropy", outputs.logsumexp(1) - right)
    found = {
        name: Relabelled(
            words,
            # centred: what all items share is no difference, and would be its rounding
            compared((labels.T @ (each - each[0])).abs(), float(labels[:, 0].abs() @ each.abs())),
        )
        for name, (words, each) in losses.items()
    }
    for name in ("zero_one_gap", "cross_entropy_gap"):
        found.setdefault(name, Relabelled(f"{name}, of a classifier", reason=_NO_LABELS))
    return found


def _label_means(question: Question, labels: Tensor) -> Relabelled:
    """‖ȳ_S − ȳ_T‖: differing class shares, of which β3 sees nothing where targets are one-hot."""
    targets = question.difference.targets
    differences = (labels.T @ (targets - targets[0])).norm(dim=1)
    null = compared(differences, float(labels[:, 0].abs() @ targets.norm(dim=1)))
    return Relabelled("the difference of the targets' means", null)


def feature_means(gram: Gram, labels: Tensor) -> Relabelled:
    """‖E_S[z/‖z‖] − E_T[z/‖z‖]‖: the maximum mean discrepancy of the normalised path kernel."""
    images = gram.normalised().matmul(labels).cpu()
    squares = (labels * images).sum(0).clamp(min=0)
    # unit vectors: the sums that are subtracted are of length Σ|d|
    null = compared(squares, float(labels[:, 0].abs().sum()) ** 2)
    return Relabelled("the difference of the mean path features, normalised", null, _root(0))


def _beta2(
    question: Question,
    gram: Gram,
    labels: Tensor,
    sup: SupNorm | None,
    paths: tuple[Program, Factors] | None,
) -> Relabelled:
    """β2 by its exact value, or the reason why not."""
    if sup is None or paths is None:
        return Relabelled("β2 by enumeration of all paths", reason="β2 was not asked for")
    work = sup.flops * labels.shape[1]
    seconds = question.options.beta2_permutation_budget
    if not sup.exact or work > seconds * NOMINAL_FLOPS_PER_SECOND:
        needed = "" if not math.isfinite(work) else f" of {work / NOMINAL_FLOPS_PER_SECOND:.2g} s"
        return Relabelled(
            "β2 by enumeration of all paths",
            reason="paths are not enumerated for every relabelling; that would take a "
            f"--beta2-permutation-budget{needed}",
        )
    targets = question.difference.targets
    values = sup_norms_under(*paths, targets, labels)
    # no entry of z is larger than ‖z‖
    lengths = gram.diagonal().clamp(min=0).sqrt() * 2.0 ** (gram.exponent / 2)
    scale = float(labels[:, 0].abs() @ (targets.abs().amax(1) * lengths))
    return Relabelled("β2 by enumeration of all paths", compared(values, scale))
