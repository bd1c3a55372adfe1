"""`gencheck schema`: the JSON Schema of a command's document."""

import sys
from typing import Annotated

import typer

from gencheck.cli.deliver import errors_as_exit_codes


def schema(
    name: Annotated[str, typer.Argument(help="The command whose document is meant: val-bound, …")],
) -> None:
    """Print the JSON Schema of one command's JSON document.

    Example: gencheck schema val-bound
    """
    from gencheck.report.schema import schema_text

    with errors_as_exit_codes(debug=False):
        sys.stdout.write(schema_text(name))
