"""The guarantee of a model whose scores are known item by item, and grouped, clustered or weighted."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.bound import Bound
from gencheck.bounds.evidence import INDEPENDENT, Evidence
from gencheck.bounds.paired import holm
from gencheck.bounds.solve import strength
from gencheck.bounds.stratified import stratified_upper_end
from gencheck.bounds.validation import certified_bound
from gencheck.errors import InputError
from gencheck.guarantees.beside import two_sided
from gencheck.guarantees.evidence import score_keys
from gencheck.guarantees.score_source import source_of
from gencheck.guarantees.units import cluster_means, require_nested, require_weights
from gencheck.load.evaluation import load_scores
from gencheck.load.item_scores import ItemScores, ScoreKeys

if TYPE_CHECKING:
    from gencheck.guarantees.evidence import ValidationRequest

CLUSTERS = (
    "clusters are independent draws, not used to train the models (items within one need not be), and "
    "the risk is that of a random item of a random cluster"
)
WEIGHTS = (
    "an item's weight is its probability where the risk is meant over that in the sample; no weight "
    "that there can be is above {cap:g}, a limit fixed before the items were seen"
)
TOGETHER = "items of different {groups} are independent; how many each has was fixed beforehand"


@dataclass(frozen=True)
class Scored:
    """The chosen model's evidence, all together and by group.

    Attributes
    ----------
    models
        Every model's name and mean loss, the best first.
    evidence
        Of all units together; for several groups its mean is that of `weights`.
    groups
        By task or stratum: its evidence. One group alone is not listed.
    naive
        The evidence had items been independent and equally weighted; None where they are.
    shares
        Of the groups in the mean.
    """

    path: Path
    models: tuple[tuple[str, float], ...]
    evidence: Evidence
    groups: dict[str, Evidence]
    naive: Evidence | None
    shares: NDArray[np.float64]
    kind: str
    facts: dict[str, Any]


def scored_items(request: "ValidationRequest") -> Scored | None:
    """What `--scores` (or a file with `--cluster-key` and the like) holds; None without any.

    Raises
    ------
    InputError
        Options conflict, or a file cannot be used.
    """
    path, holds = source_of(request)
    if path is None:
        return None
    keys = score_keys(
        request.loss,
        request.loss_range,
        holds=holds,
        label_key=request.label_key,
        prediction_key=request.prediction_key,
        id_key=request.id_key,
        score_key=request.score_key,
        cluster_key=request.cluster_key,
        stratify_key=request.stratify_key,
        weight_key=request.weight_key,
    )
    by_model: dict[str, list[ItemScores]] = {}
    for scores in load_scores(path, keys):
        by_model.setdefault(scores.model, []).append(scores)
    _refuse_other_tasks(by_model)
    built = {name: _evidence(found, request, keys) for name, found in by_model.items()}
    ranked = sorted(built, key=lambda name: built[name][0].mean)
    evidence, groups, shares, naive, facts = built[ranked[0]]
    low, width = keys.low, keys.high - keys.low
    return Scored(
        path=path,
        models=tuple((name, low + built[name][0].width * built[name][0].mean) for name in ranked),
        evidence=evidence,
        groups=groups,
        naive=naive,
        shares=shares,
        kind="strata" if keys.stratify_key else "tasks",
        facts=facts | {"loss": "bounded" if keys.bounded else "zero-one", "width": width},
    )


def _refuse_other_tasks(by_model: dict[str, list[ItemScores]]) -> None:
    """Check that all models have the same tasks, so that their means are of the same thing."""
    tasks = {name: sorted(scores.task for scores in found) for name, found in by_model.items()}
    first, *rest = tasks
    for name in rest:
        if tasks[name] != tasks[first]:
            raise InputError(
                where=by_model[name][0].where,
                found=f"the tasks {', '.join(tasks[name])} of {name!r}",
                required=f"those of {first!r}: {', '.join(tasks[first])}",
            )


Built = tuple[Evidence, dict[str, Evidence], NDArray[np.float64], Evidence | None, dict[str, Any]]


def _evidence(found: list[ItemScores], request: "ValidationRequest", keys: ScoreKeys) -> Built:
    groups: dict[str, Evidence] = {}
    items, largest, plain = 0, 0, []
    for scores in found:
        require_nested(scores)
        if scores.weights is not None and request.max_weight is not None:
            require_weights(scores, request.max_weight)
        names = [scores.task]
        parts = [np.ones(len(scores), dtype=bool)]
        if scores.strata is not None:
            names = sorted(set(scores.strata.tolist()))
            parts = [scores.strata == name for name in names]
        for name, rows in zip(names, parts, strict=True):
            label = " / ".join(filter(None, (scores.task if name != scores.task else "", name)))
            groups[label], size = _units(scores, rows, request, keys)
            largest = max(largest, size)
        items += len(scores)
        plain.append((scores.losses - keys.low) / (keys.high - keys.low))
    counts = np.array([e.m for e in groups.values()], dtype=float)
    shares = counts / counts.sum()
    if request.mean_over == "groups":
        shares = np.full(len(groups), 1 / len(groups))
    means = np.array([e.mean for e in groups.values()])
    one = next(iter(groups.values()))
    together = one
    if len(groups) > 1:
        together = replace(one, m=int(counts.sum()), mean=float(shares @ means), losses=None)
    special = keys.cluster_key is not None or keys.weight_key is not None
    naive = None
    if special and len(groups) == 1:
        raw = np.concatenate(plain)
        naive = Evidence(
            m=len(raw),
            mean=float(raw.mean()),
            binary=not keys.bounded,
            losses=raw,
            low=keys.low,
            high=keys.high,
        )
    facts = {"items": items, "units": int(counts.sum()), "largest_cluster": largest or None}
    return together, groups if len(groups) > 1 else {}, shares, naive, facts


def _units(
    scores: ItemScores, rows: NDArray[np.bool_], request: "ValidationRequest", keys: ScoreKeys
) -> tuple[Evidence, int]:
    """The evidence of some items: weighted, then one mean a cluster; and its largest cluster."""
    width = keys.high - keys.low
    losses = (scores.losses[rows] - keys.low) / width
    cap, assumes, largest, drawn = 1.0, [], 0, INDEPENDENT
    if scores.weights is not None and request.max_weight is not None:
        cap = request.max_weight
        losses = losses * scores.weights[rows] / cap
        assumes.append(WEIGHTS.format(cap=cap))
    if scores.clusters is not None:
        losses, sizes = cluster_means(losses, scores.clusters[rows])
        largest, drawn = int(sizes.max()), CLUSTERS
    binary = not keys.bounded and scores.clusters is None and scores.weights is None
    high = keys.low + cap * width
    evidence = Evidence(
        m=len(losses),
        mean=float(losses.mean()),
        binary=binary,
        losses=np.clip(losses, 0.0, 1.0),
        low=keys.low,
        high=high,
        seed=request.seed,
        assumes=tuple(assumes),
        drawn=drawn,
        worst=keys.high,
    )
    return evidence, largest


def stratified_bound(scored: Scored, log_inverse_level: float, class_assumption: str) -> Bound:
    """The bound on the mean over groups, weighted by their shares."""
    groups = list(scored.groups.values())
    end = stratified_upper_end(
        np.array([e.mean for e in groups]),
        np.array([e.m for e in groups], dtype=float),
        scored.shares,
        log_inverse_level,
    )
    seen = scored.evidence
    ranged = (
        ()
        if groups[0].binary
        else (
            f"every loss that there can be lies in [{seen.low:g}, {seen.high:g}], a range fixed before "
            "the items were seen",
        )
    )
    return Bound(
        name="stratified-kl",
        risk=seen.low + seen.width * end,
        slack=seen.width * (end - seen.mean),
        vacuous=seen.is_vacuous(end),
        assumes=(
            seen.drawn,
            class_assumption,
            TOGETHER.format(groups=scored.kind),
            *seen.assumes,
            *ranged,
        ),
        source="Hoeffding 1963, Theorem 1, for means of several groups (see bounds.stratified)",
    )


def group_rows(
    scored: Scored, log_models: float, delta: float, max_group_risk: float | None
) -> list[dict[str, Any]]:
    """One row a group: its bound at δ over their number, and Holm's p-value against a limit.

    All rows hold together with probability at least 1 − δ (Bonferroni); the p-values are adjusted
    over the groups (Holm), and for the |F| models.
    """
    count = len(scored.groups)
    rows = []
    for name, seen in scored.groups.items():
        bound = certified_bound(seen, log_models - math.log(delta / count))
        row: dict[str, Any] = {
            "name": name,
            "units": seen.m,
            "loss": seen.low + seen.width * seen.mean,
            "risk": bound.risk,
            "bound": bound.name,
            "interval": list(two_sided(seen, log_models, delta / count)),
        }
        if max_group_risk is not None:
            fixed = replace(seen, stakes_level=log_models - math.log(delta))
            against = strength(fixed, (max_group_risk - seen.low) / seen.width)
            row["p_value"] = math.exp(min(0.0, log_models - against))
        rows.append(row)
    if max_group_risk is not None:
        adjusted = holm([float(row["p_value"]) for row in rows])
        for row, value in zip(rows, adjusted, strict=True):
            row["p_adjusted"] = value
    return rows
