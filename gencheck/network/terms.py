"""The path kernel's algebra, carried out on symbols: which overlaps to multiply and add.

The paths that reach a tensor form a short list of terms. In one term, the pairwise path sum of unit
c is a *carrier* (a number for each pair of items, the same for all units) times σ_c(x) σ_c(x′), with
σ the product of the gates since the carrier. A dense layer gathers all units of all terms into one
new carrier, since every one of its units continues every path:

    a′(x, x′) = Σ_terms a(x, x′) ⟨σ(x), σ(x′)⟩ + [bias]

So a network becomes a list of such gatherings, the last of which is the kernel itself. The same
list read with explicit columns of features in place of carriers enumerates the paths.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from gencheck.network.interpret import interpret
from gencheck.network.ir import Affine, Dense, Gate, Input, Network, Reshape


@dataclass(frozen=True)
class Term:
    """Paths that reach each of `width` units with one carrier.

    Attributes
    ----------
    carrier
        The position of the `Gathering` that they come from, or None for the carrier 1 (paths that
        start at an input coordinate or at a bias and have met no dense layer since).
    gates
        The positions of the gate nodes passed since then, whose product is σ.
    from_input
        True where the paths start at the input: unit c contributes x_c as well.
    width
        The number of units.
    """

    carrier: int | None
    gates: tuple[int, ...]
    from_input: bool
    width: int


@dataclass(frozen=True)
class Gathering:
    """What the units of one dense layer share: the paths of all terms, and a bias path or not."""

    terms: tuple[Term, ...]
    bias: bool
    label: str


Terms: TypeAlias = tuple[Term, ...]


class _TermAlgebra:
    """Values are tuples of terms; gatherings are collected on the way."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        self.widths = widths
        self.gatherings: list[Gathering] = []

    def input(self, node: Input) -> Terms:
        """The input's coordinates, with no gate yet."""
        return (Term(None, (), True, self.widths[0]),)

    def dense(self, node: Dense, value: Terms) -> Terms:
        """All terms gathered; the new units differ only in weights, which the kernel leaves out."""
        self.gatherings.append(Gathering(value, node.bias is not None, node.label))
        return (Term(len(self.gatherings) - 1, (), False, int(node.weight.shape[0])),)

    def affine(self, node: Affine, value: Terms) -> Terms:
        """The same paths, and one bias path a unit."""
        return (*value, Term(None, (), False, int(node.scale.shape[0])))

    def gate(self, position: int, node: Gate, value: Terms) -> Terms:
        """Each term passes this gate too."""
        return tuple(replace(term, gates=(*term.gates, position)) for term in value)

    def add(self, left: Terms, right: Terms) -> Terms:
        """The paths of both, side by side."""
        return (*left, *right)

    def reshape(self, node: Reshape, value: Terms) -> Terms:
        """Units are counted flat."""
        return value


def gatherings(network: Network) -> tuple[Gathering, ...]:
    """The gatherings of `network` in execution order; the last one is its path kernel."""
    algebra = _TermAlgebra(network.widths)
    interpret(network, algebra)
    return tuple(algebra.gatherings)
