"""`gencheck schema`: the JSON Schema of a command's document."""

from typing import Annotated

import typer

from gencheck.cli.options import Debug
from gencheck.cli.terminal import print_plain


def schema(
    name: Annotated[str, typer.Argument(help="The command whose document is meant: val-bound, …")],
    debug: Debug = False,
) -> None:
    """Print the JSON Schema of one command's JSON document.

    Example: gencheck schema val-bound
    """
    from gencheck.report.schema import schema_text

    print_plain(schema_text(name))
