"""What computes the gates that more than one tensor decides: calls of ATen, read as data.

A squeeze-and-excitation's sigmoid, an attention's softmax, a normalisation's 1/std: what leads to
them lies off the path. It is run with torch's own operators from the fixed list in
`gencheck.network.frontend.runnable`, in the run's dtype; nothing in a checkpoint is run.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gencheck.network.frontend.aten import AtenGraph, full_batches, run_batch
from gencheck.network.frontend.runnable import makes_gates


@dataclass(frozen=True, eq=False)
class GateRead:
    """Where the gates of one node stand in a tensor of the program.

    Attributes
    ----------
    name
        Of the value in the program.
    index
        Its flat entries that are the gates of each item of one batch, shape (batch, gates).
    """

    name: str
    index: Tensor

    def of(self, value: Tensor) -> Tensor:
        """The gates of the items of one batch, a copy, shape (batch, gates)."""
        return value.reshape(-1)[self.index.to(value.device)]


@dataclass(frozen=True, eq=False)
class GateProgram:
    """Calls on a batch of items, and which of their values are gates of which nodes.

    Attributes
    ----------
    graph
        Fixed to the batch that `reads` are for.
    reads
        By the position of the node.
    """

    graph: AtenGraph
    reads: dict[int, GateRead]
    _by_name: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[int]] = {}
        for position, read in self.reads.items():
            by_name.setdefault(read.name, []).append(position)
        object.__setattr__(self, "_by_name", by_name)

    def gates(self, items: Tensor) -> dict[int, Tensor]:
        """The gates of each node, shape (N, gates), in the items' dtype.

        Parameters
        ----------
        items
            Shape (N, *input_shape), floating point; whole numbers are rounded back to what they are.
        """
        parts: dict[int, list[Tensor]] = {position: [] for position in self.reads}

        def note(name: str, value: Any) -> None:
            for position in self._by_name.get(name, ()):
                parts[position].append(self.reads[position].of(value).to(items.dtype))

        given = items.long() if self.graph.whole_numbers else items
        assert self.graph.batch is not None
        with torch.no_grad():
            for batch in full_batches(given, self.graph.batch):
                run_batch(self.graph, batch, makes_gates, note, items.dtype)
        return {position: torch.cat(made)[: len(items)] for position, made in parts.items()}
