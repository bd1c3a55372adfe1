"""What all nodes of a network have."""

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """What all nodes have: the shape of their tensor, a name for messages, the nodes they read."""

    shape: Shape
    label: str
    sources: tuple[int, ...]

    @property
    def operation(self) -> str:
        """The name that it is counted under."""
        return type(self).__name__.lower()

    @property
    def planes(self) -> int:
        """How many planes of gates an item sets."""
        return 0

    @property
    def gates_per_plane(self) -> int:
        """The number of gates of one plane."""
        return prod(self.shape)
