"""From a finished document to stdout, a file and an exit code; from an error to a message."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gencheck.errors import GencheckError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gencheck.report.json import Document

GATE_FAILED = 1
INTERRUPTED = 130


@contextmanager
def errors_as_exit_codes(debug: bool) -> Iterator[None]:
    """Turn a GencheckError into its message on stderr and its exit code; no traceback but by `debug`."""
    try:
        yield
    except GencheckError as error:
        if debug:
            traceback.print_exc()
        print(f"gencheck: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        # not 1, which means that a gate failed
        print("gencheck: interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from interrupt


def deliver(
    doc: "Document",
    renderer: Callable[[], Callable[["Document"], "RenderableType"]],
    as_json: bool,
    output: Path | None,
) -> None:
    """Write `doc` to `output`, print it as JSON or rendered, and exit 1 where its gate failed.

    `renderer` brings the terminal report; it is called only for one, so that JSON does not wait for
    rich to be imported.

    Raises
    ------
    typer.Exit
        With code 1: the gate was asked for and failed.
    InputError
        `output` cannot be written.
    """
    from gencheck.atomic import write_whole
    from gencheck.report.json import to_json

    text = to_json(doc)
    if output is not None:
        write_whole(output, text.encode(), "--output")
    if as_json:
        sys.stdout.write(text)
    else:
        from rich.console import Console

        Console(highlight=False, emoji=False).print(renderer()(doc))
    if not doc.get("gate", {"passed": True})["passed"]:
        raise typer.Exit(GATE_FAILED)
