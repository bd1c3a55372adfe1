"""Which data set is better? Candidate sets against one reference, in the eyes of one model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch

from gencheck.audit.discrepancy import Discrepancies
from gencheck.audit.memory_plan import require_memory
from gencheck.audit.model import AuditedModel
from gencheck.audit.options import AuditOptions
from gencheck.audit.permutation_facts import PermutationFacts
from gencheck.audit.question import Labelled, Question
from gencheck.audit.result import GapFacts, ModelFacts
from gencheck.audit.self_check import output_deviation, require_finite_outputs
from gencheck.audit.strategies import WholeGram
from gencheck.audit.summary import gap_facts, model_facts
from gencheck.bounds.magnitude import Magnitude, total
from gencheck.errors import InputError
from gencheck.progress import SILENT, Progress
from gencheck.spectral.difference import squared_norms
from gencheck.spectral.kernel.path_kernel import PathFeatures
from gencheck.spectral.kernel.restricted import restricted
from gencheck.spectral.ranks import ALONE, Ranks


@dataclass(frozen=True)
class RankedSet:
    """One candidate set S against the reference T.

    Attributes
    ----------
    v_frobenius
        ‖V‖_F = √(Σ_k ‖E_S[y_k z] − E_T[y_k z]‖²): the figure that sets are ranked by.
    v_frobenius_normalised
        The same of z/‖z‖: no bound follows from it, and no scale of the network enters it.
    v_l2
        The largest ‖v_k‖₂.
    label_difference
        ‖ȳ_S − ȳ_T‖.
    mmd_labels
        The maximum mean discrepancy of items with their targets, in which no network has a part:
        `Discrepancies`. None where items are token numbers, which have no distances.
    """

    name: str
    items: int
    v_frobenius: Magnitude
    v_frobenius_normalised: float
    v_l2: Magnitude
    beta1: Magnitude
    label_difference: float
    mmd_labels: float | None
    gap: GapFacts
    permutation: PermutationFacts | None


@dataclass(frozen=True)
class Ranking:
    """Candidate sets, the least ‖V‖_F first."""

    model: ModelFacts
    reference_items: int
    task: str
    sets: tuple[RankedSet, ...]


def rank(
    model: AuditedModel,
    candidates: Mapping[str, Labelled],
    reference: Labelled,
    task: str,
    options: AuditOptions | None = None,
    *,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> Ranking:
    """Candidate sets ordered by ‖V‖_F under a model that saw none of them; one Gram matrix for all.

    Each pair of candidate and reference is a question of its own: β1, ‖v‖₂, p-values by relabelling
    that pair's items. The order rests on the figure, not on its p-value. `ranks` share the work, each
    with the same question; each has the result.

    Raises
    ------
    InputError
        No candidate, more memory than allowed, outputs that are not finite, or landmarks asked for.
    SelfCheckError, SolverError
        As `audit` raises them.
    """
    # every pair of sets takes its part out of the one matrix
    options = replace(options or AuditOptions(), beta2_permutation_budget=0.0, gram="memory")
    if options.landmarks is not None or not candidates:
        raise InputError(
            where="rank",
            found="landmarks" if candidates else "no candidate",
            required="at least one candidate set and the whole Gram matrix",
        )
    # the pooled sets as one sample: gates and kernels do not depend on which items are which
    pooled = Labelled(
        items=torch.cat([each.items for each in candidates.values()]),
        targets=torch.cat([each.targets for each in candidates.values()]),
    )
    whole = Question(
        model=model,
        sample=pooled,
        reference=reference,
        task=task,
        options=options,
        progress=progress,
        ranks=ranks,
    )
    kernel = whole.kernel()
    budget = require_memory(kernel, whole.count, options, neighbours=ranks.neighbours)
    kernel = budget.within(kernel)
    entering = whole.entering()
    features = kernel.features(entering, progress)
    require_finite_outputs(features.outputs, options.dtype)
    output_deviation(model, entering, features.outputs)
    # before the Gram matrix is there: the reference's distances are kept meanwhile, and are fewer
    discrepancies = _discrepancies(whole, candidates)
    gram = kernel.gram(features, progress=progress)
    ends = list(accumulate((len(each.items) for each in candidates.values()), initial=0))
    last = slice(ends[-1], whole.count)
    found = []
    for (name, sample), (start, stop) in zip(candidates.items(), pairwise(ends), strict=True):
        parts = [slice(start, stop), last]
        rows = torch.cat([torch.arange(part.start, part.stop) for part in parts])
        own = PathFeatures(features.factors.taken(rows), features.outputs[rows])
        question = replace(whole, sample=sample)
        view = WholeGram(question, kernel, own, restricted(gram, parts))
        found.append(_ranked(name, view, discrepancies.get(name)))
    return Ranking(
        model=model_facts(model),
        reference_items=len(reference.items),
        task=task,
        sets=tuple(sorted(found, key=lambda each: each.v_frobenius.log10())),
    )


def _ranked(name: str, view: WholeGram, mmd_labels: float | None) -> RankedSet:
    question, moments = view.question, view.moments()
    targets = question.difference.targets
    means = question.difference.weights() @ targets
    # equal means differ by the rounding of their sums
    means[means.abs() <= len(targets) * torch.finfo(means.dtype).eps * targets.abs().mean(0)] = 0
    cosines = squared_norms(view.gram.normalised(), question.difference.target_weights())
    permutation = view.permutation_test(None) if question.options.permutations else None
    return RankedSet(
        name=name,
        items=len(question.sample.items),
        v_frobenius=total([norm * norm for norm in moments.v_l2]).sqrt(),
        v_frobenius_normalised=float(cosines.sum().sqrt()),
        v_l2=max(moments.v_l2, key=Magnitude.log10),
        beta1=moments.beta1.value,
        label_difference=float(means.norm()),
        mmd_labels=mmd_labels,
        gap=gap_facts(question.difference, view.features.outputs, question.task),
        permutation=permutation,
    )


def _discrepancies(whole: Question, candidates: Mapping[str, Labelled]) -> dict[str, float]:
    """Of items with their targets, by the candidate; none where items are token numbers."""
    if whole.model.whole_numbers:
        return {}
    reference = Discrepancies(whole.reference, whole.options.device, whole.ranks)
    return {name: reference.of(sample)[1] for name, sample in candidates.items()}
