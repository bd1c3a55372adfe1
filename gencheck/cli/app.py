"""The command line: one Typer application, one module for each command."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from gencheck import __version__
from gencheck.cli import streams
from gencheck.cli.compare import compare
from gencheck.cli.compare_scores import compare_scores
from gencheck.cli.concentrate import concentrate
from gencheck.cli.data_indep import data_indep
from gencheck.cli.deliver import INTERRUPTED, net
from gencheck.cli.demo import demo
from gencheck.cli.explain import explain
from gencheck.cli.failures import require_address_space
from gencheck.cli.reproduce import reproduce
from gencheck.cli.schema import schema
from gencheck.cli.terminal import print_plain, say
from gencheck.cli.train import train
from gencheck.cli.val_bound import val_bound

# Commands that always load torch.
_HEAVY = {"concentrate", "train", "compare", "demo"}


class _Command(TyperCommand):
    """A command under the one net: whatever happens in it becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Check where the results go, then run the command."""
        values = ctx.params.values()
        files = ", ".join(str(value) for value in values if isinstance(value, Path))
        with net(ctx.params.get("debug", False), files or f"gencheck {self.name}"):
            if ctx.params.get("output") is not None:
                from gencheck.cli.destination import refuse_destinations

                refuse_destinations(ctx.params)
            if self.name in _HEAVY:
                require_address_space()
            return super().invoke(ctx)


class _Commands(TyperGroup):
    """All commands; what goes wrong before or after one of them ends in the same way."""

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **more: Any,
    ) -> Any:
        """Run the command line, and end the process with its exit code if `standalone_mode`."""
        parent: Callable[..., Any] = super().main

        def run() -> Any:
            return parent(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **more,
            )

        if not standalone_mode:
            return run()
        try:
            with net("--debug" in (sys.argv if args is None else args), "gencheck"):
                code = run()
                sys.stdout.flush()
        except typer.Exit as end:
            code = end.exit_code
        sys.exit(code or 0)


app = typer.Typer(
    name="gencheck",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # the plain form: it has room for words at 80 columns, and reads no markup
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print_plain(f"gencheck {__version__}\n")
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


for _callback in (
    *(val_bound, compare_scores, data_indep, concentrate, train, compare),
    *(demo, explain, reproduce, schema),
):
    app.command(_callback.__name__.replace("_", "-"), cls=_Command)(_callback)


class _Signals:
    """What the first SIGINT or SIGTERM raises; any other ends the process there and then.

    A second one would disturb the cleaning up.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        # past everything that catches errors, through everything that cleans up, and in silence
        raise SystemExit(128 + number)


def main() -> None:
    """Run the command line; the entry point of the `gencheck` program.

    A signal ends the process at once and with its own exit code. Without that, an interpreter
    that was interrupted inside an import of a compiled library would end by the signal, or by
    whatever error the library made of it.
    """
    streams.install()
    signals = _Signals()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signals)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signals)
    try:
        app()
        return
    except SystemExit as end:
        if signals.received is None and end.code != INTERRUPTED:
            raise
        code = end.code if signals.received is None else 128 + signals.received
        # the work was done before the signal came
        if signals.received is not None and not end.code:
            raise
    except BaseException:
        if signals.received is None:
            raise
        code = 128 + signals.received
        if code == INTERRUPTED:
            say("interrupted")
    finally:
        # what was asked for is done or given up; tearing the interpreter down takes a while longer
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))
