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
from gencheck.cli.certify import certify
from gencheck.cli.compare import compare
from gencheck.cli.compare_scores import compare_scores
from gencheck.cli.concentrate import concentrate
from gencheck.cli.config import config
from gencheck.cli.configuration import OWN, SHARED, read_configuration
from gencheck.cli.data_indep import data_indep
from gencheck.cli.deliver import INTERRUPTED, net
from gencheck.cli.demo import demo
from gencheck.cli.explain import explain
from gencheck.cli.failures import require_address_space
from gencheck.cli.launch import require_shareable
from gencheck.cli.rank import rank
from gencheck.cli.reproduce import reproduce
from gencheck.cli.schema import schema
from gencheck.cli.terminal import print_plain, say
from gencheck.cli.train import train
from gencheck.cli.val_bound import val_bound

# The commands as the help shows them.
_GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Everyday": (val_bound, compare_scores, concentrate, rank, demo),
    "Training": (train, certify, data_indep),
    "Theory": (compare, reproduce),
    "Reference": (explain, schema, config),
}
# Commands that load torch; data-indep does where it measures a run.
_HEAVY = {"concentrate", "rank", "train", "certify", "compare", "reproduce", "demo"}


class _Command(TyperCommand):
    """A command under the one net: whatever happens in it becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Check where the results go, then run the command."""
        values = ctx.params.values()
        files = ", ".join(str(value) for value in values if isinstance(value, Path))
        with net(ctx.params.get("debug", False), files or f"gencheck {self.name}"):
            require_shareable(str(self.name))
            if ctx.params.get("output") is not None or ctx.params.get("report"):
                from gencheck.cli.destination import refuse_destinations

                refuse_destinations(ctx.params)
            if self.name in _HEAVY or ctx.params.get("checkpoint") is not None:
                require_address_space()
            return super().invoke(ctx)


class _Commands(TyperGroup):
    """All commands; what goes wrong before or after one of them ends in the same way."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in their groups, each with the first sentence of its help."""
        width = max(len(name) for name in self.commands)
        for title, callbacks in _GROUPS.items():
            with formatter.section(title):
                names = [callback.__name__.replace("_", "-") for callback in callbacks]
                rows = [(name, self.commands[name].get_short_help_str(200)) for name in names]
                formatter.write_dl([(name.ljust(width), words) for name, words in rows])

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
            more.setdefault("default_map", self._defaults())
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

    def _defaults(self) -> dict[str, dict[str, Any]]:
        """The defaults of the folder that the command runs in."""
        if not (Path(OWN).is_file() or Path(SHARED).is_file()):
            return {}
        return read_configuration(Path(), self.commands).defaults


app = typer.Typer(
    name="gencheck",
    cls=_Commands,
    invoke_without_command=True,
    no_args_is_help=False,
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


_TASKS = """\
gencheck: how far may I trust this score, this data set, this checkpoint?

Gate a score in CI. I tried 20 models on one validation set and kept the best:
  gencheck val-bound --predictions predictions.csv --n-models 20 --max-risk 5%

Ask whether a data set suits a model, and where it differs from a reference:
  gencheck concentrate model.pt2 data.npz --reference reference.npz

Certify a network: train it in two phases, then bound its error:
  gencheck train --data data.npz --arch mlp:64,64 --two-phase --out run
  gencheck certify run data.npz

See all three on handwritten digits: gencheck demo. All commands: gencheck --help
"""


@app.callback()
def gencheck(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Tell how far to trust this score, this data set, this checkpoint."""
    if context.invoked_subcommand is None:
        print_plain(_TASKS)


for _callbacks in _GROUPS.values():
    for _callback in _callbacks:
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
