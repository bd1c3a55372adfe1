"""A program compiled into the table of operations of a `BitPlan`."""

from dataclasses import dataclass

import numpy as np

from gencheck.network.program import Batch, Collapse, Program, Slide
from gencheck.network.windows import Windows
from gencheck.spectral.kernel.bits.plan import (
    BITS,
    COUNTS,
    FILL,
    IN_ORDER,
    NONE,
    SINGLE,
    WORDS,
    BitPlan,
    is_binary,
    is_ready,
)
from gencheck.spectral.kernel.bits.slides import add_box, add_slide
from gencheck.spectral.kernel.bits.store import Store, word_number
from gencheck.spectral.kernel.bits.table import COLUMNS, Slots, Table, in_order
from gencheck.spectral.kernel.factors import Factors

# The side of the windows that are pooled: there are loops for no other.
_SIDE = 2


def bit_plan(program: Program, exponents: list[int], factors: Factors) -> BitPlan:
    """The program as a table of operations, at the exponents of its maps."""
    store = Store(program, factors)
    slots = Slots(program)
    table = Table()
    for position, node in enumerate(program.maps):
        own = exponents[position]
        target = slots.take(position, node.cells)
        constant = 2.0**-own if node.bias else 0.0
        if isinstance(node, Slide):
            scale = 2.0 ** (exponents[node.source] - own)
            add_slide(table, slots, node=node, target=target, scale=scale, constant=constant)
        else:
            gathers = []
            for batches in _together(node, program, factors):
                carrier = batches[0].carrier
                base = 0 if carrier is None else exponents[carrier]
                gathers.append(_Gather(program, node, batches, target, 2.0 ** (base - own)))
            _collapse(_Space(table, slots, store), gathers, target, constant)
        slots.release(position)
    whole = np.zeros((len(table.rows), len(COLUMNS)), np.int64)
    for row, columns in enumerate(table.rows):
        for column, value in columns.items():
            whole[row, column] = value
    index = np.concatenate(table.index) if table.index else np.zeros(1, np.int64)
    return BitPlan(
        table=whole,
        numbers=np.array(table.numbers),
        index=index.astype(np.int32),
        scratch=slots.size,
        result=slots.at[len(program.maps) - 1],
        counts=max([1, *(node.cells for node in program.maps), *(p.blocks for p in store.placed)]),
        words=store.words,
        reals=store.reals,
        placed=store.placed,
    )


def _together(node: Collapse, program: Program, factors: Factors) -> list[tuple[Batch, ...]]:
    """The batches of a collapse, those that one loop over the carrier's cells serves as one.

    That is so where their blocks continue different cells and their results go to one cell, or are
    pooled over windows that tile the carrier's grid.
    """
    groups: dict[tuple[int | None, int], list[Batch]] = {}
    alone: list[tuple[Batch, ...]] = []
    pools: tuple[int, ...] | None = None
    for batch in node.batches:
        fits = batch.columns and batch.carrier is not None and is_binary(batch, factors)
        if fits and batch.width <= WORDS[-1]:
            groups.setdefault((batch.carrier, word_number(batch.width)), []).append(batch)
        else:
            alone.append((batch,))
    for (carrier, _), batches in groups.items():
        assert carrier is not None
        at = np.concatenate([batch.at for batch in batches])
        apart = len(np.unique(at)) == len(at)
        grid = _pooling(program, node, batches)
        pooled = grid is not None and grid == (pools or grid)
        if len(batches) > 1 and apart and (node.cells == 1 or pooled):
            alone.append(tuple(batches))
            pools = grid
        else:
            alone += [(batch,) for batch in batches]
    return alone


def _pooling(program: Program, node: Collapse, batches: list[Batch]) -> tuple[int, ...] | None:
    """The carrier's grid where square windows that tile it are pooled, None where they are not."""
    carrier = batches[0].carrier
    made = None if carrier is None else program.maps[carrier]
    if not isinstance(made, Slide) or made.groups != 1 or len(made.windows.out) != 2:
        return None
    height, width = made.windows.out
    if height % _SIDE or width % _SIDE or node.cells * _SIDE**2 != height * width:
        return None
    for batch in batches:
        y, x = batch.at // width, batch.at % width
        if not np.array_equal(batch.cells, y // _SIDE * (width // _SIDE) + x // _SIDE):
            return None
    return made.windows.out


@dataclass(frozen=True)
class _Space:
    """Where operations, maps and factors are put."""

    table: Table
    slots: Slots
    store: Store


def _collapse(space: _Space, gathers: list["_Gather"], target: int, constant: float) -> None:
    """The operations of a collapse; one that reaches all of its cells in order begins the map."""
    table, slots = space.table, space.slots
    cells = gathers[0].node.cells
    pooled = [gather for gather in gathers if gather.pooled_grid]
    if pooled:
        # added up on the grid that they all lie on, and pooled once
        height, width = pooled[0].pooled_grid
        into = slots.scratch(height * width)
        for number, gather in enumerate(pooled):
            gather.add_by_carrier(space, into, 0.0 if number == 0 else None)
        pool = Windows(
            extent=(height, width),
            kernel=(_SIDE, _SIDE),
            stride=(_SIDE, _SIDE),
            padding=(0, 0),
            dilation=(1, 1),
            out=(height // _SIDE, width // _SIDE),
        )
        add_box(table, 1, pool, (0, 1), (1.0, constant), target=target, source=into)
        slots.drop_scratch()
        done = pooled
    else:
        done = [gather for gather in gathers if gather.begins(space.store)][:1]
        for gather in done:
            gather.add(space, constant)
        if not done:
            table.add(1.0, constant, kind=FILL, target=target, count=cells)
    for gather in gathers:
        if gather not in done:
            gather.add(space)


@dataclass(frozen=True, eq=False)
class _Gather:
    """Some batches of a collapse, to be added into its map."""

    program: Program
    node: Collapse
    batches: tuple[Batch, ...]
    target: int
    scale: float

    @property
    def pooled_grid(self) -> tuple[int, ...]:
        """The grid over which several batches are pooled, empty where they are not."""
        made = self.program.maps[self.batches[0].carrier or 0]
        if len(self.batches) == 1 or self.node.cells == 1 or not isinstance(made, Slide):
            return ()
        return made.windows.out

    def begins(self, store: Store) -> bool:
        """True where one loop in order writes every cell of the map."""
        batch = self.batches[0]
        if len(self.batches) > 1 or not batch.columns or is_ready(batch):
            return False
        if batch.carrier is None:
            every = in_order(batch.cells) and batch.blocks == self.node.cells
            return every and not is_binary(batch, store.factors)
        return batch.width <= WORDS[-1] and self._span(store) == (0, self.node.cells)

    def add(self, space: _Space, constant: float | None = None) -> None:
        """Add the operations to the table; with a constant, they begin the map."""
        table, store = space.table, space.store
        first = self.batches[0]
        cells = 0 if first.carrier is None else self.program.maps[first.carrier].cells
        source = 0 if first.carrier is None else space.slots.at[first.carrier]
        begin = {"fresh": 0 if constant is None else 1}
        if len(self.batches) > 1:
            self.add_by_carrier(space, self.target, None)
            return
        span = self._span(store)
        if span is not None:
            place = store.place(self.batches, False, span)
            table.add(
                self.scale,
                constant or 0.0,
                kind=BITS,
                target=self.target + span[0],
                source=source + int(first.at[0] - first.cells[0]) + span[0],
                count=span[1] - span[0],
                at_mode=IN_ORDER,
                cell_mode=IN_ORDER,
                word=place.word,
                offset=place.offset,
                depth=place.depth,
                **begin,
            )
            return
        at_mode, at_index = (NONE, 0) if first.carrier is None else table.mode(first.at, cells)
        cell_mode, cell_index = table.mode(first.cells, self.node.cells)
        common = {
            "target": self.target,
            "source": source,
            "count": first.blocks,
            "at_mode": at_mode,
            "at_index": at_index,
            "cell_mode": cell_mode,
            "cell_index": cell_index,
        }
        if first.columns:
            place = store.place(self.batches, False)
            own = {"word": place.word, "offset": place.offset, "depth": place.depth}
            table.add(self.scale, constant or 0.0, kind=place.kind, **common, **own, **begin)
            return
        table.index.append(first.counts)
        table.indexed += first.blocks
        offset = table.indexed - first.blocks
        table.add(self.scale, 0.0, kind=COUNTS, offset=offset, **common)

    def _span(self, store: Store) -> tuple[int, int] | None:
        """The cells of a batch that only shifts its carrier, as a tap of a depthwise window does."""
        batch = self.batches[0]
        if batch.carrier is None or not batch.columns or not is_binary(batch, store.factors):
            return None
        if batch.blocks < 2 or not bool((np.diff(batch.cells) > 0).all()):
            return None
        shift = batch.at - batch.cells
        first, stop = int(batch.cells[0]), int(batch.cells[-1]) + 1
        dense = 2 * batch.blocks >= stop - first
        return (first, stop) if dense and bool((shift == shift[0]).all()) else None

    def add_by_carrier(self, space: _Space, into: int, constant: float | None) -> None:
        """One loop over the carrier's cells, to the cells that lie there from `into` on or all to one."""
        carrier = self.batches[0].carrier
        assert carrier is not None
        place = space.store.place(self.batches, True)
        space.table.add(
            self.scale,
            constant or 0.0,
            kind=BITS,
            target=into,
            source=space.slots.at[carrier],
            count=self.program.maps[carrier].cells,
            at_mode=IN_ORDER,
            cell_mode=IN_ORDER if self.pooled_grid else SINGLE,
            word=place.word,
            offset=place.offset,
            depth=place.depth,
            fresh=0 if constant is None else 1,
        )
