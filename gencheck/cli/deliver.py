"""From a finished document to stdout, a file and an exit code; from an error to a message."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gencheck.cli.launch import launch
from gencheck.cli.options import EXPLAINING, TYPED
from gencheck.cli.terminal import as_picture, print_plain, say, show
from gencheck.printable import printable, printable_document

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gencheck.audit.item_picture import ItemPicture
    from gencheck.report.html import Pictures
    from gencheck.report.json import Document

GATE_FAILED = 1
INTERRUPTED = 130

# The class of every mistake in the words of a command line.
_UsageError: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]


@contextmanager
def net(debug: bool, files: str) -> Iterator[None]:
    """Turn any exception into a message on stderr and an exit code; no traceback but by `debug`.

    `files` names what the command reads, for errors that do not say it themselves.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except _UsageError as error:
        if not launch().rank:
            _explain_usage(error)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        # not 1, which means that a gate failed
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from interrupt
    except Exception as error:
        from gencheck.cli.failures import foreseen

        known = foreseen(error, files)
        if debug:
            import traceback

            say(traceback.format_exc())
        say(f"rank {launch().rank}: {known}" if launch().rank else str(known))
        raise typer.Exit(known.exit_code) from error


def _explain_usage(error: Exception) -> None:
    context, message = getattr(error, "ctx", None), getattr(error, "message", str(error))
    if context is not None:
        message = f"{error.format_message()}\n{context.get_usage()}"  # type: ignore[attr-defined]
        message += f"\nTry: {context.command_path} --help"
    say(message)


def deliver(
    doc: "Document",
    as_json: bool,
    output: Path | None,
    reports: list[Path] | None = None,
    *,
    pictures: "Pictures | None" = None,
    mean: "ItemPicture | None" = None,
) -> None:
    """Write `doc` to `output`, print it as JSON or rendered, and exit 1 where its gate failed.

    With JSON a gate that failed says so in one line on stderr too, for the log of a pipeline.

    Each of `reports` is written in the form that its suffix names; where a gate
    was asked for, a step of GitHub Actions gets it as its summary. `pictures` are of the items that
    it names and `mean` of all items together, for the form that shows them.

    Raises
    ------
    typer.Exit
        With code 1: the gate was asked for and failed.
    InputError
        `output` or a report cannot be written.
    """
    from gencheck.atomic import write_whole
    from gencheck.report.json import to_json

    if launch().rank:
        # the first of several processes speaks and writes for all
        return
    if output is not None:
        write_whole(output, to_json(doc).encode(), "--output")
    for path in reports or []:
        if path.suffix.lower() == ".html":
            text = _html(doc, pictures, mean)
        else:
            text = _FORMATS[path.suffix.lower()](doc)
        write_whole(path, text.encode(), "--report")
    if "gate" in doc:
        _summarise_step(doc)
    if as_json:
        print_plain(to_json(doc, sys.stdout.encoding or "utf-8"))
    else:
        show(_long_form(_report(printable_document(doc)), doc))
    if not doc.get("gate", {"passed": True})["passed"]:
        if as_json:
            from gencheck.report.limits import failure_line

            say(failure_line(doc["gate"]))
        raise typer.Exit(GATE_FAILED)


def _report(doc: "Document") -> "RenderableType":
    """The terminal's report of a document; its module is looked up here, so that JSON needs no rich."""
    from gencheck.report.json import command_of

    module = import_module(f"gencheck.report.terminal.{command_of(doc).replace('-', '_')}")
    report: RenderableType = module.render(doc)
    return report


def _long_form(report: "RenderableType", doc: "Document") -> "RenderableType":
    """With the words explained below the report where `--explain` asks for it."""
    if not EXPLAINING.get():
        return report
    from gencheck.report.json import command_of
    from gencheck.report.terminal.explained import explained

    return explained(report, command_of(doc))


def _markdown(doc: "Document") -> str:
    from gencheck.report.markdown import to_markdown
    from gencheck.report.terminal.plain import as_text

    plain = printable_document(doc)
    return to_markdown(plain, as_text(_report(plain)))


def _html(
    doc: "Document",
    pictures: "Pictures | None",
    mean: "ItemPicture | None",
) -> str:
    from gencheck.report.html import to_html
    from gencheck.report.terminal.plain import as_text

    plain = printable_document(doc)
    text = as_text(_report(plain))
    return to_html(plain, text, pictures, mean, typed=printable(TYPED.get()))


def _svg(doc: "Document") -> str:
    from gencheck.report.json import command_of

    return as_picture(_report(printable_document(doc)), f"gencheck {command_of(doc)}")


def _junit(doc: "Document") -> str:
    from gencheck.report.junit import to_junit

    return to_junit(printable_document(doc))


def _json(doc: "Document") -> str:
    from gencheck.report.json import to_json

    return to_json(doc)


_FORMATS = {".svg": _svg, ".md": _markdown, ".xml": _junit, ".json": _json}


def _summarise_step(doc: "Document") -> None:
    """Append the Markdown to the file that GitHub Actions names; its loss decides no gate."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as handle:
            handle.write(_markdown(doc) + "\n")
    except OSError as error:
        say(f"GITHUB_STEP_SUMMARY {path}: not written ({error.strerror})")
