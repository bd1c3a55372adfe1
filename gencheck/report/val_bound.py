"""The document of `val-bound`."""

import math
from dataclasses import asdict
from typing import Any

from gencheck.guarantees.evidence import ValidationRequest
from gencheck.guarantees.validation import ValidationResult


def val_bound_inputs(request: ValidationRequest, result: ValidationResult) -> dict[str, Any]:
    """Everything needed to repeat the run: the options as given, and what was made of them."""
    given = {
        name: str(value)
        if name in {"losses", "predictions", "study"} and value is not None
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


def val_bound_body(result: ValidationResult) -> dict[str, Any]:
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
    if result.study is not None:
        body["study"] = result.study
    if solution is not None:
        answer = {k: v for k, v in vars(solution).items() if v is not None}
        body["solution"] = {"value": None} | answer
        if solution.variable == "delta" and {"value", "log10"} & answer.keys():
            body["solution"]["reading"] = "p-value" if result.observed else "planned"
    return body
