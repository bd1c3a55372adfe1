"""`gencheck concentrate`: how concentrated a data set is under a checkpoint."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from gencheck.arguments import require_between
from gencheck.cli.audit_choices import audit_options, data_selection
from gencheck.cli.concentrate_audit import rounds_of, run_audit
from gencheck.cli.concentrate_delivery import Delivery, deliver_audit, deliver_plan
from gencheck.cli.concentrate_gate import Limits
from gencheck.cli.options import (
    AsJson,
    Confidence,
    Debug,
    Delta,
    Device,
    Explain,
    Factory,
    Holdout,
    KernelDtype,
    Key,
    Limit,
    Memory,
    Normalise,
    Output,
    OutputName,
    Report,
    ResizeTo,
    TransformName,
    XKey,
    YKey,
    confidence_of,
    share,
)

_Limit = typer.Option(help="Fail (exit 1) where the figure exceeds this.")


def concentrate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="The model: .pt2, .safetensors, .pt, .pth, .ckpt, or a two-phase run's folder.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="The sample S: .npz, .safetensors, .csv, .jsonl, .parquet, a folder of images or IDX; "
            "or - for a pipe.",
            show_default=False,
        ),
    ],
    model: Factory = None,
    key: Key = None,
    output_name: OutputName = None,
    from_layer: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="LAYER",
            help="Audit the tail from this layer on; the tensor entering it is x.",
        ),
    ] = None,
    gates: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT2",
            help="Two-phase: gates of this checkpoint, which saw neither set; weights of CHECKPOINT.",
        ),
    ] = None,
    gates_independent: Annotated[
        bool,
        typer.Option(
            "--gates-independent",
            help="Declare that the gates, and the layers before --from, saw neither set.",
        ),
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="The reference T; default: the test split of DATA.")
    ] = None,
    holdout: Holdout = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds shuffles and solvers.")] = 0,
    x_key: XKey = None,
    y_key: YKey = None,
    transform: TransformName = None,
    normalise: Normalise = None,
    resize: ResizeTo = None,
    task: Annotated[
        Literal["auto", "classification", "regression"],
        typer.Option(help="By default whole-number targets are labels."),
    ] = "auto",
    device: Device = "auto",
    dtype: KernelDtype = "float32",
    batch_size: Annotated[int, typer.Option(min=1, help="Items in one forward pass.")] = 1024,
    tile: Annotated[int, typer.Option(min=1, help="Rows of one tile of the Gram matrix.")] = 1024,
    memory: Memory = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep finished tiles here; the same command goes on from them."
        ),
    ] = None,
    gram: Annotated[
        Literal["auto", "memory", "disk", "recompute"],
        typer.Option(
            help="Where the Gram matrix is: on disk (--cache) or formed anew in every product where "
            "it does not fit into memory."
        ),
    ] = "auto",
    executor: Annotated[
        Literal["auto", "matrix", "bits"],
        typer.Option(help="How kernels are formed: matrix products, counted bits, the quicker."),
    ] = "auto",
    beta2_budget: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Spend at most this long on β2, which narrows with more; 0: take ‖v‖₂ for it.",
        ),
    ] = 1.0,
    certify: Annotated[
        bool,
        typer.Option(
            "--certify", help="Bound the risk on the distribution itself; needs independent gates."
        ),
    ] = False,
    delta: Delta = None,
    confidence: Confidence = None,
    input_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="A B", help="The interval that every coordinate of every input lies in."
        ),
    ] = None,
    target_range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="A B", help="The same for targets that are values to regress."),
    ] = None,
    permutations: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="B",
            help="Relabel the items so often for p-values: 200 unless said, 0 with --landmarks.",
            show_default=False,
        ),
    ] = None,
    beta2_permutation_budget: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="What a p-value of β2 may take; 0 for none of β2."
        ),
    ] = 0.0,
    landmarks: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="L",
            help="β1 and ‖v‖₂ as intervals from L items, in time and memory linear in their number.",
        ),
    ] = None,
    top: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="List the items with the largest parts in β1; above 10, as many of a warning.",
        ),
    ] = 10,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of a text model: its tokens, one a line (.txt) or as tokenizers are saved (.json); "
            "default: the one in CHECKPOINT's folder. Items are then listed in words.",
        ),
    ] = None,
    softmax: Annotated[
        bool, typer.Option("--softmax", help="Show the squared loss of probabilities beside.")
    ] = False,
    max_beta1: Annotated[float | None, _Limit] = None,
    max_beta2: Annotated[float | None, _Limit] = None,
    max_bound: Annotated[float | None, _Limit] = None,
    min_p_value: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=share,
            help="Fail (exit 1) where sample and reference differ: where the p-value over all "
            "statistics is below.",
        ),
    ] = None,
    max_beta1_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="Fail (exit 1) where β1 is more than so many times its noise median."
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Say what the run would compute, hold and take by the stage, and end there.",
        ),
    ] = False,
    explain: Explain = False,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    debug: Debug = False,
) -> None:
    """Measure how concentrated the data set DATA is under the model CHECKPOINT.

    The network is read as a linear map of its path features z; β1, β2 and β3 say how far the
    sample's moments of z are from the reference's, and bound the gap between the two risks.

    Example: gencheck concentrate model.pt2 data.npz --min-p-value 0.05
    """
    from gencheck.audit.certificate_request import certificate_request
    from gencheck.audit.selection import ModelSelection

    chosen = ModelSelection(
        checkpoint=checkpoint,
        factory=model,
        from_layer=from_layer,
        key=key,
        output=output_name,
        gates=gates,
        gates_independent=gates_independent,
    )
    level = confidence_of(delta, confidence)
    request = certificate_request(certify, level, input_range, target_range, chosen)
    selection = data_selection(
        data,
        normalise,
        resize,
        reference=reference,
        holdout=holdout,
        x_key=x_key,
        y_key=y_key,
        limit=limit,
        seed=seed,
        task=task,
        transform=transform,
    )
    options = audit_options(
        device,
        dtype,
        memory,
        batch_size=batch_size,
        tile=tile,
        beta2_budget=require_between("--beta2-budget", beta2_budget, 0),
        seed=seed,
        cache=cache,
        gram=gram,
        executor=executor,
        certificate=request,
        permutations=rounds_of(permutations, landmarks),
        beta2_permutation_budget=beta2_permutation_budget,
        landmarks=landmarks,
        top=top,
        softmax=softmax,
    )
    limits = Limits(
        max_beta1=max_beta1,
        max_beta2=max_beta2,
        max_bound=max_bound,
        max_beta1_ratio=max_beta1_ratio,
        min_p_value=min_p_value,
    )
    limits.require(options.permutations)
    run = partial(run_audit, chosen, selection, options, vocabulary)
    where = Delivery(as_json, output, report)
    if plan:
        deliver_plan(run, where)
    else:
        deliver_audit(run, limits, where)
