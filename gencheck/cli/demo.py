"""`gencheck demo`: the three commands on the digits that ship with the package."""

import io
import json
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gencheck.cli.deliver import errors_as_exit_codes
from gencheck.cli.options import AsJson, Debug, Output
from gencheck.cli.terminal import print_plain, show
from gencheck.printable import printable

if TYPE_CHECKING:
    from gencheck.cli.demo_files import DemoFiles


def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--out", help="The folder to write checkpoint and data into.")
    ] = Path("gencheck-demo"),
    as_json: AsJson = False,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Train small networks on embedded digits and show the three reports about them.

    Example: gencheck demo
    """
    with errors_as_exit_codes(debug):
        from gencheck.cli.demo_files import make_demo
        from gencheck.cli.progress_bar import ProgressBars

        files = make_demo(folder, progress=ProgressBars())
        if not as_json:
            _show(context, files, folder)
        if as_json or output is not None:
            _write(_document(context, files, folder), as_json, output)


def _show(context: typer.Context, files: "DemoFiles", folder: Path) -> None:
    from rich.rule import Rule
    from rich.text import Text

    show(
        f"Trained {files.candidates} networks on 1,000 handwritten digits in two phases: gates "
        "on 300 of them, weights on the other 700. Chose the best on 397 others, kept 400 for "
        f"the audit. Written to {printable(str(folder))}."
    )
    for question, command in _commands(files.run, files.data, files.predictions):
        show("")
        show(Rule(question, align="left"))
        show(Text(f"$ gencheck {printable(shlex.join(command))}", style="bold"), one_line=True)
        show("")
        _run(context, command)


def _run(context: typer.Context, command: list[str]) -> None:
    """Run one of the commands; what ends it ends the demonstration."""
    code = context.find_root().command.main(command, standalone_mode=False)
    if code:
        raise typer.Exit(code)


def _document(context: typer.Context, files: "DemoFiles", folder: Path) -> dict[str, Any]:
    from gencheck.report.json import document

    reports = []
    for question, command in _commands(files.run, files.data, files.predictions):
        with redirect_stdout(io.StringIO()) as printed:
            _run(context, [*command, "--json"])
        own = json.loads(printed.getvalue())
        reports.append({"question": question, "command": command, "document": own})
    body = {
        "candidates": files.candidates,
        "run": str(files.run),
        "data": str(files.data),
        "predictions": str(files.predictions),
        "reports": reports,
    }
    return document("demo", {"out": str(folder)}, body, None)


def _write(doc: dict[str, Any], as_json: bool, output: Path | None) -> None:
    from gencheck.atomic import write_whole
    from gencheck.report.json import to_json

    if output is not None:
        write_whole(output, to_json(doc).encode(), "--output")
    if as_json:
        print_plain(to_json(doc, sys.stdout.encoding or "utf-8"))


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
