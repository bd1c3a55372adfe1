"""What all reports are made of: titles, sections, grids of facts, the gate's lines, the verdict."""

from rich.console import RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document, command_of
from gencheck.report.limits import would_pass_sentence


def title(doc: Document) -> Text:
    """The command that made the document."""
    return Text(f"gencheck {command_of(doc)}", style="bold")


def section(words: str, below: int = 0) -> RenderableType:
    """A rule with the question that the lines under it answer, and so many blank lines below."""
    return Padding(Rule(Text(words, style="bold"), align="left", style="dim"), (1, 0, below, 0))


def facts_grid() -> Table:
    """A grid of two columns: a name, and words that fold."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def figures_grid(name: str = "", words: str = "") -> Table:
    """A grid of three columns: a name, a figure, and words that fold; the styles of two of them."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style=name)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold", style=words)
    return grid


def assumed(statements: list[str]) -> list[RenderableType]:
    """One line for each thing that a bound takes for granted."""
    return [Text(f"assumes: {statement}", style="dim") for statement in statements]


def gate_lines(doc: Document) -> list[RenderableType]:
    """One line for each limit of the document's gate, and what would pass; none without a gate."""
    if "gate" not in doc:
        return []
    lines: list[RenderableType] = [Text("")]
    advice = would_pass_sentence(doc["gate"])
    for check in doc["gate"]["checks"]:
        value = "n/a" if check["value"] is None else f"{check['value']:.10g}"
        lines.append(
            Text(
                f"Gate {'passed' if check['passed'] else 'FAILED'}: {check['name']} "
                f"{check['limit']:.10g}, value {value}",
                style="green" if check["passed"] else "red",
            )
        )
    return [*lines, Text(advice)] if advice else lines


def verdict(text: str, colour: str = "") -> RenderableType:
    """The last line of a report, after a blank one."""
    return Padding(Text(text, style=f"bold {colour}".rstrip()), (1, 0, 0, 0))
