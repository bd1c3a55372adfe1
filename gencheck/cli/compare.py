"""`gencheck compare`: what each theory of generalization certifies for a checkpoint and its data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gencheck.cli.audit_choices import audit_options, data_selection
from gencheck.cli.deliver import deliver
from gencheck.cli.options import (
    AsJson,
    Confidence,
    Debug,
    Delta,
    Device,
    Explain,
    Factory,
    Holdout,
    Key,
    Limit,
    Normalise,
    Output,
    OutputName,
    Report,
    ResizeTo,
    TransformName,
    XKey,
    YKey,
    delta_of,
)
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.audit.selection import DataSelection, ModelSelection
    from gencheck.comparison.run import ComparisonOptions


# The search for β2, which serves one row that certifies nothing.
_BETA2_SECONDS = 2.0


def compare(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="The model: .pt2, .safetensors, .pt, .pth or .ckpt.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(help="The sample S: what the model was trained on.", show_default=False),
    ],
    model: Factory = None,
    key: Key = None,
    output_name: OutputName = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="The reference T, unseen in training; default: the test split of DATA."),
    ] = None,
    holdout: Holdout = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds shuffles, solvers and draws.")] = 0,
    x_key: XKey = None,
    y_key: YKey = None,
    transform: TransformName = None,
    normalise: Normalise = None,
    resize: ResizeTo = None,
    task: Annotated[
        Literal["auto", "classification", "regression"],
        typer.Option(
            help="Only classification is compared; auto: whole-number targets are labels."
        ),
    ] = "auto",
    delta: Delta = None,
    confidence: Confidence = None,
    n_models: Annotated[
        str, typer.Option(metavar="F", help="How many models the reference chose among.")
    ] = "1",
    input_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="A B",
            help="The interval that every coordinate of every input lies in: certifies "
            "path-norm-margin.",
        ),
    ] = None,
    estimates: Annotated[
        bool,
        typer.Option(
            "--estimates", help="Add stability, robustness and sharpness, which bound nothing."
        ),
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="The mean of the PAC-Bayes prior, such as the initial weights; default: zero.",
        ),
    ] = None,
    posterior_steps: Annotated[
        int, typer.Option(min=0, help="Steps that fit the PAC-Bayes posterior's variances.")
    ] = 500,
    posterior_draws: Annotated[
        int, typer.Option(min=1, help="Draws of weights that sample its error.")
    ] = 1000,
    device: Device = "auto",
    dtype: Annotated[
        Literal["float32", "float64"], typer.Option(help="The precision of the network.")
    ] = "float32",
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Set what each theory certifies for the classifier CHECKPOINT, trained on DATA, side by side.

    One row a theory: its bound on the 0-1 risk, certified or estimated, vacuous or not, with what it
    assumes.

    Example: gencheck compare model.pt2 data.npz
    """
    from gencheck.arguments import log_of_count
    from gencheck.audit.selection import ModelSelection
    from gencheck.comparison.run import ComparisonOptions
    from gencheck.report.compare import compare_body
    from gencheck.report.json import document

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
    options = ComparisonOptions(
        delta=delta_of(delta, confidence),
        log_models=log_of_count("--n-models", n_models),
        posterior_steps=posterior_steps,
        posterior_draws=posterior_draws,
        audit=audit_options(device, dtype, seed=seed, beta2_budget=_BETA2_SECONDS),
        input_range=input_range,
        estimates=estimates,
    )
    chosen = ModelSelection(checkpoint, model, key=key, output=output_name)
    result, inputs = _run(chosen, selection, prior, options)
    inputs |= {"n_models": n_models, "device": options.audit.device, "dtype": dtype}
    deliver(document("compare", inputs, compare_body(result), None), as_json, output, report)


def _run(
    chosen: "ModelSelection",
    selection: "DataSelection",
    prior: Path | None,
    options: "ComparisonOptions",
) -> tuple[Any, dict[str, Any]]:
    from gencheck.audit.inputs import open_inputs
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.comparison.run import compare as compared
    from gencheck.comparison.run import prior_network
    from gencheck.load.digest import sha256_of

    _require_classification(selection.task)
    opened = open_inputs(chosen, selection, options.audit.dtype)
    _require_classification(opened.task)
    mean = None if prior is None else prior_network(prior, chosen, opened.model)
    result = compared(
        opened.model,
        opened.sample,
        reference=opened.reference,
        options=options,
        prior=mean,
        progress=ProgressBars(),
    )
    return result, opened.record | {
        "prior": None if prior is None else {"path": str(prior), "sha256": sha256_of(prior)},
        "delta": options.delta,
        "input_range": options.input_range,
        "estimates": options.estimates,
        "posterior_steps": options.posterior_steps,
        "posterior_draws": options.posterior_draws,
    }


def _require_classification(task: str) -> None:
    if task == "regression":
        raise InputError(
            where="--task",
            found="regression",
            required="classification: the theories are compared in units of 0-1 error",
            remedy=(
                "For labels stored as floating-point numbers pass --task classification; for a "
                "regression, `gencheck concentrate` has the data-dependent bound."
            ),
        )
