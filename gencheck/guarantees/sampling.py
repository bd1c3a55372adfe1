"""Trials that were chosen by the scores of earlier ones: what is then valid for the best of them.

With trials fixed beforehand the union bound is over T of them. A sampler that looks at scores (TPE,
CMA-ES, a Gaussian process, evolution) makes trial t of the scores of trials 1, …, t − 1, so the models
that were tried depend on the validation items, and a union over those that were tried says nothing.
Fixed beforehand is what could have been tried: given the sampler's own randomness, trial t is a
function of t − 1 scores with V values each. All together these are fewer than V^T models, so
ln|F| = T ln V. The mean of 0-1 losses over m items has V = m + 1 values. It is a high price; new items,
on which nothing was chosen, pay none.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gencheck.arguments import whole_number
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.validation import certified_bound
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.guarantees.evidence import ValidationRequest
    from gencheck.load.studies.study import Study


@dataclass(frozen=True)
class Transcripts:
    """T rounds, each of which tells the sampler one of V scores."""

    rounds: int
    scores_per_round: int

    @property
    def log_models(self) -> float:
        """T ln V."""
        return self.rounds * math.log(self.scores_per_round)


def transcripts(study: "Study", reachable: int, request: "ValidationRequest") -> Transcripts | None:
    """What a sampler can have learnt of the items: each of the `reachable` scores, one of m + 1.

    None where losses are not 0 or 1, where there are several objectives, and where the number of items
    is not given.
    """
    binary = request.loss != "bounded" and request.loss_range is None
    if not binary or request.m_val is None or study.objectives > 1:
        return None
    return Transcripts(reachable, whole_number("--m-val", request.m_val) + 1)


def with_transcripts(
    study: "Study", learnt: Transcripts | None, request: "ValidationRequest"
) -> "ValidationRequest":
    """The request with the transcripts in place of the trials.

    Raises
    ------
    InputError
        Their number is unknown.
    """
    assert study.sampler is not None
    if learnt is None:
        if request.m_val is None and request.solve != "m-val":
            raise InputError(
                where="--m-val", found="nothing", required="the number of validation items"
            )
        raise InputError(
            where=f"--study {study.where}",
            found=f"trials that {study.sampler.name} chose by earlier scores of unknown values",
            required="--adaptive-rounds T and --scores-per-round V, the scores that there can be",
            remedy=(
                "The trials are no class that was fixed beforehand. Or bound the chosen model alone on "
                "new items (--n-models 1), or count them as if they had been fixed (--n-models F)."
            ),
        )
    return replace(
        request,
        adaptive_rounds=learnt.rounds,
        scores_per_round=float(learnt.scores_per_round),
    )


def ways(evidence: Evidence, models: int, learnt: Transcripts, delta: float) -> dict[str, Any]:
    """The certified risk by each way of choosing the trials, and on as many new items.

    Returns
    -------
    dict
        `fixed`, for trials fixed beforehand; `adaptive`, for trials chosen by earlier scores; `fresh`,
        for the chosen model on new items at the same error.
    """

    def risk(log_models: float) -> float:
        return certified_bound(evidence, log_models - math.log(delta)).risk

    return {
        "fixed": {"models": models, "risk": risk(math.log(models))},
        "adaptive": vars(learnt)
        | {"log_n_models": learnt.log_models, "risk": risk(learnt.log_models)},
        "fresh": {"items": evidence.m, "risk": risk(0.0)},
    }
