"""The number of models and the score of the best, from the study in which they were tried."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gencheck.errors import InputError
from gencheck.guarantees.counted import require_all_counted
from gencheck.guarantees.sampling import transcripts, with_transcripts
from gencheck.guarantees.score_names import refuse_no_mean

if TYPE_CHECKING:
    from gencheck.guarantees.evidence import ValidationRequest
    from gencheck.load.studies.study import Study, Trial

BEFORE = (
    "what each trial was did not depend on the scores of others: grid, random or fixed trials; for a "
    "sampler that looks at scores (TPE, CMA-ES, Bayesian optimisation, evolution) this does not hold"
)


@dataclass(frozen=True)
class StudyCount:
    """What was counted in a study, and its best score.

    Attributes
    ----------
    models
        |F|: the trials that were compared, or all their epochs. When a trial ends may depend on its
        scores, so every trial counts as many epochs as the longest has.
    counted
        ``trials`` or ``scores``.
    scores, reachable
        The scores that were reported, and those that there would be had no trial ended early.
    states
        How many trials are in which state.
    left_out
        Trials that never had a score and so were never compared.
    best
        The name of the trial with the best score, that score, and the mean loss that it means; None
        where the store has no scores.
    """

    models: int
    counted: str
    trials: int
    scores: int
    reachable: int
    states: dict[str, int]
    left_out: int
    metric: str | None
    direction: str | None
    best: dict[str, Any] | None
    why: str


def count_study(study: "Study", request: "ValidationRequest") -> StudyCount:
    """What a study holds, by the metric, direction and way of counting that were asked for.

    Raises
    ------
    InputError
        The metric or its direction is not clear, no trial has a score, or the score is no mean.
    """
    metric = _metric(study, request)
    compared = [trial for trial in study.trials if trial.counts(metric)]
    states = dict(Counter(trial.state for trial in study.trials))
    counted, why = "trials", "no scores in the store: every trial counts"
    scores = reachable = len(compared)
    direction = best = None
    if metric is not None:
        direction = _direction(study, metric, request)
        counted, why = _way(compared, metric, request.count)
        lengths = [max(1, len(trial.scores(metric))) for trial in compared]
        scores, reachable = sum(lengths), len(lengths) * max(lengths, default=1)
        if counted == "scores" and reachable > scores:
            why += "; so do those that a trial which ended earlier could have had"
        best = _best(
            study, compared, metric=metric, direction=direction, counted=counted, request=request
        )
    return StudyCount(
        models=reachable if counted == "scores" else len(compared),
        counted=counted,
        trials=len(compared),
        scores=scores,
        reachable=reachable,
        states=states,
        left_out=len(study.trials) - len(compared),
        metric=metric,
        direction=direction,
        best=best,
        why=why,
    )


def _metric(study: "Study", request: "ValidationRequest") -> str | None:
    names, asked = study.metrics, request.metric
    if asked is not None:
        if asked not in names:
            raise InputError(
                where=f"--metric {asked}",
                found=f"the metrics {', '.join(names) or 'none'} in {study.where}",
                required="one of them; a metric without any score is not among these",
            )
    elif len(names) == 1:
        asked = names[0]
    elif names and request.val_error is None:
        raise InputError(
            where=f"--study {study.where}",
            found=f"{len(names)} metrics: {', '.join(names[:8])}",
            required="the one by which the best was chosen: --metric NAME",
        )
    if asked is None:
        if request.val_error is None:
            raise InputError(
                where=f"--study {study.where}",
                found=f"no score in any of {len(study.trials)} trials (states: {_states(study)})",
                required="a trial that has ended, or the error of the chosen model: --val-error E",
            )
        return None
    ranged = request.loss_range is not None or request.loss == "bounded"
    refuse_no_mean(asked, f"--metric {asked} of {study.where}", ranged)
    return asked


def _states(study: "Study") -> str:
    counts = Counter(trial.state for trial in study.trials)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _direction(study: "Study", metric: str, request: "ValidationRequest") -> str:
    direction = request.direction or study.directions.get(metric)
    if direction is None:
        raise InputError(
            where=f"--metric {metric}",
            found=f"no word in {study.where} on whether more of it is better",
            required="--direction max (an accuracy) or --direction min (an error)",
        )
    return direction


def _way(compared: list["Trial"], metric: str, asked: str | None) -> tuple[str, str]:
    """``trials`` or ``scores``, and why."""
    if asked is not None:
        return asked, f"--count {asked}"
    if any(trial.kept_an_earlier_epoch(metric) for trial in compared):
        return "scores", "a trial's score is not its last: every epoch's score counts"
    kept = any(metric in trial.final for trial in compared)
    if not kept and any(len(trial.scores(metric)) > 1 for trial in compared):
        return "scores", (
            "the store keeps no score for a trial, so the best epoch may have been taken: every "
            "epoch's score counts (--count trials where it was always the last)"
        )
    return "trials", "one score a trial counts, its last"


def _best(
    study: "Study",
    compared: list["Trial"],
    *,
    metric: str,
    direction: str,
    counted: str,
    request: "ValidationRequest",
) -> dict[str, Any]:
    from gencheck.load.studies.study import best_of

    finals = any(metric in trial.final for trial in compared)
    found: list[tuple[float, str]] = []
    for trial in compared:
        if finals:
            candidates = tuple(s for s in (trial.final.get(metric),) if s is not None)
        else:
            candidates = trial.scores(metric)
            candidates = candidates if counted == "scores" else candidates[-1:]
        score = best_of(candidates, direction)
        if score is not None:
            found.append((score, trial.name))
    if not found:
        raise InputError(
            where=f"--study {study.where}",
            found=f"no finished trial with a finite {metric!r}",
            required="at least one",
            remedy="Wait until a trial has ended, or give the error of the chosen model: --val-error E.",
        )
    pick = max if direction == "max" else min
    score, name = pick(found, key=lambda pair: pair[0])
    return {"trial": name, "score": score, "loss": _loss(score, metric, direction, request)}


def _loss(score: float, metric: str, direction: str, request: "ValidationRequest") -> float:
    low, high = request.loss_range or (0.0, 1.0)
    if not low <= score <= high:
        raise InputError(
            where=f"--metric {metric}",
            found=f"the score {score:g}",
            required=f"one from {low:g} to {high:g}",
            remedy=(
                "State what it can be with --loss-range A B, or give the error rate of the chosen "
                "model: --val-error E (a score in per cent is a hundred times its rate)."
            ),
        )
    return score if direction == "min" else low + high - score


def with_study(request: "ValidationRequest") -> tuple["ValidationRequest", dict[str, Any]]:
    """The request with |F| and the error that its study holds where none were given, and a record.

    Raises
    ------
    InputError
        The store cannot be used, or options conflict.
    """
    if request.study is None:
        _refuse_options_of_a_study(request)
        return request, {}
    if request.losses is not None or request.predictions is not None:
        raise InputError(
            where="--study and --losses or --predictions",
            found="both",
            required="the file, with --n-models from the study; or the study alone",
        )
    from gencheck.load.digest import sha256_of
    from gencheck.load.studies.read import load_study

    study = load_study(request.study, request.name)
    counted = count_study(study, request)
    given = any(v is not None for v in (request.n_models, request.log_n_models))
    given = given or request.adaptive_rounds is not None or request.solve == "n-models"
    if counted.best is not None and request.val_error is None:
        seen = counted.scores if counted.counted == "scores" else counted.models
        require_all_counted(request, seen, f"{counted.counted} of the study")
    learnt = None if given else transcripts(study, counted.reachable, request)
    changed = request
    if not given and study.sampler is not None and study.sampler.adaptive:
        changed = with_transcripts(study, learnt, request)
    elif not given:
        changed = replace(request, n_models=str(counted.models))
    if request.val_error is None and counted.best is not None:
        changed = replace(changed, val_error=counted.best["loss"])
    file = {} if request.study.is_dir() else {"sha256": sha256_of(request.study)}
    record = {
        "kind": study.kind,
        "name": study.name,
        **vars(counted),
        "corrected": given or request.val_error is not None,
        "notes": list(study.notes),
        "assumes": [] if given or changed.adaptive_rounds is not None else [BEFORE],
        "by_scores": not given and changed.adaptive_rounds is not None,
        "sampler": None if study.sampler is None else vars(study.sampler),
        **file,
    }
    if learnt is not None and (study.sampler is None or study.sampler.adaptive):
        # for `ways`, once the evidence is known
        record["learnt"] = learnt
    if counted.best is not None and math.isfinite(counted.best["loss"]):
        record["assumes"].append(_meaning(counted, request))
    return changed, record


def _refuse_options_of_a_study(request: "ValidationRequest") -> None:
    for option, value in (
        ("--name", request.name),
        ("--metric", request.metric),
        ("--direction", request.direction),
        ("--count", request.count),
    ):
        if value is not None:
            raise InputError(where=option, found="no --study", required="both")


def _meaning(counted: StudyCount, request: "ValidationRequest") -> str:
    assert counted.metric is not None
    bounded = request.loss_range is not None or request.loss == "bounded"
    kind = "a loss in its range" if bounded else "being wrong"
    share = "" if counted.direction == "min" else "one less "
    return f"{counted.metric!r} is {share}the mean over the validation items of {kind}"
