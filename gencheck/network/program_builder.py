"""Collects the maps of a kernel's program, and puts their units into batches of one shape."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from gencheck.network.program import Batch, Collapse, Entry, Map, Program, Slide
from gencheck.network.windows import Windows


@dataclass
class ProgramBuilder:
    """Collects maps; a collapse that two layers need is made once."""

    maps: list[Map] = field(default_factory=list)
    collapsed: dict[Hashable, int] = field(default_factory=dict)

    def collapse(self, entries: list[Entry], cells: int, bias: bool, label: str) -> int:
        """A new map of `cells` cells that gathers the entries; its position."""
        batches = [batch for entry in _joined(entries) for batch in _batches(entry)]
        return self._append(Collapse(tuple(batches), cells, bias, label))

    def convolution(
        self,
        key: Hashable,
        entries: list[Entry],
        groups: int,
        windows: Windows,
        bias: bool,
        label: str,
    ) -> int:
        """A map for each window of each group; `key` names what is gathered."""
        cells = groups * prod(windows.extent)
        if windows.is_identity and key not in self.collapsed:
            return self.collapse(entries, cells, bias, label)
        if key not in self.collapsed:
            self.collapsed[key] = self.collapse(entries, cells, False, label)
        return self._append(Slide(self.collapsed[key], groups, windows, bias, label))

    def _append(self, made: Map) -> int:
        self.maps.append(made)
        return len(self.maps) - 1

    def program(self) -> Program:
        """What was collected."""
        return Program(tuple(self.maps))


# Entries of so many blocks or more, none of them input coordinates, are quicker on their own: each
# lies on a grid, and together they do not.
_GRID_BLOCKS = 4


def _joined(entries: list[Entry]) -> list[Entry]:
    """Entries of one signature as one, where that makes fewer or larger blocks."""
    by_signature: dict[Hashable, list[Entry]] = {}
    for number, entry in enumerate(entries):
        if not len(entry.cells):
            continue
        own = all(c.node != 0 for c in entry.columns)
        own = own and len(np.unique(entry.cells)) >= _GRID_BLOCKS
        key = (entry.signature, number if own else -1)
        by_signature.setdefault(key, []).append(entry)
    joined = []
    for group in by_signature.values():
        first = group[0]
        columns = tuple(
            replace(column, index=np.concatenate([e.columns[i].index for e in group]))
            for i, column in enumerate(first.columns)
        )
        at, cells, births = (
            np.concatenate([getattr(e, name) for e in group]) for name in ("at", "cells", "births")
        )
        joined.append(replace(first, at=at, cells=cells, births=births, columns=columns))
    return joined


def _batches(entry: Entry) -> list[Batch]:
    """Blocks of units with one cell and one carrier cell, cut into batches of one width.

    Blocks of different widths (windows at a border) are padded with zero factors where that adds at
    most half, and kept apart otherwise.
    """
    order = np.lexsort((entry.at, entry.cells))
    pairs = np.stack([entry.cells[order], entry.at[order]])
    starts = np.flatnonzero(np.r_[True, (np.diff(pairs) != 0).any(0)])
    sizes = np.diff(np.r_[starts, len(order)])
    widest = int(sizes.max())
    apart = widest * len(sizes) > 1.5 * len(order)
    batches = []
    for width in np.unique(sizes).tolist() if apart else [widest]:
        chosen = np.flatnonzero(sizes == width) if apart else np.arange(len(sizes))
        slots = np.arange(width)
        inside = slots < sizes[chosen, None]
        take = order[np.where(inside, starts[chosen, None] + slots, starts[chosen, None])]
        columns = tuple(
            replace(c, index=np.where(inside, c.index[take], -1)) for c in entry.columns
        )
        births = np.where(inside, entry.births[take], -1)
        at, cells = entry.at[take[:, 0]], entry.cells[take[:, 0]]
        batches.append(
            Batch(
                carrier=entry.carrier,
                at=at,
                cells=cells,
                columns=columns,
                births=births,
                origin=entry.origin,
                repeat=entry.repeat,
                vocabulary=entry.vocabulary,
            )
        )
    return batches
