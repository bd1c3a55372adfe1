"""The one way of text to a terminal: no markup, no control characters."""

import sys
from typing import TYPE_CHECKING

from gencheck.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def say(message: str) -> None:
    """One message on stderr."""
    print(f"gencheck: {printable(message, keep=chr(10))}", file=sys.stderr)


def console(*, stderr: bool = False) -> "Console":
    """A rich console on which text is text: nothing in brackets or colons is read as markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def show(report: "RenderableType", *, one_line: bool = False) -> None:
    """Print a report on stdout, all of it or an error; `one_line` never breaks it."""
    shown = console()
    # rich makes exit code 1 of a closed pipe; here the stream sees to that
    with shown.capture() as captured:
        shown.print(report, soft_wrap=one_line)
    # rich fills lines up to the width, which a log need not keep
    print_plain("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))


def print_plain(text: str) -> None:
    """Text that is ready for stdout, such as a document, and a flush whose failure is an error."""
    sys.stdout.write(text)
    sys.stdout.flush()


def as_picture(report: "RenderableType", title: str, width: int = 80) -> str:
    """A report as it stands on a terminal, as one SVG that asks for nothing outside itself."""
    import io
    import re

    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console

    coloured = Console(
        file=io.StringIO(),
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        color_system="truecolor",
        force_terminal=True,
        record=True,
    )
    coloured.print(report)
    # the fonts that rich would fetch
    own = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return coloured.export_svg(title=title, code_format=own, unique_id="gencheck")
