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

        from gencheck.cli.demo_files import make_demo
        from gencheck.cli.progress_bar import ProgressBars

        console = Console(highlight=False)
        files = make_demo(folder, progress=ProgressBars())
        console.print(
            f"Trained {files.candidates} networks on 1,000 handwritten digits in two phases: gates "
            "on 300 of them, weights on the other 700. Chose the best on 397 others, kept 400 for "
            f"the audit. Written to {folder}."
        )
        for question, command in _commands(files.run, files.data, files.predictions):
            console.print()
            console.rule(question, align="left")
            console.print(f"$ gencheck {shlex.join(command)}", style="bold", soft_wrap=True)
            console.print()
            context.find_root().command.main(command, standalone_mode=False)


def _commands(run: Path, data: Path, predictions: Path) -> list[tuple[str, list[str]]]:
    from gencheck.cli.demo_files import WEIGHT_DECAYS

    count = str(len(WEIGHT_DECAYS))
    return [
        (
            "How far may I trust the validation score?",
            ["val-bound", "--predictions", str(predictions), "--n-models", count],
        ),
        (
            "What does theory promise for the gates and weights of its two phases?",
            ["data-indep", "--checkpoint", str(run), "--data", str(data)],
        ),
        (
            "How concentrated are the items behind its weights, as its gates see them?",
            ["concentrate", str(run), str(data), "--permutations", "200"],
        ),
    ]
