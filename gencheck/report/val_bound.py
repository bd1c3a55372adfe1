"""The document of `val-bound`."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gencheck.arguments import require_between
from gencheck.errors import InputError
from gencheck.guarantees.beside import group_intervals, intervals, split_advice
from gencheck.guarantees.evidence import ValidationRequest
from gencheck.guarantees.validation import (
    ValidationResult,
    items_that_would_pass,
    refuse_gate_on_a_solution,
)
from gencheck.report.limits import LimitCheck, LimitReport, maximum_check

if TYPE_CHECKING:
    from gencheck.guarantees.scored import Scored


def val_bound_inputs(request: ValidationRequest, result: ValidationResult) -> dict[str, Any]:
    """Everything needed to repeat the run: the options as given, and what was made of them."""
    given = {
        name: str(value)
        if name in {"losses", "predictions", "study", "scores"} and value is not None
        else value
        for name, value in asdict(request).items()
    }
    return given | {
        **result.record,
        "log_n_models": result.log_models,
        "n_models": _models(result.log_models),
        "delta": request.delta,
    }


def _models(log_models: float) -> float | None:
    """|F|, whole where only the rounding of its logarithm says otherwise; None past floats."""
    if log_models >= 709:
        return None
    count = math.exp(log_models)
    whole = round(count)
    return whole if abs(count - whole) <= 1e-12 * count and whole < 2**53 else count


def val_bound_body(result: ValidationResult, max_group_risk: float | None = None) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    certified, solution = result.certified, result.solution
    body: dict[str, Any] = {
        "certainty": "certified",
        "bounds": [vars(bound) for bound in result.bounds],
        "certified": (
            {"name": None, "risk": None, "reason": solution.reason if solution else "no items"}
            if certified is None
            else {"name": certified.name, "risk": certified.risk}
        ),
        "evaluated_at": {
            "m_val": result.evidence.m,
            "log_n_models": result.log_models,
            "delta": result.delta,
            "empirical_risk": result.evidence.low + result.evidence.width * result.evidence.mean,
        },
    }
    if result.evidence.m and (result.scored is None or not result.scored.groups):
        level = result.log_models, result.delta
        body["intervals"] = intervals(result.evidence, *level)
        advice = split_advice(result.evidence, *level)
        if advice is not None:
            body["split"] = advice
    if result.scored is not None and result.scored.groups:
        scored = result.scored
        body["intervals"] = group_intervals(
            scored.evidence,
            list(scored.groups.values()),
            scored.shares,
            log_models=result.log_models,
            delta=result.delta,
        )
    if result.scored is not None:
        body["scores"] = _scores(result, result.scored, max_group_risk)
    if result.study is not None:
        body["study"] = result.study
    if solution is not None:
        answer = {k: v for k, v in vars(solution).items() if v is not None}
        body["solution"] = {"value": None} | answer
        if solution.variable == "delta" and {"value", "log10"} & answer.keys():
            body["solution"]["reading"] = "p-value" if result.observed else "planned"
    return body


def _scores(
    result: ValidationResult, scored: "Scored", max_group_risk: float | None
) -> dict[str, Any]:
    """Models, groups, clusters, and what treating items as such costs."""
    from gencheck.bounds.validation import certified_bound
    from gencheck.guarantees.scored import group_rows

    level = result.log_models - math.log(result.delta)
    naive = None
    if scored.naive is not None and result.certified is not None:
        bound = certified_bound(scored.naive, level)
        naive = {
            "items": scored.naive.m,
            "risk": bound.risk,
            "slack": bound.slack,
            "slack_ratio": result.certified.slack / bound.slack if bound.slack > 0 else None,
        }
    return {
        "models": [{"name": name, "loss": loss} for name, loss in scored.models],
        "kind": scored.kind,
        "groups": group_rows(scored, result.log_models, result.delta, max_group_risk),
        "naive": naive,
        **scored.facts,
    }


def val_bound_gate(
    request: ValidationRequest,
    result: ValidationResult,
    body: dict[str, Any],
    max_risk: float | None,
) -> LimitReport | None:
    """The limits on the risk and on each group's; with the items that would pass where the first fails.

    Raises
    ------
    InputError
        A limit is not finite, there are no groups to hold it against, or the confidence was found
        from the items.
    """
    refuse_gate_on_a_solution(result, max_risk)
    risk = None if result.certified is None else result.certified.risk
    checks = maximum_check("max-risk", max_risk, risk)
    would_pass = None
    if max_risk is not None and not checks[0].passed:
        would_pass = items_that_would_pass(result, max_risk)
    checks += _group_checks(body, request)
    return LimitReport(tuple(checks), would_pass) if checks else None


def _group_checks(body: dict[str, Any], request: ValidationRequest) -> list[LimitCheck]:
    """One check a group: Holm's p-value against a risk above the limit is at most δ."""
    limit = request.max_group_risk
    if limit is None:
        return []
    require_between("--max-group-risk", limit, -math.inf)
    rows = body.get("scores", {}).get("groups", [])
    if not rows:
        raise InputError(
            where="--max-group-risk",
            found="no groups",
            required="scores of several tasks or strata",
        )
    checks = []
    for row in rows:
        passed = row["p_adjusted"] <= request.delta
        # Holm's test certifies the limit itself where Bonferroni's bound is above it
        risk = min(limit, row["risk"]) if passed else row["risk"]
        checks.append(LimitCheck(f"max-group-risk, {row['name']}", limit, risk, passed))
    return checks
