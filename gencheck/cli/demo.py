"""`gencheck demo`: the three commands on the digits that ship with the package."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gencheck.cli.deliver import errors_as_exit_codes
from gencheck.cli.options import Debug


def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--out", help="The folder to write checkpoint and data into.")
    ] = Path("gencheck-demo"),
    debug: Debug = False,
) -> None:
    """Train small networks on embedded digits and show the three reports about them.

    Example: gencheck demo
    """
    with errors_as_exit_codes(debug):
        from rich.console import Console

        from gencheck.cli.progress_bar import ProgressBars
        from gencheck.demo import make_demo

        console = Console(highlight=False)
        files = make_demo(folder, progress=ProgressBars())
        console.print(
            f"Trained {files.candidates} networks on 1,000 handwritten digits, chose the best on "
            f"397 others, kept 400 for the audit. Written to {folder}."
        )
        for question, command in _commands(files.checkpoint, files.data, files.predictions):
            console.print()
            console.rule(question, align="left")
            console.print(f"$ gencheck {shlex.join(command)}", style="bold", soft_wrap=True)
            console.print()
            context.find_root().command.main(command, standalone_mode=False)


def _commands(checkpoint: Path, data: Path, predictions: Path) -> list[tuple[str, list[str]]]:
    from gencheck.demo import WEIGHT_DECAYS

    count = str(len(WEIGHT_DECAYS))
    return [
        (
            "How far may I trust the validation score?",
            ["val-bound", "--predictions", str(predictions), "--n-models", count],
        ),
        (
            "What would theory promise before any training?",
            [
                *("data-indep", "--m", "1000", "--alpha", "0.1", "--d-y", "10"),
                *("--rho", "1", "--c-sigma", "0.1", "--c-w", "0.1"),
            ],
        ),
        (
            "How concentrated is the training set under this checkpoint?",
            ["concentrate", str(checkpoint), str(data)],
        ),
    ]
