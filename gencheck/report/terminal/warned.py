"""The warnings of a `concentrate` document."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gencheck.report.item_names import named
from gencheck.report.json import Document
from gencheck.report.terminal.parts import section

# Items of a warning that the terminal lists; the document has more.
_ITEMS_SHOWN = 3


def warnings_section(doc: Document) -> list[RenderableType]:
    """What a colleague would say before anything else is read."""
    parts: list[RenderableType] = []
    for warned in doc["warnings"]:
        parts.append(Text(f"! {warned['message']}", style="yellow"))
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "right"):
            table.add_column(no_wrap=True, justify=justify)
        table.add_column(overflow="fold")
        for item in warned["items"][:_ITEMS_SHOWN]:
            label = "" if item["label"] is None else f"label {item['label']}{named(item)}: "
            words = Text(f"{label}{item['detail']}")
            table.add_row(f"  {item['set']}", f"item {item['index']}", words)
        if warned["items"]:
            parts.append(table)
        more = len(warned["items"]) - _ITEMS_SHOWN
        if more > 0:
            parts.append(Text(f"  and {more} more in --report FILE.html and in JSON", style="dim"))
    return [section("Before you read on"), *parts] if parts else []
