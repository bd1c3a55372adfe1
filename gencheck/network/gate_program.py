"""What computes the gates that more than one tensor decides: calls of ATen, read as data.

A squeeze-and-excitation's sigmoid, an attention's softmax, a normalisation's 1/std: what leads to
them lies off the path. It is run with torch's own operators from the fixed list in
`gencheck.network.frontend.runnable`, in the run's dtype; nothing in a checkpoint is run.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gencheck.network.frontend.aten import AtenGraph, Call, full_batches, run_batch
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


# How far the gates of an item may move with the others of its batch, relative to the largest.
_ROUNDING = 1e-4


def mixing_call(program: GateProgram) -> Call | None:
    """The first call by which an item's gates depend on the other items of its batch, if any does.

    Two batches are run that have one item in common. It is neither the first nor the last where there are
    three, so that what is summed up or moved along the batch is seen too.
    """
    graph = program.graph
    assert graph.batch is not None
    if graph.batch < 2:
        return None
    tables = [graph.constants[c.args[0].name] for c in graph.calls if c.target == _EMBEDDING]
    shape = (2, graph.batch, *graph.input_shape)
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(shape, generator=generator)
    if graph.whole_numbers:
        tokens = min((len(table) for table in tables), default=2)
        items = torch.randint(tokens, shape, generator=generator)
    items[1, 1] = items[0, 1]
    seen: list[dict[str, Any]] = [{}, {}]
    with torch.no_grad():
        for batch, values in zip(items, seen, strict=True):
            run_batch(graph, batch, makes_gates, values.__setitem__, torch.float32)
    first, second = ({n: r.of(v[r.name])[1] for n, r in program.reads.items()} for v in seen)
    if all(_alike(first[node], second[node]) for node in first):
        return None
    # the reason stands where an item's part of a value first differs
    for call in graph.calls:
        one, other = (values[call.name] for values in seen)
        by_item = isinstance(one, Tensor) and one.dim() > 0 and len(one) == graph.batch
        if by_item and not _alike(one[1], other[1]):
            return call
    return graph.calls[-1]


_EMBEDDING = "aten.embedding.default"


def _alike(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    size = float(torch.nan_to_num(one, posinf=0.0, neginf=0.0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=_ROUNDING * size, equal_nan=True)
