"""The document of `concentrate`: the result under the keys that consumers rely on."""

import math
from dataclasses import asdict
from typing import Any

from gencheck.audit.class_errors import ClassErrors
from gencheck.audit.permutation_facts import ADJUSTMENT, LEVEL, NullComparison, PermutationFacts
from gencheck.audit.result import Certified, ConcentrationResult, Direction, GapFacts, ItemShare
from gencheck.audit.warned import NamedItem, Warned
from gencheck.bounds.concentrated import GapBound
from gencheck.bounds.magnitude import Magnitude

_OVERFLOW = "past the range of a float; see log10"

_INDEPENDENT = (
    "The gates saw neither set, so a small p-value is evidence that sample and reference come from "
    "different distributions. The losses depend on the weights too: where those were trained on the "
    "sample, a gap in loss is what training makes."
)
_ADAPTED = (
    "The gates may have been trained on the sample. Then sample and reference are not exchangeable "
    "even if they come from one distribution, and a small p-value measures how far the gates have "
    "adapted to the sample, together with any difference of the distributions. With gates that saw "
    "neither set, declared by --gates-independent, it speaks of the distributions alone."
)


# What an item has only where its data have it.
_WHERE_KNOWN = frozenset({"tokens", "file", "class_name"})


def _item(item: ItemShare | NamedItem) -> dict[str, Any]:
    """An item of the attribution or of a warning; words and names only where they are known."""
    known = {k: v for k, v in vars(item).items() if v is not None or k not in _WHERE_KNOWN}
    # a picture is for the eye: the document names the item that it is of
    known.pop("picture", None)
    return {k: list(v) if k == "tokens" else v for k, v in known.items()}


def _class(found: ClassErrors) -> dict[str, Any]:
    """A class in both sets; its name only where it has one."""
    return {key: value for key, value in vars(found).items() if value is not None}


def _warned(warned: Warned) -> dict[str, Any]:
    return vars(warned) | {"items": [_item(item) for item in warned.items]}


def numbers(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with magnitudes as numbers; what no float holds is null, with its log10 beside it."""
    plain: dict[str, Any] = {}
    logarithms: dict[str, Any] = {}
    for key, value in values.items():
        members = value if isinstance(value, list | tuple) else [value]
        if not any(isinstance(member, Magnitude) for member in members):
            plain[key] = value
            continue
        floats = [_float(member) for member in members]
        plain[key] = floats if isinstance(value, list | tuple) else floats[0]
        if None in floats:
            logs = [member.log10() for member in members]
            logarithms[key] = logs if isinstance(value, list | tuple) else logs[0]
    if logarithms:
        plain |= {"log10": logarithms, "reason": _OVERFLOW}
    return plain


def _float(value: Magnitude) -> float | None:
    number = float(value)
    lost = math.isinf(number) or (number == 0 and value.mantissa != 0)
    return None if lost else number


def bound_document(result: ConcentrationResult, bound: GapBound) -> dict[str, Any]:
    """One bound: its value, its three terms and whether it says nothing."""
    vacuous = bound.is_vacuous(result.gap.sample_risk, result.largest_loss, result.data.task)
    return numbers({"value": bound.value, "terms": list(bound.terms)}) | {"vacuous": vacuous}


def concentrate_body(result: ConcentrationResult) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    facts, norms = result.model, result.path_norms
    return {
        "certainty": "estimated",
        "model": {
            "parameters": facts.parameters,
            "log10_paths": facts.log10_paths,
            "input_shape": list(facts.input_shape),
            "outputs": facts.outputs,
            "operations": facts.operations,
            "smooth": facts.smooth,
            "gates": list(facts.gates),
        },
        "data": {
            "sample": result.data.sample,
            "reference": result.data.reference,
            "task": result.data.task,
        },
        "beta1": numbers(vars(result.beta1)),
        "beta2": vars(result.beta2),
        "beta3": {"value": result.beta3},
        **_v_l2(result),
        **_v_frobenius(result),
        "path_norms": numbers(vars(norms)),
        "gap": gap_document(result.gap),
        "bound": bound_document(result, result.bound)
        | {"tightest": bound_document(result, result.tightest)},
        **({} if result.certified is None else {"certified": _certified(result.certified)}),
        "self_check": {"output_deviation": result.self_check},
        "warnings": [_warned(warned) for warned in result.warnings],
        "permutation": permutation_document(result.permutation),
        "attribution": [_item(item) for item in result.attribution],
        **({"classes": [_class(found) for found in result.classes]} if result.classes else {}),
        "direction": _direction(result.direction),
        "timing": {
            "seconds": result.seconds,
            "gram": {
                "pairs_per_second": result.pairs_per_second,
                "flops": result.flops,
                "bytes": result.nbytes,
                "executor": result.kernel.executor,
                **({} if result.kernel.storage is None else {"storage": result.kernel.storage}),
                "ranks": result.kernel.ranks,
                "overlaps": [asdict(choice) for choice in result.kernel.overlaps],
            },
            **({} if result.tiles is None else {"tiles": asdict(result.tiles)}),
        },
    }


def gap_document(gap: GapFacts) -> dict[str, Any]:
    """The gap; of the probabilities only where they were asked for."""
    plain = {key: value for key, value in vars(gap).items() if key != "softmax"}
    if gap.softmax is None:
        return plain
    sample, reference = gap.softmax
    beside = {
        "sample_risk": sample,
        "reference_risk": reference,
        "gap": reference - sample,
    }
    return plain | {"softmax": beside}


def _direction(direction: Direction | None) -> dict[str, Any]:
    if direction is None:
        return {"items": 0, "reason": "not asked for (--top 0), or β1 is not positive"}
    picture = direction.picture
    return {
        "items": direction.items,
        "captured": direction.captured,
        "elsewhere": direction.elsewhere,
        "shape": None if picture is None else list(picture.shape),
        "channel_axis": None if picture is None else picture.channel_axis,
        "energy": list(direction.energy),
    }


def _certified(certified: Certified) -> dict[str, Any]:
    absent = {"zero_one_reason": "a regression has no 0-1 error"}
    return (
        numbers({k: v for k, v in vars(certified).items() if k != "beta1_forms"})
        | {"beta1_forms": numbers(certified.beta1_forms)}
        | (absent if certified.zero_one is None else {})
    )


def permutation_document(facts: PermutationFacts | None) -> dict[str, Any]:
    """The statistics under relabelling, with their verdict; only the rounds where there were none."""
    if facts is None:
        return {"rounds": 0}
    return {
        "rounds": facts.rounds,
        **{name: _comparison(found) for name, found in facts.statistics.items()},
        "p_value": facts.p_value,
        "adjustment": ADJUSTMENT,
        "holm_p_value": facts.holm_p_value,
        "level": LEVEL,
        "differing": list(facts.differing()),
        "gates_independent": facts.gates_independent,
        "reading": _INDEPENDENT if facts.gates_independent else _ADAPTED,
    }


def _comparison(found: NullComparison) -> dict[str, Any]:
    known = {k: v for k, v in vars(found).items() if k not in {"reason", "histogram"}}
    reason = {} if found.reason is None else {"reason": found.reason}
    shown = {} if found.histogram is None else {"null_histogram": asdict(found.histogram)}
    return numbers(reason | known) | shown


def _v_frobenius(result: ConcentrationResult) -> dict[str, Any]:
    values = numbers({"v_frobenius": result.v_frobenius})
    logs = values.get("log10", {})
    return {"v_frobenius": values["v_frobenius"]} | {f"{k}_log10": v for k, v in logs.items()}


def _v_l2(result: ConcentrationResult) -> dict[str, Any]:
    lower = result.v_l2_lower
    found: dict[str, Any] = {}
    for name, ends in (("v_l2", result.v_l2), ("v_l2_lower", lower)):
        if ends is not None:
            values = numbers({name: list(ends)})
            found[name] = values[name]
            if "log10" in values:
                found[f"{name}_log10"] = values["log10"][name]
    return found
