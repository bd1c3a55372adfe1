"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Write the same JSON document to this file too, atomically."),
]
Debug = Annotated[bool, typer.Option("--debug", help="On an error, show the traceback as well.")]
