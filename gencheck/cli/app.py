"""The command line: one Typer application, one module for each command."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from gencheck import __version__
from gencheck.cli.certify import certify
from gencheck.cli.compare import compare
from gencheck.cli.compare_scores import compare_scores
from gencheck.cli.concentrate import concentrate
from gencheck.cli.data_indep import data_indep
from gencheck.cli.deliver import INTERRUPTED
from gencheck.cli.demo import demo
from gencheck.cli.explain import explain
from gencheck.cli.reproduce import reproduce
from gencheck.cli.schema import schema
from gencheck.cli.train import train
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
app.command("compare-scores")(compare_scores)
app.command("data-indep")(data_indep)
app.command()(concentrate)
app.command()(train)
app.command()(certify)
app.command()(compare)
app.command()(demo)
app.command()(explain)
app.command()(reproduce)
app.command()(schema)


class _Interrupts:
    """What the first SIGINT raises and all others do.

    A second one would disturb the cleaning up, so it ends the process there and then.
    """

    def __init__(self) -> None:
        self.received = False

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        if self.received:
            os._exit(INTERRUPTED)
        self.received = True
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; the entry point of the `gencheck` program.

    An interrupt ends the process at once and with its own exit code. Without that, an interpreter
    that was interrupted inside an import of a compiled library would end by the signal, or by
    whatever error the library made of it.
    """
    interrupts = _Interrupts()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)
    try:
        app()
        return
    except SystemExit as end:
        if end.code != INTERRUPTED and (not interrupts.received or not end.code):
            raise
    except BaseException:
        if not interrupts.received:
            raise
        print("gencheck: interrupted", file=sys.stderr)
    finally:
        # what was asked for is done or given up; tearing the interpreter down takes a while longer
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
