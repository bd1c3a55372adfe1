"""A validation guarantee from what the user has: numbers, losses or predictions."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gencheck.arguments import log_of_count, require_between
from gencheck.bounds.bound import Bound
from gencheck.bounds.evidence import FIXED_CLASS, Evidence
from gencheck.bounds.solve import Solution, fewest_items, largest_class, smallest_delta
from gencheck.bounds.validation import certified_name, validation_bounds, with_items
from gencheck.errors import InputError
from gencheck.guarantees.counted import require_all_counted
from gencheck.guarantees.evidence import ValidationRequest, evidence_of
from gencheck.guarantees.sampling import ways
from gencheck.guarantees.study import with_study

if TYPE_CHECKING:
    from gencheck.guarantees.scored import Scored

_ITEM_KEYS = ("score_key", "cluster_key", "stratify_key", "weight_key", "max_weight")

# The name of the bound on a mean over several groups.
GROUPED = "stratified-kl"


@dataclass(frozen=True)
class ValidationResult:
    """The bounds, which of them is certified, and the answer to `--solve`.

    Attributes
    ----------
    evidence
        What the bounds were computed from; after solving for m, the evidence at the solution.
    log_models
        ln|F|.
    bounds
        Empty where `--solve m-val` has no answer to evaluate them at.
    observed
        True where the empirical risk comes from a file of what happened, not from a number, which may
        be a plan.
    study
        What was counted in the study that was given, as `guarantees.study` records it.
    scored
        Item by item, where scores were so given.
    """

    evidence: Evidence
    log_models: float
    delta: float
    bounds: tuple[Bound, ...]
    solution: Solution | None
    record: dict[str, Any]
    observed: bool
    study: dict[str, Any] | None = None
    scored: "Scored | None" = None

    @property
    def certified(self) -> Bound | None:
        """The bound to certify, by the rule fixed in advance."""
        grouped = self.scored is not None and bool(self.scored.groups)
        name = GROUPED if grouped else certified_name(self.evidence)
        return next((bound for bound in self.bounds if bound.name == name), None)


def validation_result(request: ValidationRequest) -> ValidationResult:
    """The validation guarantee that a request asks for.

    Raises
    ------
    InputError
        An option is out of range, missing, or in conflict with another; a file cannot be used.
    """
    require_between("--delta", request.delta, 0, 1, open_low=True, open_high=True)
    scored = None
    if request.scores is not None or any(vars(request)[name] is not None for name in _ITEM_KEYS):
        # numbers alone do not wait for numpy
        from gencheck.guarantees.scored import scored_items

        scored = scored_items(request)
    request, study = with_study(_with_models(request, scored))
    log_models, class_assumption = _log_models(request)
    evidence, record = evidence_of(
        request, class_assumption, None if scored is None else scored.evidence
    )
    if scored is not None and scored.groups:
        return _grouped_result(request, scored, evidence, record, log_models)
    if study:
        evidence = _of_study(evidence, study, request.delta)
    if request.solve == "delta":
        evidence = replace(evidence, stakes_level=log_models - math.log(request.delta))
    solution = _solution(request, evidence, log_models)
    delta, evidence_at, log_at = request.delta, evidence, log_models
    if solution is not None and solution.value is not None:
        if solution.variable == "m-val":
            evidence_at = with_items(evidence, int(solution.value))
        elif solution.variable == "n-models":
            log_at = math.log(solution.value)
        else:
            delta = solution.value
    elif solution is not None and solution.log10 is not None and solution.variable == "n-models":
        log_at = solution.log10 * math.log(10)
    bounds: tuple[Bound, ...] = ()
    if evidence_at.m > 0:
        bounds = _finite(validation_bounds(evidence_at, log_at - math.log(delta)))
    return ValidationResult(
        evidence=evidence_at,
        log_models=log_at,
        delta=delta,
        bounds=bounds,
        solution=solution,
        record=record,
        observed=evidence.losses is not None or (bool(study) and study["best"] is not None),
        study=study or None,
        scored=scored,
    )


def _of_study(evidence: Evidence, study: dict[str, Any], delta: float) -> Evidence:
    """The evidence under the study's assumptions; `study` gets what its sampler makes of it."""
    learnt = study.pop("learnt", None)
    if learnt is not None and evidence.m:
        study["ways"] = ways(evidence, study["models"], learnt, delta)
    return replace(evidence, assumes=tuple(study.pop("assumes")))


def _with_models(request: ValidationRequest, scored: "Scored | None") -> ValidationRequest:
    """The request with as many models as were scored, where several were and none were counted."""
    if scored is None:
        return request
    require_all_counted(request, len(scored.models), "models in the files")
    if len(scored.models) < 2 or request.solve == "n-models" or _options_given(request):
        return request
    return replace(request, n_models=str(len(scored.models)))


def _grouped_result(
    request: ValidationRequest,
    scored: "Scored",
    evidence: Evidence,
    record: dict[str, Any],
    log_models: float,
) -> ValidationResult:
    """The bound on the mean over several tasks or strata."""
    if request.solve is not None:
        raise InputError(
            where="--solve",
            found=f"several {scored.kind}",
            required="one, or a plan in numbers (--m-val and --val-error)",
        )
    from gencheck.guarantees.scored import stratified_bound

    level = log_models - math.log(request.delta)
    bound = stratified_bound(scored, level, evidence.class_assumption)
    return ValidationResult(
        evidence=evidence,
        log_models=log_models,
        delta=request.delta,
        bounds=_finite((bound,)),
        solution=None,
        record=record,
        observed=True,
        scored=scored,
    )


def refuse_gate_on_a_solution(result: ValidationResult, max_risk: float | None) -> None:
    """Check that a limit is not held against a bound solved for from what was observed.

    Raises
    ------
    InputError
        It is: such a gate would pass by its own making.
    """
    if max_risk is not None and result.solution is not None and result.observed:
        raise InputError(
            where=f"--max-risk and --solve {result.solution.variable}",
            found="both, with a file of what was observed",
            required="one of them",
            remedy="A gate needs a confidence and a number of models that do not come from the items: "
            "--delta D --n-models K.",
        )


def items_that_would_pass(result: ValidationResult, max_risk: float) -> dict[str, Any] | None:
    """How many items of the same mean loss would bring the certified risk to `max_risk`.

    For losses one by one it is answered by their mean alone (`hoeffding-bentkus`), which a small
    variance only improves on.

    Returns
    -------
    dict
        `m_val`, or None and a `reason`; `counted_by`, the bound that was solved; `fresh` where new items
        are meant, on which nothing was chosen: more of the same would teach a sampler more. None for the
        mean of several groups, which depends on how many items each has.
    """
    if result.scored is not None and result.scored.groups:
        return None
    seen = result.evidence
    target = (max_risk - seen.low) / seen.width
    fresh = result.study is not None and result.study["by_scores"]
    level = (0.0 if fresh else result.log_models) - math.log(result.delta)
    solution = fewest_items(seen.mean, seen.binary, target, level)
    reason = solution.reason
    if target <= seen.mean:
        risk = seen.low + seen.width * seen.mean
        reason = f"no number of items, since the limit is not above their mean loss, {risk:.6g}"
    answer = {
        "m_val": solution.value,
        "counted_by": "binomial" if seen.binary else "hoeffding-bentkus",
    }
    if fresh:
        answer["fresh"] = True
    return answer if reason is None else answer | {"reason": reason}


def _finite(bounds: tuple[Bound, ...]) -> tuple[Bound, ...]:
    for bound in bounds:
        if not math.isfinite(bound.risk):
            raise InputError(
                where=f"the number of models, --c, --gamma2 and --loss-range, by way of {bound.name}",
                found="a bound past 1e308",
                required="numbers that keep it in the range of floats",
            )
    return bounds


def _log_models(request: ValidationRequest) -> tuple[float, str]:
    """ln|F| and the assumption that makes it so."""
    rounds, scores = request.adaptive_rounds, request.scores_per_round
    given = _options_given(request)
    if (rounds is None) != (scores is None):
        raise InputError(
            where="--adaptive-rounds and --scores-per-round", found="one", required="both"
        )
    if request.solve == "n-models":
        for name in given:
            raise InputError(
                where=name, found="a value", required="nothing, since --solve n-models seeks it"
            )
        return 0.0, FIXED_CLASS
    if len(given) > 1:
        raise InputError(where=" and ".join(given), found="both", required="one of them")
    if rounds is not None and scores is not None:
        require_between("--adaptive-rounds", rounds, 1)
        require_between("--scores-per-round", scores, 2)
        return rounds * math.log(scores), (
            f"models were tried in {rounds} rounds, each of which revealed at most one of "
            f"{scores:g} distinguishable scores, and nothing else of the validation items"
        )
    if request.log_n_models is not None:
        return require_between("--log-n-models", request.log_n_models, 0), FIXED_CLASS
    if request.n_models is not None:
        return log_of_count("--n-models", request.n_models), FIXED_CLASS
    raise InputError(
        where="--n-models",
        found="nothing",
        required="the number of models tried, --log-n-models, or --adaptive-rounds",
        remedy="Count every model and setting that was compared on these items; 1 for a single one.",
    )


def _solution(request: ValidationRequest, evidence: Evidence, log_models: float) -> Solution | None:
    if request.solve is None:
        if request.target is not None:
            raise InputError(where="--target", found="no --solve", required="both")
        return None
    if request.target is None:
        raise InputError(
            where="--solve", found="no --target", required="--target RISK, the risk to certify"
        )
    if request.solve == "m-val" and evidence.losses is not None:
        raise InputError(
            where="--solve m-val",
            found="a file, which fixes the number of items",
            required="--val-error",
        )
    require_between("--target", request.target, evidence.low, evidence.high)
    target = (request.target - evidence.low) / evidence.width
    if request.solve == "n-models":
        return largest_class(evidence, target, request.delta)
    if request.solve == "delta":
        return smallest_delta(evidence, target, log_models)
    level = log_models - math.log(request.delta)
    return fewest_items(evidence.mean, evidence.binary, target, level)


def _options_given(request: ValidationRequest) -> list[str]:
    """The options by which the number of models was given."""
    options = {
        "--n-models": request.n_models,
        "--log-n-models": request.log_n_models,
        "--adaptive-rounds": request.adaptive_rounds,
    }
    return [name for name, value in options.items() if value is not None]
