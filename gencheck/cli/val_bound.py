"""`gencheck val-bound`: the validation guarantee for a finite class of models."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gencheck.arguments import require_between
from gencheck.cli.deliver import deliver
from gencheck.cli.options import (
    AsJson,
    ClusterKey,
    Confidence,
    Debug,
    Delta,
    Explain,
    IdKey,
    Loss,
    LossRange,
    MaxWeight,
    MeanOver,
    Output,
    Report,
    ScoreKey,
    StratifyKey,
    WeightKey,
    complement,
    delta_of,
    share,
)
from gencheck.errors import InputError


def val_bound(
    m_val: Annotated[
        str | None, typer.Option(metavar="N", help="Validation items (1e6 is accepted).")
    ] = None,
    n_models: Annotated[
        str | None,
        typer.Option(
            metavar="F", help="Models tried on them: 20, 1e9, 10^300, e^100000. 1 for a single one."
        ),
    ] = None,
    log_n_models: Annotated[
        float | None,
        typer.Option(metavar="L", help="Instead: the natural logarithm of that number."),
    ] = None,
    adaptive_rounds: Annotated[
        int | None,
        typer.Option(
            metavar="T", help="Instead: rounds of trying, each after seeing the last score."
        ),
    ] = None,
    scores_per_round: Annotated[
        float | None, typer.Option(metavar="V", help="Distinguishable scores in a round.")
    ] = None,
    delta: Delta = None,
    confidence: Confidence = None,
    val_error: Annotated[
        float | None,
        typer.Option(
            metavar="E", parser=share, help="The error on the items, where no file gives it."
        ),
    ] = None,
    val_accuracy: Annotated[
        float | None,
        typer.Option(metavar="A", parser=share, help="Instead: the accuracy, such as 0.98 or 98%."),
    ] = None,
    c: Annotated[
        float | None, typer.Option("--c", metavar="C", help="C of the theorem; worst case 1.")
    ] = None,
    gamma2: Annotated[
        float | None, typer.Option(metavar="G", help="γ² of the theorem; worst case 1.")
    ] = None,
    loss: Loss = None,
    loss_range: LossRange = None,
    losses: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One loss an item: .npy, .csv, .jsonl, .parquet, or -."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Columns label and prediction, or label and score_0, score_1, …"
        ),
    ] = None,
    id_key: IdKey = None,
    label_key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of --predictions that holds labels."),
    ] = None,
    prediction_key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of --predictions that holds predictions."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="One score an item: an evaluation log, a folder of them, .jsonl or a table.",
        ),
    ] = None,
    score_key: ScoreKey = None,
    cluster_key: ClusterKey = None,
    stratify_key: StratifyKey = None,
    weight_key: WeightKey = None,
    max_weight: MaxWeight = None,
    mean_over: MeanOver = "groups",
    max_group_risk: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            parser=share,
            help="Fail (exit 1) unless each task's or stratum's risk is below.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Instead: the store of the trials, which gives F and E (Optuna, MLflow, …).",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study or experiment of that store.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric by which the best was chosen.")
    ] = None,
    direction: Annotated[
        Literal["max", "min"] | None,
        typer.Option(help="More of the metric is better, or less, where the store does not say."),
    ] = None,
    count: Annotated[
        Literal["trials", "scores"] | None,
        typer.Option(help="Count one model a trial, or one a score (every epoch)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Shuffles the losses for `betting`.")] = 0,
    solve: Annotated[
        Literal["m-val", "n-models", "delta"] | None,
        typer.Option(help="Find the fewest items, the most models or the smallest D for --target."),
    ] = None,
    target: Annotated[
        float | None, typer.Option(metavar="X", parser=share, help="The certified risk to reach.")
    ] = None,
    max_risk: Annotated[
        float | None,
        typer.Option(
            metavar="X", parser=share, help="Fail (exit 1) above this certified risk: 0.05 or 5%."
        ),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Bound the true risk of the best of many models that were tried on one validation set.

    Example: gencheck val-bound --m-val 10000 --n-models 1e9 --delta 0.1 --val-error 0.02
    """
    from gencheck.guarantees.evidence import ValidationRequest
    from gencheck.guarantees.validation import validation_result
    from gencheck.report.json import document
    from gencheck.report.val_bound import val_bound_body, val_bound_gate, val_bound_inputs

    request = ValidationRequest(
        m_val=m_val,
        n_models=n_models,
        log_n_models=log_n_models,
        adaptive_rounds=adaptive_rounds,
        scores_per_round=scores_per_round,
        delta=delta_of(delta, confidence),
        val_error=_error(val_error, val_accuracy, loss_range),
        c=c,
        gamma2=gamma2,
        loss=loss,
        loss_range=loss_range,
        losses=losses,
        predictions=predictions,
        id_key=id_key,
        label_key=label_key,
        prediction_key=prediction_key,
        scores=scores,
        score_key=score_key,
        cluster_key=cluster_key,
        stratify_key=stratify_key,
        weight_key=weight_key,
        max_weight=max_weight,
        mean_over=mean_over,
        max_group_risk=max_group_risk,
        study=study,
        name=name,
        metric=metric,
        direction=direction,
        count=count,
        seed=seed,
        solve=solve,
        target=target,
    )
    result = validation_result(request)
    body = val_bound_body(result, max_group_risk)
    gate = val_bound_gate(request, result, body, max_risk)
    doc = document(
        "val-bound",
        val_bound_inputs(request, result) | {"val_accuracy": val_accuracy, "max_risk": max_risk},
        body,
        gate,
    )
    deliver(doc, as_json, output, report)


def _error(
    error: float | None, accuracy: float | None, loss_range: tuple[float, float] | None
) -> float | None:
    """The error from whichever of the two was given."""
    if accuracy is None:
        return error
    if error is not None or loss_range is not None:
        raise InputError(
            where="--val-accuracy",
            found="--val-error beside it" if error is not None else "--loss-range beside it",
            required="--val-accuracy alone, which is 1 less the 0-1 error",
        )
    return complement(require_between("--val-accuracy", accuracy, 0, 1))
