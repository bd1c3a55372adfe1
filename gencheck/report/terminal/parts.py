"""What all reports are made of: titles, sections, grids, tables, the gate's lines, the verdict."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document, command_of
from gencheck.report.limits import would_pass_sentence
from gencheck.report.terminal.figures import at_most, confidence_text


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


def figures_table(first: str, figures: Sequence[str]) -> Table:
    """A table under its heads: words that fold, then figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


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
    return verdicts([(text, colour)])


def verdicts(lines: list[tuple[str, str]]) -> RenderableType:
    """The last lines of a report, each with its colour, after a blank one."""
    said = (Text(text, style=f"bold {colour}".rstrip()) for text, colour in lines)
    return Padding(Group(*said), (1, 0, 0, 0))


def risk_ending(
    doc: Document, assumes: list[str], risk: float, decimals: int, note: str
) -> list[RenderableType]:
    """What a bound on the 0-1 risk assumes, the gate, the verdict; `note` where it is not vacuous."""
    text, colour = f"Verdict: vacuous ({risk:.6g} is no less than 1).", "yellow"
    if risk < 1:
        text = (
            f"Verdict: true 0-1 risk at most {at_most(risk, decimals)} with probability "
            f"{confidence_text(doc['inputs']['delta'])}{note}."
        )
        colour = "green"
    return [*assumed(assumes), *gate_lines(doc), verdict(text, colour)]
