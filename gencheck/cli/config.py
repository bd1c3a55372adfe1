"""`gencheck config`: the defaults that this folder's configuration gives."""

from pathlib import Path
from typing import Any

import typer

from gencheck.cli.deliver import deliver
from gencheck.cli.options import AsJson, Debug, Output


def config(
    context: typer.Context,
    as_json: AsJson = False,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Show the defaults from gencheck.toml, or [tool.gencheck] in pyproject.toml, of this folder.

    Example: gencheck config
    """
    from gencheck.cli.configuration import read_configuration
    from gencheck.report.json import document

    commands: Any = context.find_root().command
    found = read_configuration(Path(), commands.commands)
    doc = document(
        "config",
        {"folder": str(Path.cwd())},
        {"path": None if found.path is None else str(found.path), "defaults": found.given},
        None,
    )
    deliver(doc, as_json, output)
