"""Is it noise? The statistics of an audit under relabelling of its pooled items."""

from dataclasses import replace

from torch import Tensor

from gencheck.audit.histogram import histogram
from gencheck.audit.permutation_facts import NullComparison, PermutationFacts
from gencheck.audit.question import Question
from gencheck.audit.relabelled import Relabelled, relabelled_statistics
from gencheck.network.program import Program
from gencheck.spectral.beta2.sup_norm import SupNorm
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.permutation import step_down_max_t


def permutation_test(
    question: Question,
    gram: Gram,
    outputs: Tensor,
    *,
    observed: float,
    sup: SupNorm | None,
    paths: tuple[Program, Factors] | None,
) -> PermutationFacts:
    """p-values of every statistic by the same relabellings of the pooled items, and one verdict.

    Only D changes, the Gram matrix is reused. Each statistic is evaluated alike on the observed and
    on every permuted labelling, which is what makes its p-value exact. The verdict is that of
    `step_down_max_t` over all statistics that have a p-value and can change under relabelling.

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
    found = relabelled_statistics(question, gram, outputs, observed=observed, sup=sup, paths=paths)
    return PermutationFacts(
        rounds=question.options.permutations,
        gates_independent=question.options.gates_independent,
        statistics=_adjusted(found, one_hot=question.task == "classification"),
    )


def _adjusted(found: dict[str, Relabelled], *, one_hot: bool) -> dict[str, NullComparison]:
    """With p-values over all statistics that have one; β3 of one-hot targets is 0 in any order."""
    asked = {
        name: each.null
        for name, each in found.items()
        if each.null is not None and not (one_hot and name == "beta3")
    }
    adjusted = dict(zip(asked, step_down_max_t(list(asked.values())), strict=True))
    return {
        name: replace(_comparison(each), adjusted_p_value=adjusted.get(name))
        for name, each in found.items()
    }


def _comparison(found: Relabelled) -> NullComparison:
    null, magnitude = found.null, found.magnitude
    if null is None:
        return NullComparison(found.statistic, reason=found.reason)
    return NullComparison(
        statistic=found.statistic,
        observed=magnitude(null.observed),
        p_value=null.p_value,
        null_median=magnitude(null.quantile(0.5)),
        null_95=magnitude(null.quantile(0.95)),
        histogram=histogram([float(magnitude(value)) for value in null.values.tolist()]),
    )
