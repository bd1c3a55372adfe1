"""`gencheck train`: plain or two-phase training into a folder of checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gencheck.arguments import require_between
from gencheck.cli.deliver import deliver
from gencheck.cli.devices import chosen_device
from gencheck.cli.launch import launch
from gencheck.cli.options import (
    AsJson,
    Debug,
    Device,
    Explain,
    LabelKey,
    Memory,
    Output,
    Report,
    XKey,
    share,
)
from gencheck.cli.sharing import shared
from gencheck.errors import InputError
from gencheck.memory import memory_limit, parse_bytes
from gencheck.progress import SILENT

if TYPE_CHECKING:
    from gencheck.training.loop import Training


def train(
    data: Annotated[
        Path,
        typer.Option(help="The data set: any kind that concentrate reads.", show_default=False),
    ],
    arch: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mlp:WIDTH,WIDTH, lenet, resnet20, or MODULE:FACTORY (runs your code).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write into.", show_default=False)],
    two_phase: Annotated[
        bool,
        typer.Option("--two-phase", help="Gates from a part of the items, weights from the rest."),
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(
            metavar="A", parser=share, help="The share of the items that trains the gates."
        ),
    ] = 0.1,
    solver: Annotated[
        Literal["sgd", "ridge"],
        typer.Option(help="Of the freeze phase: mini-batches, or ridge regression in path space."),
    ] = "sgd",
    ridge: Annotated[
        float | None,
        typer.Option(
            metavar="L", help="The ridge, times the mean of ‖z‖²; default: by leave-one-out."
        ),
    ] = None,
    landmarks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Items that span the ridge solution; default: all up to 6000. All of more than "
            "that are solved for by conjugate gradients.",
        ),
    ] = None,
    centred: Annotated[
        bool,
        typer.Option("--centred", help="Penalise the distance from the standard phase's weights."),
    ] = False,
    darc1: Annotated[
        float, typer.Option(min=0, metavar="L", help="Add (L/m) max_k Σ|h_k| to the loss.")
    ] = 0.0,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of the standard phase.")] = 10,
    freeze_epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of the freeze phase; default: as many.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Items of a mini-batch.")] = 128,
    learning_rate: Annotated[float, typer.Option(metavar="R", help="The learning rate.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0, metavar="D", help="Weight decay.")] = 0.0,
    loss: Annotated[
        Literal["squared", "cross-entropy"],
        typer.Option(help="Squared on one-hot targets is what the bounds speak of."),
    ] = "squared",
    optimiser: Annotated[
        Literal["adam", "sgd"], typer.Option(help="Adam, or SGD with momentum 0.9.")
    ] = "adam",
    cosine: Annotated[
        bool, typer.Option("--cosine", help="Let the learning rate fall along a cosine.")
    ] = False,
    shift: Annotated[
        int,
        typer.Option(
            min=0, metavar="P", help="Move images by up to P pixels, anew in every standard epoch."
        ),
    ] = 0,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the images in every standard epoch.")
    ] = False,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Multiply in bfloat16, in the standard phase.")
    ] = False,
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            parser=share,
            help="Set this fraction of the data aside for testing.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Train on at most so many items, shuffled.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds weights, split, order.")] = 0,
    x_key: XKey = None,
    y_key: LabelKey = None,
    device: Device = "auto",
    memory: Memory = None,
    max_test_error: Annotated[
        float | None,
        typer.Option(metavar="X", parser=share, help="Fail (exit 1) above this 0-1 test error."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh, whatever the folder holds.")
    ] = False,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Train a network, in one phase or two, and leave checkpoints that the other commands read.

    Example: gencheck train --data digits.npz --arch mlp:64,64 --two-phase --alpha 0.2 --out run
    """
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.report.limits import maximum_check, report_of
    from gencheck.report.train import write_record
    from gencheck.training.loop import Training
    from gencheck.training.path_ridge import RidgeOptions
    from gencheck.training.request import TrainRequest
    from gencheck.training.run import train as run

    _refuse_unused(
        two_phase,
        solver,
        ridge=ridge,
        landmarks=landmarks,
        centred=centred,
        freeze_epochs=freeze_epochs,
    )
    require_between("--learning-rate", learning_rate, 0, open_low=True)
    maximum_check("max-test-error", max_test_error, None)
    standard = Training(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        loss=loss,
        optimiser=optimiser,
        cosine=cosine,
        shift=shift,
        flip=flip,
        bfloat16=bfloat16,
    )
    request = TrainRequest(
        data=data,
        architecture=arch,
        out=out,
        x_key=x_key,
        y_key=y_key,
        holdout=holdout,
        limit=limit,
        alpha=alpha if two_phase else None,
        solver=solver,
        training=standard,
        freeze=_freeze(standard, freeze_epochs),
        ridge=RidgeOptions(ridge, landmarks, centred, seed),
        darc1=darc1,
        seed=seed,
        device=chosen_device(device),
        overwrite=overwrite,
    )
    limit_bytes = None if memory is None else parse_bytes(memory)
    with shared(request.device) as ranks, memory_limit(limit_bytes):
        result = run(request, SILENT if ranks.number else ProgressBars(), ranks)
    if ranks.number:
        # the first of several processes writes and speaks for all
        return
    test = (result.freeze or result.standard).test
    checks = maximum_check("max-test-error", max_test_error, None if test is None else test.error)
    more = {"max_test_error": max_test_error, "memory": memory}
    doc = write_record(request, result, more, report_of(checks))
    deliver(doc, as_json, output, report)


def _refuse_unused(
    two_phase: bool,
    solver: str,
    ridge: float | None,
    landmarks: int | None,
    centred: bool,
    freeze_epochs: int | None,
) -> None:
    """An option that would have no effect is a mistake."""
    solving = two_phase and solver == "ridge"
    unused = [
        ("--solver ridge", solver == "ridge" and not two_phase, "--two-phase"),
        ("--ridge", ridge is not None and not solving, "--two-phase --solver ridge"),
        ("--landmarks", landmarks is not None and not solving, "--two-phase --solver ridge"),
        ("--centred", centred and not solving, "--two-phase --solver ridge"),
        ("--freeze-epochs", freeze_epochs is not None and not two_phase, "--two-phase"),
        ("--freeze-epochs", freeze_epochs is not None and solving, "--solver sgd"),
    ]
    for option, useless, required in unused:
        if useless:
            raise InputError(where=option, found="it alone", required=required)
    if launch().size > 1 and not solving:
        raise InputError(
            where="torchrun",
            found=f"{launch().size} processes for gencheck train",
            required="one, or --two-phase --solver ridge, whose kernel they share",
            remedy="Run it without torchrun: gencheck train",
        )


def _freeze(standard: "Training", epochs: int | None) -> "Training":
    from dataclasses import replace

    plain = standard.plain()
    return plain if epochs is None else replace(plain, epochs=epochs)
