"""Nodes of transformers and their kin: gates that are computed, centring, parameters, tokens."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from gencheck.network.node import Node
from gencheck.network.windows import Index


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """A parameter in the forward (class token, query): one path a unit, with that weight.

    `value` has the node's shape.
    """

    value: Tensor


@dataclass(frozen=True, eq=False)
class Embed(Node):
    """Lookup in a table of shape (tokens, width): a path from (place, token), 1 where it stands there."""

    weight: Tensor


@dataclass(frozen=True, eq=False)
class Centre(Node):
    """y_u = s_u (x_u − mean of u's group) + t_u: an edge from each unit of a group to each.

    The weight of the edge u′ → u is s_u (δ_uu′ − 1/n); one bias path a unit where t is given.

    Attributes
    ----------
    members
        The flat units of each group, shape (groups, n); every unit is in one group.
    scale, shift
        Broadcast to the item's shape.
    """

    members: Index
    scale: Tensor | None
    shift: Tensor | None

    @cached_property
    def group_of(self) -> Index:
        """The group of each flat unit."""
        groups = np.empty(self.members.size, np.int64)
        groups[self.members] = np.arange(len(self.members))[:, None]
        return groups


@dataclass(frozen=True, eq=False)
class Computed(Node):
    """A node whose gates are computed by a `GateProgram`, from more than the tensor that enters.

    Attributes
    ----------
    gates
        How many gates an item sets here.
    rule
        Why this tensor is the gate, in words.
    """

    gates: int
    rule: str

    @property
    def planes(self) -> int:
        """One."""
        return 1

    @property
    def gates_per_plane(self) -> int:
        """As many as are computed."""
        return self.gates


@dataclass(frozen=True, eq=False)
class Scale(Computed):
    """y_u = x_u · g[index[u]]: squeeze-excite, gated units, 1/std of a normalisation."""

    index: Index


@dataclass(frozen=True, eq=False)
class Attend(Computed):
    """y(g,t,c) = Σ_s A(g,t,s) x(g,s,c): the gate of the edge s → t of head g is A(g,t,s).

    Shapes are (heads, targets, channels) and, of the source, (heads, sources, channels).
    """

    sources_count: int
