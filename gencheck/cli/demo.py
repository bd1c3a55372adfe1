"""`gencheck demo`: the three commands on the digits that ship with the package."""

import io
import json
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gencheck.cli.options import AsJson, Debug, Output, complement
from gencheck.cli.terminal import print_plain, show
from gencheck.printable import printable

if TYPE_CHECKING:
    from rich.console import Group

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
    from gencheck.cli.demo_files import make_demo
    from gencheck.cli.progress_bar import ProgressBars

    files = make_demo(folder, progress=ProgressBars())
    if as_json:
        with redirect_stdout(io.StringIO()):
            reports = _reports(context, files)
    else:
        show(_opening(files, folder))
        reports = _reports(context, files)
        show(_ending([report["document"] for report in reports]))
    if as_json or output is not None:
        _write(_document(files, folder, reports), as_json, output)


def _opening(files: "DemoFiles", folder: Path) -> str:
    return (
        f"Trained {files.candidates} networks on 1,000 handwritten digits in two phases: gates on "
        "300 of them, weights on the other 700. 397 others chose the best of the "
        f"{files.candidates}, {printable(files.run.name)}; 400 are kept for the audit. Written to "
        f"{printable(str(folder))}."
    )


def _reports(context: typer.Context, files: "DemoFiles") -> list[dict[str, Any]]:
    """Run the three commands, each under its question, and keep their documents."""
    from rich.rule import Rule
    from rich.text import Text

    reports = []
    for question, command in _commands(files.run, files.data, files.predictions):
        show("")
        show(Rule(question, align="left"))
        show(Text(f"$ gencheck {printable(shlex.join(command))}", style="bold"), one_line=True)
        show("")
        with TemporaryDirectory() as scratch:
            kept = Path(scratch) / "report.json"
            asked = [*command, "--output", str(kept)]
            if code := context.find_root().command.main(asked, standalone_mode=False):
                raise typer.Exit(code)
            doc = json.loads(kept.read_text(encoding="utf-8"))
        reports.append({"question": question, "command": command, "document": doc})
    return reports


def _ending(docs: list[dict[str, Any]]) -> "Group":
    """What was learned, in the three documents' own figures, and what to try next."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    from gencheck.report.answer import answer

    score, theory, data = docs
    certified = score["certified"]["risk"]
    inputs = score["inputs"]
    learned = (
        f"It errs on {inputs['val_error']:.2%} of the validation items, and although "
        f"{inputs['n_models']:g} networks were tried on them, on at most {certified:.2%} of all digits "
        f"with probability {complement(inputs['delta']):g}. "
    )
    bound = theory["certified"]["risk"]
    learned += (
        f"Its margins and norms alone certify an error of at most {bound:.2%}."
        if bound < 1
        else f"Its margins and norms alone certify nothing: their bound is {bound:.2%}."
    )
    commands = (
        "gencheck val-bound --predictions predictions.csv --n-models 20 --max-risk 5%\n"
        "gencheck concentrate model.pt2 data.npz --reference reference.npz"
    )
    return Group(
        "",
        Rule("What was learned", align="left"),
        Text(learned),
        Text(answer(data)),
        Padding("Next, on files of your own:", (1, 0, 0, 0)),
        Padding(Text(commands, style="bold", no_wrap=True, overflow="ignore"), (0, 0, 0, 2)),
    )


def _document(files: "DemoFiles", folder: Path, reports: list[dict[str, Any]]) -> dict[str, Any]:
    from gencheck.report.json import document

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
