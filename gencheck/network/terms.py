"""The path kernel's algebra, carried out on symbols: which overlaps to multiply and add.

The paths that reach a tensor form a short list of terms. In one term, the pairwise path sum of unit
u is a *carrier* (a number for each pair of items and each *cell*, the same for all units at a cell)
times σ_u(x) σ_u(x′), with σ the product of the gates since the carrier:

    A(x, x′; u) = Σ_terms a(x, x′; at(u)) σ_u(x) σ_u(x′)

Everything that moves units about (pools, skips, concatenations, depthwise taps) is index arithmetic
on terms. A dense layer or a convolution gathers the units of each cell of its input into one
number, since each of its own units continues every path of the cell, and slides its window over the
cells: that makes the next carrier (see `gencheck.network.program`).
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from gencheck.network.interpret import interpret
from gencheck.network.ir import (
    Affine,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Gate,
    Input,
    MaxPool,
    Network,
    Reshape,
    Select,
    Shape,
)
from gencheck.network.program import Column, Entry, Origin, Program, ProgramBuilder
from gencheck.network.windows import Index

# A window over few enough input channels is taken into the overlap itself: a product over so many
# coordinates costs less than sliding a window over pairs.
_PATCH_WIDTH = 64


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
    """

    origin: Origin
    births: Index
    carrier: int | None
    units: Index
    at: Index
    columns: tuple[Column, ...]

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

    def gated(self, position: int, plane: int) -> "Term":
        """After one plane of the gates of the node at `position`."""
        return replace(self, columns=(*self.columns, Column(position, plane, self.units)))


@dataclass(frozen=True)
class Reached:
    """The value of a tensor: its terms and its number of units."""

    terms: tuple[Term, ...]
    width: int


def _fresh(node: Conv | Dense, carrier: int, at: Index) -> Reached:
    units = np.arange(prod(node.shape))
    origin = Origin(node.label, "layer", node.shape)
    return Reached((Term(origin, units, carrier, units, at, ()),), len(units))


def _constant(label: str, shape: Shape) -> Term:
    units = np.arange(prod(shape))
    origin = Origin(label, "constant", shape)
    return Term(origin, units, None, units, np.zeros_like(units), ())


class _TermAlgebra:
    """Values are terms; maps are collected on the way."""

    def __init__(self, patches: bool) -> None:
        self.patches = patches
        self.builder = ProgramBuilder()

    def input(self, node: Input) -> Reached:
        """The input's coordinates, with no gate yet."""
        units = np.arange(prod(node.shape))
        origin = Origin("input", "input", node.shape)
        column = Column(0, 0, units)
        term = Term(origin, units, None, units, np.zeros_like(units), (column,))
        return Reached((term,), len(units))

    def dense(self, node: Dense, value: Reached) -> Reached:
        """All units gathered into one cell; the new units differ only in weights, not in the kernel."""
        entries = [_entry(term, np.zeros_like(term.units)) for term in value.terms]
        carrier = self.builder.collapse(entries, 1, node.bias is not None, node.label)
        return _fresh(node, carrier, np.zeros(prod(node.shape), np.int64))

    def conv(self, node: Conv, value: Reached) -> Reached:
        """The channels of each group gathered at each position, and the window slid over these."""
        windows, groups = node.windows, node.groups
        positions = prod(windows.extent)
        channels = value.width // positions
        if groups > 1 and groups == channels:
            return self._depthwise(node, value)
        own = channels // groups
        taken = own * windows.taps
        fresh = all(term.carrier is None for term in value.terms)
        if self.patches and fresh and taken <= _PATCH_WIDTH:
            carrier = self._patches(node, value, own)
        else:
            entries = [
                _entry(t, t.units // (own * positions) * positions + t.units % positions)
                for t in value.terms
            ]
            carrier = self.builder.convolution(
                (node.sources[0], groups),
                entries,
                groups,
                windows,
                node.bias is not None,
                node.label,
            )
        count = prod(windows.out)
        group = np.arange(prod(node.shape)) // (node.shape[0] // groups * count)
        return _fresh(node, carrier, group * count + np.arange(prod(node.shape)) % count)

    def _patches(self, node: Conv, value: Reached, own: int) -> int:
        """The window taken into the overlap: each output position gathers its whole patch."""
        windows = node.windows
        positions, count = prod(windows.extent), prod(windows.out)
        entries = []
        for term in value.terms:
            for reads in windows.sources:
                unit = np.arange(value.width // positions)[:, None] * positions + reads
                moved = term.moved(np.where(reads < 0, -1, unit).ravel(), value.width)
                cells = moved.units // (own * count) * count + moved.units % count
                entries.append(_entry(moved, cells))
        total = node.groups * count
        return self.builder.collapse(entries, total, node.bias is not None, node.label)

    def _depthwise(self, node: Conv, value: Reached) -> Reached:
        """One term a tap: each channel goes on alone, so nothing is gathered."""
        windows = node.windows
        positions = prod(windows.extent)
        channel = np.arange(node.shape[0]) // (node.shape[0] // node.groups)
        terms = []
        for reads in windows.sources:
            index = np.where(reads < 0, -1, channel[:, None] * positions + reads).ravel()
            terms += [term.moved(index, value.width) for term in value.terms]
        if node.bias is not None:
            terms.append(_constant(f"bias of layer {node.label}", node.shape))
        return Reached(tuple(terms), prod(node.shape))

    def affine(self, node: Affine, value: Reached) -> Reached:
        """The same paths, and one bias path a unit."""
        if node.shift is None:
            return value
        bias = _constant(f"bias of normalisation {node.label}", node.shape)
        return replace(value, terms=(*value.terms, bias))

    def gate(self, position: int, node: Gate, value: Reached) -> Reached:
        """Each term passes this gate too."""
        return replace(value, terms=tuple(term.gated(position, 0) for term in value.terms))

    def clamp(self, position: int, node: Clamp, value: Reached) -> Reached:
        """Each term passes the gate inside; where it saturates, a path starts."""
        terms = [term.gated(position, 0) for term in value.terms]
        for plane, end in node.ends:
            start = _constant(f"saturation at {end:g} of {node.label}", node.shape)
            terms.append(start.gated(position, plane))
        return replace(value, terms=tuple(terms))

    def max_pool(self, position: int, node: MaxPool, value: Reached) -> Reached:
        """One term a tap, gated by [the arg-max is this tap]."""
        taps = self._by_tap(node.windows.sources, node.shape, value)
        terms = [term.gated(position, tap) for tap, moved in enumerate(taps) for term in moved]
        return Reached(tuple(terms), prod(node.shape))

    def avg_pool(self, node: AvgPool, value: Reached) -> Reached:
        """One term a tap."""
        taps = self._by_tap(node.reads, node.shape, value)
        return Reached(tuple(term for moved in taps for term in moved), prod(node.shape))

    @staticmethod
    def _by_tap(sources: Index, shape: Shape, value: Reached) -> list[list[Term]]:
        channels = np.arange(prod(shape) // sources.shape[1])
        positions = value.width // len(channels)
        moved = []
        for reads in sources:
            index = np.where(reads < 0, -1, channels[:, None] * positions + reads).ravel()
            moved.append([term.moved(index, value.width) for term in value.terms])
        return moved

    def select(self, node: Select, value: Reached) -> Reached:
        """The paths of the units chosen."""
        terms = (term.moved(node.index, value.width) for term in value.terms)
        return Reached(tuple(terms), len(node.index))

    def add(self, left: Reached, right: Reached) -> Reached:
        """The paths of both, side by side."""
        return Reached((*left.terms, *right.terms), left.width)

    def concat(self, node: Concat, values: list[Reached]) -> Reached:
        """Each source's terms in their own part of the units."""
        terms = [
            term.picked(np.arange(len(term.units)), places[term.units])
            for value, places in zip(values, node.places, strict=True)
            for term in value.terms
        ]
        return Reached(tuple(terms), prod(node.shape))

    def reshape(self, node: Reshape, value: Reached) -> Reached:
        """Units are counted flat."""
        return value


def _entry(term: Term, cells: Index) -> Entry:
    return Entry(term.carrier, term.at, cells, term.births, term.columns, term.origin)


def kernel_program(network: Network, patches: bool = True) -> Program:
    """The maps whose last one is the path kernel of `network`, in execution order.

    Parameters
    ----------
    patches
        Let the first convolutions gather whole patches of the input, which is quicker by matrix
        products, instead of sliding a window.
    """
    algebra = _TermAlgebra(patches)
    interpret(network, algebra)
    return algebra.builder.program()
