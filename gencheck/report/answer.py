"""What a `concentrate` document says in sentences: the first answers, the last says what to do."""

from typing import Any

from gencheck.report.json import Document

# What a statistic that chance does not explain says about the two sets, in the user's words.
KINDS = {
    "label_means": "the shares of the classes",
    "zero_one_gap": "how often the model errs",
    "cross_entropy_gap": "the model's loss",
    "squared_gap": "the model's loss",
    "v_frobenius": "how inputs go with targets",
    "v_l2": "how inputs go with targets",
    "beta2": "how inputs go with targets",
    "feature_means": "the inputs as the network sees them",
    "beta1_normalised": "the inputs as the network sees them",
    "beta1": "what the reference has and the sample lacks",
    "beta3": "the size of the targets",
}

# They depend on the weights as well as on the gates.
LOSSES = {"squared_gap", "zero_one_gap", "cross_entropy_gap"}

NAMES = {
    "beta1": "β1",
    "beta1_normalised": "β1, normalised",
    "beta2": "β2",
    "beta3": "β3",
    "v_l2": "‖v‖₂",
    "v_frobenius": "‖V‖_F",
    "squared_gap": "gap, squared loss",
    "zero_one_gap": "gap, 0-1 error",
    "cross_entropy_gap": "gap, cross-entropy",
    "label_means": "class shares",
    "feature_means": "mean path features",
}


def statistics(doc: Document) -> dict[str, Any]:
    """The statistics that were put under relabelling, by name."""
    found = doc["permutation"]
    return {name: found[name] for name in NAMES if name in found}


def kinds(doc: Document) -> list[str]:
    """In what the two sets differ, each kind once; empty where chance explains everything."""
    differing = doc["permutation"].get("differing", [])
    words = dict.fromkeys(KINDS[name] for name in KINDS if name in differing)
    if doc["data"]["task"] == "regression":
        swapped = {KINDS["label_means"]: "the targets' mean"}
        return [swapped.get(word, word) for word in words]
    return list(words)


def items_stand_out(doc: Document) -> bool:
    """Whether β1 may be more than noise, so that the items that make it up are worth a look."""
    found = doc["permutation"]
    return not found["rounds"] or bool({"beta1", "beta1_normalised"} & set(found["differing"]))


def answer(doc: Document) -> str:
    """The first sentence: whether there is a difference that chance does not make, and of which kind."""
    found = doc["permutation"]
    if found["rounds"] == 0:
        return (
            "Whether sample and reference differ by more than chance was not asked: pass "
            "--permutations 200."
        )
    # independent gates or not, the weights may have been trained on the sample
    independent = found["gates_independent"] and not LOSSES & set(found["differing"])
    adapted = "" if independent else ", as this model sees them"
    if found["differing"]:
        return (
            f"Sample and reference differ by more than chance makes{adapted}, in "
            f"{_listed(kinds(doc))} (p = {found['p_value']:.2g} over all questions)."
        )
    return (
        f"No difference that chance does not make{adapted}: items relabelled at random differ as "
        f"much in {_chance(found['p_value'])} of draws or more, all questions taken together."
    )


def size(doc: Document) -> str:
    """How large the difference is in words of the user's task."""
    gap, task = doc["gap"], doc["data"]["task"]
    if task == "classification":
        low, high = gap["error_gap_interval"]
        text = (
            f"The model errs on {gap['sample_error']:.2%} of the sample and "
            f"{gap['reference_error']:.2%} of the reference: "
            f"{gap['reference_error'] - gap['sample_error']:+.2%} "
            f"(95 % interval {low:+.2%} to {high:+.2%}"
        )
        p_value = doc["permutation"].get("zero_one_gap", {}).get("p_value")
    else:
        text = (
            f"The model's mean squared loss is {gap['sample_risk']:.4g} on the sample and "
            f"{gap['reference_risk']:.4g} on the reference: {gap['gap']:+.4g} ("
        )
        p_value = doc["permutation"].get("squared_gap", {}).get("p_value")
    if p_value is not None:
        text += f"{'; ' if task == 'classification' else ''}p = {p_value:.2g}"
    return (text + ").").replace(" ().", ".")


def verdict(doc: Document) -> str:
    """The last sentence: what a pipeline, or a person, may do now."""
    gate = doc.get("gate")
    if gate is not None:
        failed = [check["name"] for check in gate["checks"] if not check["passed"]]
        if failed:
            return f"Verdict: the gate failed ({', '.join(failed)})."
        return "Verdict: the gate passed."
    found = doc["permutation"]
    if found["rounds"] == 0:
        return f"Verdict: {theory(doc)}"
    if found["differing"] and set(found["differing"]) <= LOSSES:
        return (
            "Verdict: the sets differ in the model's loss alone. If it was trained on the sample, "
            "that is its generalization gap; if not, one set is harder for it."
        )
    if found["differing"]:
        return (
            "Verdict: do not treat the sample as one more draw of what the reference is; look at "
            "what differs."
        )
    return "Verdict: nothing here speaks against treating sample and reference as one population."


def theory(doc: Document) -> str:
    """What the data-dependent bound says, or by how much it says nothing."""
    bound, gap = doc["bound"]["tightest"], doc["gap"]
    if bound["vacuous"]:
        value = bound["value"]
        shown = f"{value:.4g}" if value is not None else f"10^{bound['log10']['value']:.1f}"
        return (
            f"the data-dependent bound holds ({shown} against a gap of {gap['gap']:.4g}) and is too "
            "loose to say anything about the error (vacuous)."
        )
    if doc["data"]["task"] == "classification":
        at_most = 2 * (gap["sample_risk"] + bound["value"])
        return f"the data-dependent bound puts the 0-1 error on T at {at_most:.1%} or less."
    at_most = gap["sample_risk"] + bound["value"]
    return f"the data-dependent bound puts the risk on T at {at_most:.4g} or less."


def _chance(p_value: float) -> str:
    return f"{100 * p_value:.0f} %"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
