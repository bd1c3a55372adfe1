"""Is it noise? p-values of an audit's statistics under relabelling, and one over all of them."""

from dataclasses import replace

from gencheck.audit.histogram import histogram
from gencheck.audit.permutation_facts import NullComparison, PermutationFacts
from gencheck.audit.question import Question
from gencheck.audit.relabelled import Relabelled
from gencheck.spectral.permutation import step_down_max_t


def permutation_test(question: Question, found: dict[str, Relabelled]) -> PermutationFacts:
    """p-values of every statistic by the same relabellings of the pooled items, and one verdict.

    Each statistic is evaluated alike on the observed and on every permuted labelling, which is what
    makes its p-value exact. The verdict is that of `step_down_max_t` over all statistics that have a
    p-value and can change under relabelling.
    """
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
