"""Tables that keep every number whole and every word, whatever the width of the terminal."""

import re

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

# A column of words is broken between them, but not to a strip narrower than this.
_NARROWEST_WORDS = 24
_GAP = 2
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
        widths = [self._narrowest(place) for place in range(len(self.headings))]
        spare = options.max_width - sum(widths) - _GAP * (len(widths) - 1)
        yield self._table(self._widened(widths, spare)) if spare >= 0 else self._records()

    def _widened(self, widths: list[int], spare: int) -> list[int]:
        """The widths with `spare` more shared out among columns that have a use for it."""
        wide = [
            max(len(text) for text in (heading, *self._cells(place)))
            for place, heading in enumerate(self.headings)
        ]
        while spare > 0 and widths != wide:
            for place in range(len(widths)):
                if spare > 0 and widths[place] < wide[place]:
                    widths[place] += 1
                    spare -= 1
        return widths

    def _cells(self, place: int) -> list[str]:
        return [row[place] for row in self.rows]

    def _is_numeric(self, place: int) -> bool:
        return all(_NUMBER.fullmatch(cell) for cell in self._cells(place))

    def _narrowest(self, place: int) -> int:
        """The least width of a column in which no number is broken, and no word."""
        cells, heading = self._cells(place), self.headings[place]
        whole = max((len(cell) for cell in cells), default=0)
        if self._is_numeric(place):
            texts, least = [heading], whole
        else:
            texts, least = [heading, *cells], min(whole, _NARROWEST_WORDS)
        return max(1, least, *(len(word) for text in texts for word in text.split()))

    def _table(self, widths: list[int]) -> Table:
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for place, heading in enumerate(self.headings):
            justify: JustifyMethod = "right" if self._is_numeric(place) else "left"
            table.add_column(Text(heading), justify=justify, width=widths[place])
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row), style=self.style)
        return table

    def _records(self) -> RenderableType:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for number, row in enumerate(self.rows):
            if number:
                grid.add_row("", "")
            for heading, cell in zip(self.headings, row, strict=True):
                if cell:
                    grid.add_row(Text(heading), Text(cell))
        return grid
