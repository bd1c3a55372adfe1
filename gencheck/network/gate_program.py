"""What computes the gates that more than one tensor decides: calls of ATen, read as data.

A squeeze-and-excitation's sigmoid, an attention's softmax, a normalisation's 1/std: what leads to
them lies off the path. It is run with torch's own operators from the fixed list in
`gencheck.network.frontend.runnable`, in the run's dtype; nothing in a checkpoint is run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gencheck.network.frontend.aten import AtenGraph, Call, Ref, full_batches, run_batch
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
    """A call by which an item's gates depend on the other items of its batch, if there is one.

    Batches of drawn items are run, two of which have an item in common. It stands in the middle of one
    pair and at an end of another, so that what is summed, moved or turned along the batch is seen too.
    Models that run on none of the items drawn are not tried.
    """
    graph = program.graph
    assert graph.batch is not None
    if graph.batch < 2:
        return None
    for items in _drawn(graph, 3):
        items[1, 1], items[2, 0] = items[0, 1], items[0, 0]
        try:
            gates = [program.gates(batch.float()) for batch in items]
        except (IndexError, RuntimeError):
            continue
        for other, place in ((1, 1), (2, 0)):
            if any(not _alike(gates[0][n][place], gates[other][n][place]) for n in program.reads):
                return _first_to_differ(program, (items[0], items[other]), place)
        return None
    return None


_EMBEDDING = "aten.embedding.default"


def _drawn(graph: AtenGraph, count: int) -> Iterator[Tensor]:
    """So many batches of items that a model may take, the most varied first."""
    assert graph.batch is not None
    shape = (count, graph.batch, *graph.input_shape)
    generator = torch.Generator().manual_seed(0)
    if graph.whole_numbers:
        tables = [
            c.args[0].name for c in graph.calls if c.target == _EMBEDDING and _looks_up(graph, c)
        ]
        known = min((len(graph.constants[name]) for name in tables), default=2)
        for tokens in (known, 2, 1):
            yield torch.randint(tokens, shape, generator=generator)
        return
    yield torch.randn(shape, generator=generator)
    # some of their numbers may be read as categories
    yield torch.rand(shape, generator=generator)


def _looks_up(graph: AtenGraph, call: Call) -> bool:
    """True where a table of the model's is read at the items themselves."""
    return call.args[0].name in graph.constants and call.args[1] == Ref(graph.input_name)


def _first_to_differ(program: GateProgram, batches: tuple[Tensor, Tensor], place: int) -> Call:
    """The first call whose value differs at the item that two batches have in common."""
    graph = program.graph
    seen: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    with torch.no_grad():
        for batch, values in zip(batches, seen, strict=True):
            run_batch(graph, batch, makes_gates, values.__setitem__, torch.float32)
    for call in graph.calls:
        one, other = (values[call.name] for values in seen)
        by_item = isinstance(one, Tensor) and one.dim() > 0 and len(one) == graph.batch
        if by_item and not _alike(one[place], other[place]):
            return call
    return graph.calls[-1]


def _alike(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    size = float(torch.nan_to_num(one, posinf=0.0, neginf=0.0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=_ROUNDING * size, equal_nan=True)
