"""The command line: one Typer application, one module for each command."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from gencheck.cli import streams
from gencheck.cli.conversion import convert_plainly, leave_unasked
from gencheck.cli.deliver import INTERRUPTED, net
from gencheck.cli.launch import require_shareable
from gencheck.cli.options import TYPED
from gencheck.cli.received import receive_pipes
from gencheck.cli.terminal import print_plain, say
from gencheck.version import __version__

# The commands as the help shows them, each a function of its name in a module of its name.
_GROUPS: dict[str, tuple[str, ...]] = {
    "Everyday": ("val-bound", "compare-scores", "concentrate", "rank", "demo"),
    "Training": ("train", "certify", "data-indep"),
    "Theory": ("compare", "reproduce"),
    "Reference": ("explain", "schema", "config"),
}
# Commands that load torch; data-indep does where it measures a run.
_HEAVY = {"concentrate", "rank", "train", "certify", "compare", "reproduce", "demo"}
_DEFAULTS = ("gencheck.toml", "pyproject.toml")


class _Command(TyperCommand):
    """A command under the one net: whatever happens in it becomes a message and an exit code."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        convert_plainly(self)

    def get_help_option(self, ctx: Any) -> Any:
        """The option of the help."""
        return leave_unasked(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Keep what was typed, then read it."""
        TYPED.set(shlex.join(["gencheck", str(self.name), *args]))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Check where the results go, then run the command."""
        values = ctx.params.values()
        files = ", ".join(str(value) for value in values if isinstance(value, Path))
        with net(ctx.params.get("debug", False), files or f"gencheck {self.name}"):
            require_shareable(str(self.name))
            receive_pipes(ctx.params, {str(p.name): _called(p) for p in self.params})
            if ctx.params.get("output") is not None or ctx.params.get("report"):
                from gencheck.cli.destination import refuse_destinations

                refuse_destinations(ctx.params)
            if self.name in _HEAVY or ctx.params.get("checkpoint") is not None:
                from gencheck.cli.failures import require_address_space

                require_address_space()
            return super().invoke(ctx)


def _called(parameter: Any) -> str:
    """An option as it is written, an argument as the help shows it."""
    first = str(parameter.opts[0])
    return first if first.startswith("-") else str(parameter.name).upper()


def command_names() -> list[str]:
    """Every command, in the order of the help."""
    return [name for names in _GROUPS.values() for name in names]


def callback_of(name: str) -> Callable[..., None]:
    """The function of a command, imported when it is asked for."""
    word = name.replace("-", "_")
    callback: Callable[..., None] = getattr(import_module(f"gencheck.cli.{word}"), word)
    return callback


class _ByName(Mapping[str, Any]):
    """The commands by their names, each built when it is asked for: one line runs one of them."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(command_names())

    def __len__(self) -> int:
        return len(command_names())

    def __contains__(self, name: object) -> bool:
        return name in command_names()

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        if name not in self._built:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name, cls=_Command)(callback_of(name))
            self._built[name] = typer.main.get_command(alone)
        return self._built[name]


class _Commands(TyperGroup):
    """All commands; what goes wrong before or after one of them ends in the same way."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.commands: Any = _ByName()

    def get_help_option(self, ctx: Any) -> Any:
        """The option of the help."""
        return leave_unasked(super().get_help_option(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in their groups, each with the first sentence of its help."""
        width = max(len(name) for name in self.commands)
        for title, names in _GROUPS.items():
            with formatter.section(title):
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
        if not any(Path(name).is_file() for name in _DEFAULTS):
            return {}
        from gencheck.cli.configuration import read_configuration

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

See all three on handwritten digits: gencheck demo
All commands: gencheck --help
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
