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

from gencheck.network.computed import Attend, Centre, Computed, Constant, Embed, Scale
from gencheck.network.in_place import read_in_place
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
)
from gencheck.network.node import Node, Shape
from gencheck.network.program import Column, Entry, Origin, Program, without_dead_blocks
from gencheck.network.program_builder import ProgramBuilder
from gencheck.network.term import Term, attended, entries_of, started, summed
from gencheck.network.windows import Index

# A window over few enough input channels is taken into the overlap itself: a product over so many
# coordinates costs less than sliding a window over pairs.
_PATCH_WIDTH = 64


@dataclass(frozen=True)
class Reached:
    """The value of a tensor: its terms and its number of units."""

    terms: tuple[Term, ...]
    width: int


def _fresh(node: Node, carrier: int, at: Index) -> Reached:
    term = started(Origin(node.label, "layer", node.shape), carrier, at)
    return Reached((term,), prod(node.shape))


def _constant(label: str, shape: Shape) -> Term:
    return started(Origin(label, "constant", shape))


class _TermAlgebra:
    """Values are terms; maps are collected on the way."""

    def __init__(self, patches: bool, joins: bool) -> None:
        self.patches, self.joins = patches, joins
        self.builder = ProgramBuilder()

    def input(self, node: Input) -> Reached:
        """The input's coordinates, with no gate yet."""
        column = Column(0, 0, np.arange(prod(node.shape)))
        term = started(Origin("input", "input", node.shape), columns=(column,))
        return Reached((term,), prod(node.shape))

    def dense(self, node: Dense, value: Reached) -> Reached:
        """All units gathered into one cell; the new units differ only in weights, not in the kernel."""
        entries = [e for t in value.terms for e in entries_of(t, np.zeros_like(t.units))]
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
                entry
                for t in value.terms
                for entry in entries_of(
                    t, t.units // (own * positions) * positions + t.units % positions
                )
            ]
            carrier = self.builder.convolution(
                (node.sources[0], groups),
                entries,
                groups=groups,
                windows=windows,
                bias=node.bias is not None,
                label=node.label,
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
                entries += entries_of(moved, cells)
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

    def scale(self, position: int, node: Scale, value: Reached) -> Reached:
        """Each term passes the computed gate of its unit."""
        terms = (term.gated(position, 0, node.index[term.units]) for term in value.terms)
        return replace(value, terms=tuple(terms))

    def attend(self, position: int, node: Attend, value: Reached) -> Reached:
        """Each term goes on to every target; the sum over sources is left to the next collapse."""
        heads, targets, channels = node.shape
        form = (heads, targets, node.sources_count, channels)
        terms = [t for term in value.terms for t in attended(term, position, form)]
        return Reached(tuple(terms), prod(node.shape))

    def centre(self, node: Centre, value: Reached) -> Reached:
        """All units of a group gathered into its cell, from which each of its units goes on."""
        group = node.group_of
        entries = [e for t in value.terms for e in entries_of(t, group[t.units])]
        carrier = self.builder.collapse(
            entries, len(node.members), node.shift is not None, node.label
        )
        return _fresh(node, carrier, group)

    def constant(self, node: Constant) -> Reached:
        """A path starts at each unit."""
        return Reached((_constant(f"parameter {node.label}", node.shape),), prod(node.shape))

    def embed(self, node: Embed, value: Reached) -> Reached:
        """One cell a place: 1 where both items have the same token there."""
        places = np.arange(value.width)
        origin = Origin("input", "input", node.shape[:-1])
        column = Column(0, 0, places)
        entry = Entry(
            carrier=None,
            at=np.zeros_like(places),
            cells=places,
            births=places,
            columns=(column,),
            origin=origin,
            vocabulary=len(node.weight),
        )
        carrier = self.builder.collapse([entry], len(places), False, node.label)
        return _fresh(node, carrier, np.repeat(places, node.shape[-1]))

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
        """The paths of both, side by side; as one map where none has met a gate since its carrier.

        Only behind computed gates: a residual stream is then one number a token.
        """
        terms = (*left.terms, *right.terms)
        plain = [term for term in terms if not term.columns and term.mixed is None]
        if not self.joins or len(plain) < 2:
            return Reached(terms, left.width)
        others = [term for term in terms if term.columns or term.mixed is not None]
        return Reached((self._sum(plain, left.width), *others), left.width)

    def _sum(self, terms: list[Term], width: int) -> Term:
        """The sum of terms without gates, as one map."""
        entries, cells, units, own = summed(terms, width)
        carrier = self.builder.collapse(entries, cells, False, "sum")
        origin = Origin("sum", "layer", (width,))
        return Term(origin=origin, births=units, carrier=carrier, units=units, at=own, columns=())

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


def kernel_program(network: Network, patches: bool = True) -> Program:
    """The maps whose last one is the path kernel of `network`, in execution order.

    Parameters
    ----------
    patches
        Let the first convolutions gather whole patches of the input, which is quicker by matrix
        products, instead of sliding a window.
    """
    computed = any(isinstance(node, Computed) for node in network.nodes)
    algebra = _TermAlgebra(patches, computed)
    interpret(network, algebra)
    program = algebra.builder.program()
    return read_in_place(without_dead_blocks(program) if computed else program, network)
