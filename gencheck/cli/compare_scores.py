"""`gencheck compare-scores`: models compared item by item."""

from pathlib import Path
from typing import Annotated

import typer

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
    delta_of,
)


def compare_scores(
    baseline: Annotated[
        Path, typer.Argument(help="The baseline's losses, predictions or evaluation log.")
    ],
    candidates: Annotated[
        list[Path], typer.Argument(help="The same of each model to compare with it.")
    ],
    id_key: IdKey = None,
    score_key: ScoreKey = None,
    cluster_key: ClusterKey = None,
    stratify_key: StratifyKey = None,
    weight_key: WeightKey = None,
    max_weight: MaxWeight = None,
    mean_over: MeanOver = "groups",
    loss: Loss = None,
    loss_range: LossRange = None,
    delta: Delta = None,
    confidence: Confidence = None,
    margin: Annotated[
        float,
        typer.Option(
            metavar="M", help="Better means by more than M of mean loss; below 0: not worse by −M."
        ),
    ] = 0.0,
    require_better: Annotated[
        bool,
        typer.Option("--require-better", help="Fail (exit 1) unless every candidate is better."),
    ] = False,
    only_common: Annotated[
        bool, typer.Option("--only-common", help="Leave out items that one of the two lacks.")
    ] = False,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="List N items on which they differ.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Shuffles the items for betting.")] = 0,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Compare models item by item: the difference with an exact interval, p-value, wins and losses.

    Example: gencheck compare-scores old.csv new.csv --require-better
    """
    from gencheck.guarantees.evidence import score_keys
    from gencheck.guarantees.paired import paired_result
    from gencheck.guarantees.paired_units import PairedRequest
    from gencheck.report.compare_scores import (
        better_gate,
        compare_scores_body,
        compare_scores_inputs,
    )
    from gencheck.report.json import document

    level = delta_of(delta, confidence)
    keys = score_keys(
        loss,
        loss_range,
        id_key=id_key,
        score_key=score_key,
        cluster_key=cluster_key,
        stratify_key=stratify_key,
        weight_key=weight_key,
    )
    request = PairedRequest(
        baseline=baseline,
        candidates=tuple(candidates),
        keys=keys,
        delta=level,
        margin=margin,
        only_common=only_common,
        top=top,
        seed=seed,
        max_weight=max_weight,
        mean_over=mean_over,
    )
    result = paired_result(request)
    doc = document(
        "compare-scores",
        compare_scores_inputs(request) | {"require_better": require_better},
        compare_scores_body(result),
        better_gate(result, level, margin) if require_better else None,
    )
    deliver(doc, as_json, output, report)
