"""The document of `rank`: candidate sets in their order."""

from typing import Any

from gencheck.audit.rank import RankedSet, Ranking
from gencheck.errors import InputError
from gencheck.report.concentrate import gap_document, numbers, permutation_document
from gencheck.report.limits import LimitCheck, LimitReport


def rank_body(result: Ranking) -> dict[str, Any]:
    """The keys of the document that are the command's own; the nearest set first."""
    facts = result.model
    return {
        "certainty": "estimated",
        "model": {
            "parameters": facts.parameters,
            "log10_paths": facts.log10_paths,
            "input_shape": list(facts.input_shape),
            "outputs": facts.outputs,
        },
        "reference": result.reference_items,
        "task": result.task,
        "ranking": [_set(place, each) for place, each in enumerate(result.sets, 1)],
    }


def _set(place: int, found: RankedSet) -> dict[str, Any]:
    norms = {"v_frobenius": found.v_frobenius, "v_l2": found.v_l2, "beta1": found.beta1}
    return {
        "place": place,
        "name": found.name,
        "items": found.items,
        **numbers(norms),
        "label_difference": found.label_difference,
        **_discrepancy(found.mmd_labels),
        "gap": gap_document(found.gap),
        "permutation": permutation_document(found.permutation),
    }


def _discrepancy(value: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"mmd_labels": value}
    if value is None:
        found["mmd_labels_reason"] = "items are token numbers, between which there are no distances"
    return found


def require_candidate(name: str | None, candidates: list[str]) -> None:
    """Do nothing where `name` is one of the candidates, or none was required.

    Raises
    ------
    InputError
        It is none of them.
    """
    if name is not None and name not in candidates:
        raise InputError(
            where="--require-first",
            found=name,
            required=f"one of the candidates: {', '.join(candidates)}",
        )


def require_first_check(name: str | None, result: Ranking) -> LimitReport | None:
    """The gate: the place of the set that was required to be first; None where none was.

    Sets that four digits do not tell from the first are first as well.
    """
    if name is None:
        return None
    place = next(i for i, each in enumerate(result.sets, 1) if each.name == name)
    if _digits(result.sets[place - 1]) == _digits(result.sets[0]):
        place = 1
    return LimitReport((LimitCheck("require-first", 1.0, float(place), place == 1),))


def _digits(found: RankedSet) -> str:
    value = numbers({"norm": found.v_frobenius})["norm"]
    return f"{found.v_frobenius.log10():.5g}" if value is None else f"{value:.4g}"
