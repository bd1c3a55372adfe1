"""Tables that keep every number whole and every word, whatever the width of the terminal."""

import re

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# A column of words is broken between them, but not to a strip narrower than this.
_NARROWEST_WORDS = 24
_NUMBER = re.compile(r"[-+−–]?[\d.,]+(e[-+]?\d+)?( ?%)?|n/a|yes|no|–|10\^[-−]?[\d.,]+|")


class FittingTable:
    """Rows under headings; where they do not fit side by side, one record a row, one line a cell.

    Parameters
    ----------
    headings
        The names of the columns; the first names a record.
    rows
        One text a cell.
    """

    def __init__(self, headings: list[str], rows: list[list[str]], style: str = "") -> None:
        self.headings, self.rows, self.style = headings, rows, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table where its narrowest form fits, else the records."""
        table = self._table()
        fits = Measurement.get(console, options.update(width=10_000), table).minimum
        yield table if fits <= options.max_width else self._records()

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for place, heading in enumerate(self.headings):
            cells = [row[place] for row in self.rows]
            numeric = all(_NUMBER.fullmatch(cell) for cell in cells)
            words = [
                word for text in (heading, *(cells if not numeric else ())) for word in text.split()
            ]
            whole = max((len(cell) for cell in cells), default=0)
            least = max([len(word) for word in words] or [0])
            least = max(least, whole if numeric else min(whole, _NARROWEST_WORDS))
            table.add_column(
                Text(heading), justify="right" if numeric else "left", min_width=max(least, 1)
            )
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row), style=self.style)
        return table

    def _records(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for number, row in enumerate(self.rows):
            if number:
                grid.add_row("", "")
            for heading, cell in zip(self.headings, row, strict=True):
                if cell:
                    grid.add_row(Text(heading), Text(cell))
        return grid
