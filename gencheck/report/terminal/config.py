"""The terminal report of `config`."""

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from gencheck.report.json import Document


def render(doc: Document) -> RenderableType:
    """The report of one `config` document: the defaults by command."""
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
