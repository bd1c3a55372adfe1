"""`gencheck reproduce`: the source's figures, computed anew."""

import os
import platform
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gencheck.cli.deliver import deliver
from gencheck.cli.options import AsJson, Debug, Explain, Output, Report
from gencheck.experiments.registry import EXPERIMENTS


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help=f"The experiment: {', '.join(EXPERIMENTS)}.", show_default=False, metavar="NAME"
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Items with labels, such as mnist.npz; default: the experiment's."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The source's scale; for a GPU where it trains.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Repetitions where it trains; default: its own."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the result: .png, .svg or .pdf.")
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Compute a figure of the source anew, and set it beside the source's own.

    Example: gencheck reproduce validation-example
    """
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.experiments.experiment import ExperimentOptions
    from gencheck.experiments.registry import experiment_named
    from gencheck.report.json import document
    from gencheck.report.reproduce import reproduce_body

    run = experiment_named(name)
    figure = _figure(plot)
    inputs = {"name": name, "full": full, "seeds": seeds, "seed": seed, **_file(data)}
    started = time.perf_counter()
    result = run(ExperimentOptions(data, full, seeds, seed), ProgressBars())
    body = reproduce_body(result, _hardware(), time.perf_counter() - started)
    if plot is not None:
        from gencheck.report.figure import save_plot

        save_plot(result, figure, plot)
    deliver(document("reproduce", inputs, body, None), as_json, output, report)


def _figure(plot: Path | None) -> Any:
    if plot is None:
        return None
    from gencheck.report.figure import empty_figure

    return empty_figure(plot)


def _file(data: Path | None) -> dict[str, Any]:
    if data is None:
        return {"data": None}
    from gencheck.errors import InputError
    from gencheck.load.digest import sha256_of

    if not data.exists():
        raise InputError(where="--data", found=f"no file {data}", required="a file that exists")
    return {"data": {"path": str(data), "sha256": sha256_of(data)}}


def _hardware() -> dict[str, Any]:
    """What the figures were computed on, as far as this process knows."""
    return {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
