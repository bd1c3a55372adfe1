"""`gencheck val-bound`: the validation guarantee for a finite class of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gencheck.cli.deliver import deliver, errors_as_exit_codes
from gencheck.cli.options import AsJson, Debug, IdKey, Loss, LossRange, Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from gencheck.report.json import Document


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
    delta: Annotated[
        float, typer.Option(metavar="D", help="The bound holds with probability 1 − D.")
    ] = 0.05,
    val_error: Annotated[
        float | None,
        typer.Option(metavar="E", help="The error on the items, where no file gives it."),
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
        Path | None, typer.Option(metavar="FILE", help="One loss an item: .npy, .csv, .parquet.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Columns label and prediction, or label and score_0, score_1, …"
        ),
    ] = None,
    id_key: IdKey = None,
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
        float | None, typer.Option(metavar="X", help="The certified risk to reach.")
    ] = None,
    max_risk: Annotated[
        float | None, typer.Option(metavar="X", help="Fail (exit 1) above this certified risk.")
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Bound the true risk of the best of many models that were tried on one validation set.

    Example: gencheck val-bound --m-val 10000 --n-models 1e9 --delta 0.1 --val-error 0.02
    """
    with errors_as_exit_codes(debug):
        from gencheck.guarantees.evidence import ValidationRequest
        from gencheck.guarantees.validation import (
            items_that_would_pass,
            refuse_gate_on_a_p_value,
            validation_result,
        )
        from gencheck.report.json import document
        from gencheck.report.limits import LimitReport, maximum_check
        from gencheck.report.val_bound import val_bound_body, val_bound_inputs

        request = ValidationRequest(
            m_val=m_val,
            n_models=n_models,
            log_n_models=log_n_models,
            adaptive_rounds=adaptive_rounds,
            scores_per_round=scores_per_round,
            delta=delta,
            val_error=val_error,
            c=c,
            gamma2=gamma2,
            loss=loss,
            loss_range=loss_range,
            losses=losses,
            predictions=predictions,
            id_key=id_key,
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
        certified = result.certified
        refuse_gate_on_a_p_value(result, max_risk)
        risk = None if certified is None else certified.risk
        checks = tuple(maximum_check("max-risk", max_risk, risk))
        gate = LimitReport(checks) if checks else None
        if gate is not None and max_risk is not None and not gate.passed:
            gate = LimitReport(checks, items_that_would_pass(result, max_risk))
        doc = document(
            "val-bound",
            val_bound_inputs(request, result) | {"max_risk": max_risk},
            val_bound_body(result),
            gate,
        )
        deliver(doc, _report, as_json, output)


def _report() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal.bounds import render_val_bound

    return render_val_bound
