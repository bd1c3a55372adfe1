"""A report as plain text."""

from rich.console import Console, RenderableType


def as_text(report: RenderableType, width: int = 80) -> str:
    """A report as it would stand on a terminal without colour."""
    plain = Console(
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None,
        force_terminal=False,
    )
    with plain.capture() as captured:
        plain.print(report)
    return captured.get()
