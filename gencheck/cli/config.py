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
    deliver(doc, lambda: _rendered, as_json, output)


def _rendered(doc: dict[str, Any]) -> Any:
    from rich.text import Text

    if doc["path"] is None:
        return Text(
            "No defaults: neither gencheck.toml nor [tool.gencheck] in pyproject.toml here."
        )
    lines = [f"Defaults of {doc['path']}, overridden by options:"]
    for command, options in doc["defaults"].items():
        lines += ["", command, *(f"  --{key} {_shown(value)}" for key, value in options.items())]
    return Text("\n".join(lines))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is True else str(value)
