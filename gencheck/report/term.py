"""A word of a report, and what it means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word of a report.

    Attributes
    ----------
    names
        How reports, documents and options call it, the usual name first.
    commands
        Whose reports have it; none where all have.
    meaning
        What it is, and what to do with it.
    """

    names: tuple[str, ...]
    commands: tuple[str, ...]
    meaning: str


def term(names: str, commands: tuple[str, ...], meaning: str) -> Term:
    """A word whose names are written in one string, with bars between."""
    return Term(tuple(name.strip() for name in names.split(" | ")), commands, meaning)
