"""The long form of a report: what each of its words means."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gencheck.report.glossary import terms_of
from gencheck.report.terminal.parts import section


def explained(report: RenderableType, command: str) -> RenderableType:
    """The report of a command with its words explained below it."""
    parts: list[RenderableType] = [report, section("What the words mean")]
    for term in terms_of(command):
        parts.append(Text(term.names[0], style="bold"))
        parts.append(Padding(Text(term.meaning), (0, 0, 1, 2)))
    return Group(*parts, Text("The mathematics, with sources: docs/mathematics.md", style="dim"))
