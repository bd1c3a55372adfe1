"""The command line: one Typer application, one module for each command."""

import os
import sys
from typing import Annotated

import typer

from gencheck import __version__
from gencheck.cli.concentrate import concentrate
from gencheck.cli.data_indep import data_indep
from gencheck.cli.deliver import INTERRUPTED
from gencheck.cli.demo import demo
from gencheck.cli.explain import explain
from gencheck.cli.schema import schema
from gencheck.cli.val_bound import val_bound

app = typer.Typer(
    name="gencheck",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"gencheck {__version__}")
        raise typer.Exit


@app.callback()
def gencheck(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Tell how far to trust this score, this data set, this checkpoint."""


app.command("val-bound")(val_bound)
app.command("data-indep")(data_indep)
app.command()(concentrate)
app.command()(demo)
app.command()(explain)
app.command()(schema)


def main() -> None:
    """Run the command line; the entry point of the `gencheck` program.

    An interrupt ends the process at once and with its own exit code: an interpreter that was
    interrupted inside an import of a compiled library would otherwise end by the signal.
    """
    try:
        app()
        return
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
    except KeyboardInterrupt:
        print("gencheck: interrupted", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
