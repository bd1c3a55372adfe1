"""Terms of the path kernel's algebra: paths that reach some units of a tensor, and their gathering."""

from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np

from gencheck.network.program import Column, Entry, Origin
from gencheck.network.windows import Index

# Heads, targets, sources, channels of a head.
Form: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Term:
    """Paths that reach some units of a tensor.

    Attributes
    ----------
    origin, births
        The layer that they come from, and the flat unit there. Births have shape (n,).
    carrier
        The position of the program's map that they come from; None for the carrier 1 (paths that
        start at an input coordinate, a bias or a constant and have met no dense layer since).
    units
        The flat units reached, distinct. Shape (n,).
    at
        The carrier's cell of each. Shape (n,).
    columns
        The factors whose product is σ: gates, and input coordinates.
    mixed
        Where the paths have just passed an attention: the term before it. The term then stands for
        one term a source; births are units of the attention's own tensor.
    """

    origin: Origin
    births: Index
    carrier: int | None
    units: Index
    at: Index
    columns: tuple[Column, ...]
    mixed: "Mixed | None" = None

    def picked(self, pick: Index, units: Index) -> "Term":
        """The entries `pick`, reaching `units` now."""
        columns = tuple(replace(c, index=c.index[pick]) for c in self.columns)
        return replace(
            self, births=self.births[pick], at=self.at[pick], units=units, columns=columns
        )

    def moved(self, index: Index, width: int) -> "Term":
        """After unit u has become unit ``index[u]`` of the tensor of `width` units; −1 is nothing."""
        where = np.full(width + 1, -1)
        where[self.units] = np.arange(len(self.units))
        found = where[index]
        units = np.flatnonzero(found >= 0)
        return self.picked(found[units], units)

    def gated(self, position: int, plane: int, index: Index | None = None) -> "Term":
        """After one plane of the gates of the node at `position`, its own unit's by default."""
        own = self.units if index is None else index
        return replace(self, columns=(*self.columns, Column(position, plane, own)))


def started(
    origin: Origin,
    carrier: int | None = None,
    at: Index | None = None,
    columns: tuple[Column, ...] = (),
) -> Term:
    """A term that reaches every unit of its origin, each from itself; by default at the carrier 1."""
    units = np.arange(prod(origin.shape))
    cells = np.zeros_like(units) if at is None else at
    return Term(
        origin=origin, births=units, carrier=carrier, units=units, at=cells, columns=columns
    )


@dataclass(frozen=True, eq=False)
class Mixed:
    """What a term was before the attention at `position`."""

    position: int
    form: Form
    before: Term


def attended(term: Term, position: int, form: Form) -> list[Term]:
    """The terms behind an attention: y(g,t,c) = Σ_s A(g,t,s) x(g,s,c)."""
    if term.mixed is not None:
        # an attention right behind another: the first one's sources are told apart
        return [t for tap in _taps(term) for t in attended(tap, position, form)]
    heads, targets, sources, channels = form
    place = np.arange(heads * targets * channels)
    head, channel = place // (targets * channels), place % channels
    reached = np.zeros((heads, channels), bool)
    reached[term.units // (sources * channels), term.units % channels] = True
    units = place[reached[head, channel]]
    mixed = Mixed(position, form, term)
    return [
        Term(
            origin=term.origin,
            births=units,
            carrier=term.carrier,
            units=units,
            at=np.zeros_like(units),
            columns=(),
            mixed=mixed,
        )
    ]


def _taps(term: Term) -> list[Term]:
    """One term a source of the attention that the term has passed."""
    assert term.mixed is not None
    taps = []
    for source in range(term.mixed.form[2]):
        found, gates = _sources(term, np.array([source]))
        there = np.flatnonzero(found[:, 0] >= 0)
        before = term.mixed.before.picked(found[there, 0], term.units[there])
        gated = before.gated(term.mixed.position, 0, gates[there, 0])
        own = tuple(replace(c, index=c.index[there]) for c in term.columns)
        taps.append(replace(gated, columns=(*gated.columns, *own)))
    return taps


def _sources(term: Term, sources: Index, rows: Index | None = None) -> tuple[Index, Index]:
    """For some units of a term behind an attention, and some sources: which entries, which gates.

    Returns
    -------
    entries, gates
        The place of each source's unit in the term before (−1: it has none there), and the flat gate.
        Shape (units, sources).
    """
    assert term.mixed is not None
    _, targets, count, channels = term.mixed.form
    place = term.births if rows is None else term.births[rows]
    head, target = place // (targets * channels), place // channels % targets
    unit = (head[:, None] * count + sources) * channels + (place % channels)[:, None]
    before = term.mixed.before.units
    where = np.full(term.mixed.form[0] * count * channels, -1)
    where[before] = np.arange(len(before))
    return where[unit], (head * targets + target)[:, None] * count + sources


def entries_of(term: Term, cells: Index) -> list[Entry]:
    """What a collapse gathers of a term, each unit going to its cell.

    Units of one cell that have the same factor are gathered once: behind an attention or a
    normalisation all channels of a token are alike.
    """
    if not len(cells):
        return []
    if term.mixed is None:
        keys = [c.index for c in term.columns]
        chosen = _distinct([cells, term.at, *keys]) if keys else None
        if chosen is None:
            return [
                Entry(
                    carrier=term.carrier,
                    at=term.at,
                    cells=cells,
                    births=term.births,
                    columns=term.columns,
                    origin=term.origin,
                )
            ]
        return [_entry(term, cells, pick, repeat) for pick, repeat in chosen]
    return _mixed_entries(term, cells)


def _entry(term: Term, cells: Index, pick: Index, repeat: int) -> Entry:
    some = term.picked(pick, term.units[pick])
    return Entry(
        carrier=term.carrier,
        at=some.at,
        cells=cells[pick],
        births=some.births,
        columns=some.columns,
        origin=term.origin,
        repeat=repeat,
    )


def _distinct(keys: list[Index]) -> list[tuple[Index, int]] | None:
    """One of each distinct row of the keys with their number, by that number; None: all distinct."""
    ascending = any(len(key) < 2 or bool((np.diff(key) > 0).all()) for key in keys)
    if ascending:
        return None
    code = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        _, own = np.unique(key, return_inverse=True)
        _, code = np.unique(code * (int(own.max()) + 1) + own.reshape(-1), return_inverse=True)
        code = code.reshape(-1)
    _, first, counts = np.unique(code, return_index=True, return_counts=True)
    if len(first) == len(code):
        return None
    return [(np.sort(first[counts == count]), int(count)) for count in np.unique(counts).tolist()]


def _mixed_entries(term: Term, cells: Index) -> list[Entry]:
    """One unit for each source, for each distinct way that a unit is reached."""
    assert term.mixed is not None
    _, _, count, channels = term.mixed.form
    place, before = term.births, term.mixed.before
    keys = [cells, place // channels, *[c.index for c in term.columns]]
    if not _alike(before, term.mixed.form):
        keys.append(place)
    chosen = _distinct(keys) or [(np.arange(len(place)), 1)]
    entries = []
    for pick, repeat in chosen:
        found, gates = _sources(term, np.arange(count), pick)
        row, source = np.nonzero(found >= 0)
        entry, own = found[row, source], pick[row]
        columns = (
            *(replace(c, index=c.index[entry]) for c in before.columns),
            Column(term.mixed.position, 0, gates[row, source]),
            *(replace(c, index=c.index[own]) for c in term.columns),
        )
        entries.append(
            Entry(
                carrier=before.carrier,
                at=before.at[entry],
                cells=cells[own],
                births=before.births[entry],
                columns=columns,
                origin=before.origin,
                repeat=repeat,
            )
        )
    return entries


def _alike(term: Term, form: Form) -> bool:
    """True where all channels of a head's source have one carrier's cell and the same factors."""
    heads, _, sources, channels = form
    if len(term.units) != heads * sources * channels:
        return False
    order = np.argsort(term.units)
    rows = [key[order].reshape(-1, channels) for key in (term.at, *[c.index for c in term.columns])]
    return all(bool((row == row[:, :1]).all()) for row in rows)


def summed(terms: list[Term], width: int) -> tuple[list[Entry], int, Index, Index]:
    """The sum of terms without gates: one cell for all units that have the same carriers' cells.

    Returns
    -------
    entries, count
        What each term gives to the cells of the sum, and the number of these.
    units, own
        The units that any term reaches, and the cell of each.
    """
    cells = np.full((len(terms), width), -1)
    for row, term in zip(cells, terms, strict=True):
        row[term.units] = term.at
    units = np.flatnonzero((cells >= 0).any(0))
    kept, first, own = np.unique(cells[:, units], axis=1, return_index=True, return_inverse=True)
    # in the order of the units, as other layers number their cells: maps are then read as views
    order = np.argsort(first)
    first, own = first[order], np.argsort(order)[own.reshape(-1)]
    entries = []
    for row, term in zip(kept[:, order], terms, strict=True):
        there = np.flatnonzero(row >= 0)
        born = np.zeros(width, np.int64)
        born[term.units] = term.births
        entries.append(
            Entry(
                carrier=term.carrier,
                at=row[there],
                cells=there,
                births=born[units[first[there]]],
                columns=(),
                origin=term.origin,
            )
        )
    return entries, len(first), units, own
