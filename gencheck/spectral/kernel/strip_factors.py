"""The factors of a strip of items, all at once or batch by batch."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from torch import Tensor

from gencheck.network.program import Program
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.overlaps import FLOATS, Ways

# The factors of a group of items, each of shape (blocks, n, …), by map and batch.
StripFactors: TypeAlias = Mapping[tuple[int, int], Tensor]


def strip_factors(
    program: Program, factors: Factors, rows: slice | Tensor, ways: Ways | None = None
) -> StripFactors:
    """The factors of all batches for some items, as the `ways` of their overlaps read them."""
    reader, chosen = factors.reader(rows), ways or {}
    return {
        (m, b): chosen.get((m, b), FLOATS).prepared(reader, batch)
        for m, b, batch in program.batches()
        if batch.columns
    }


class PassingFactors(StripFactors):
    """The factors of one batch at a time, made when they are asked for."""

    def __init__(
        self, program: Program, factors: Factors, rows: slice | Tensor, ways: Ways | None = None
    ) -> None:
        self.reader, self.ways = factors.reader(rows), ways or {}
        self.batches = {(m, b): batch for m, b, batch in program.batches() if batch.columns}
        self.held: tuple[tuple[int, int], Tensor] | None = None

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        if self.held is None or self.held[0] != key:
            self.held = None
            way = self.ways.get(key, FLOATS)
            self.held = (key, way.prepared(self.reader, self.batches[key]))
        return self.held[1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
