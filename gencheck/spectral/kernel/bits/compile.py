"""A program compiled into the table of operations of a `BitPlan`."""

from dataclasses import dataclass

import numpy as np

from gencheck.network.program import Batch, Collapse, Program, Slide
from gencheck.spectral.kernel.bits.plan import (
    BITS,
    COUNTS,
    FILL,
    IN_ORDER,
    NONE,
    POOL,
    SINGLE,
    SLIDE,
    WORDS,
    BitPlan,
    is_binary,
)
from gencheck.spectral.kernel.bits.store import Store, word_number
from gencheck.spectral.kernel.bits.table import COLUMNS, Slots, Table
from gencheck.spectral.kernel.factors import Factors


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
            _slide(table, slots, node=node, target=target, scale=scale, constant=constant)
        else:
            table.add(1.0, constant, kind=FILL, target=target, count=node.cells)
            for batches in _together(node, program, factors):
                carrier = batches[0].carrier
                base = 0 if carrier is None else exponents[carrier]
                gather = _Gather(program, node, batches, target, 2.0 ** (base - own))
                gather.add(table, slots, store)
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
        masks=np.concatenate([np.zeros(1, np.int64), *table.masks]).astype(np.float64),
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
        one_cell = node.cells == 1
        if len(batches) > 1 and apart and (one_cell or _pooling(program, node, batches)):
            alone.append(tuple(batches))
        else:
            alone += [(batch,) for batch in batches]
    return alone


def _pooling(program: Program, node: Collapse, batches: tuple[Batch, ...] | list[Batch]) -> int:
    """The side of the square windows that tile the carrier's grid, 0 where they do not."""
    carrier = batches[0].carrier
    made = None if carrier is None else program.maps[carrier]
    if not isinstance(made, Slide) or made.groups != 1 or len(made.windows.out) != 2:
        return 0
    height, width = made.windows.out
    side = round((height * width / node.cells) ** 0.5)
    if side < 2 or height % side or width % side or node.cells * side**2 != height * width:
        return 0
    for batch in batches:
        y, x = batch.at // width, batch.at % width
        if not np.array_equal(batch.cells, y // side * (width // side) + x // side):
            return 0
    return int(side)


@dataclass(frozen=True)
class _Gather:
    """Some batches of a collapse, to be added into its map."""

    program: Program
    node: Collapse
    batches: tuple[Batch, ...]
    target: int
    scale: float

    def add(self, table: Table, slots: Slots, store: Store) -> None:
        """Add the operations to the table."""
        first = self.batches[0]
        cells = 0 if first.carrier is None else self.program.maps[first.carrier].cells
        source = 0 if first.carrier is None else slots.at[first.carrier]
        if len(self.batches) > 1:
            self._add_by_carrier(table, slots, store, source, cells)
            return
        span = self._span(store)
        if span is not None:
            place = store.place(self.batches, False, span)
            table.add(
                self.scale,
                0.0,
                kind=BITS,
                target=self.target + span[0],
                source=source + int(first.at[0] - first.cells[0]) + span[0],
                count=span[1] - span[0],
                at_mode=IN_ORDER,
                cell_mode=IN_ORDER,
                word=place.word,
                offset=place.offset,
                depth=place.depth,
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
            table.add(self.scale, 0.0, kind=place.kind, **common, **own)
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

    def _add_by_carrier(
        self, table: Table, slots: Slots, store: Store, source: int, cells: int
    ) -> None:
        """One loop over the carrier's cells; then, unless all go to one cell, a pool."""
        place = store.place(self.batches, True)
        pooled = self.node.cells > 1
        into = slots.scratch(cells) if pooled else self.target
        if pooled:
            table.add(1.0, 0.0, kind=FILL, target=into, count=cells)
        table.add(
            self.scale,
            0.0,
            kind=BITS,
            target=into,
            source=source,
            count=cells,
            at_mode=IN_ORDER,
            cell_mode=IN_ORDER if pooled else SINGLE,
            word=place.word,
            offset=place.offset,
            depth=place.depth,
        )
        if pooled:
            made = self.program.maps[self.batches[0].carrier or 0]
            assert isinstance(made, Slide)
            side = _pooling(self.program, self.node, self.batches)
            table.add(
                1.0,
                0.0,
                kind=POOL,
                target=self.target,
                source=into,
                read=made.windows.out[1],
                written=made.windows.out[1] // side,
                outer=made.windows.out[0] // side,
                kernel=side,
            )
            slots.drop_scratch()


def _slide(
    table: Table, slots: Slots, node: Slide, target: int, scale: float, constant: float
) -> None:
    """One operation an axis; the last axis, whose steps are the dearest, after those that shrink."""
    windows = node.windows
    axes = [a for a in range(len(windows.extent)) if _moves(node, a)] or [0]
    extent, source = list(windows.extent), slots.at[node.source]
    for count, axis in enumerate(axes):
        last = count == len(axes) - 1
        extent[axis] = windows.out[axis]
        cells = node.groups * int(np.prod(extent))
        into = target if last else slots.scratch(cells)
        inner = int(np.prod(extent[axis + 1 :]))
        outer = cells // (windows.out[axis] * inner)
        same = windows.stride[axis] == 1 and windows.extent[axis] == windows.out[axis]
        flat = inner == 1 and same
        shifts = [
            tap * windows.dilation[axis] - windows.padding[axis]
            for tap in range(windows.kernel[axis])
        ]
        table.add(
            scale if last else 1.0,
            constant if last else 0.0,
            kind=SLIDE,
            target=into,
            source=source,
            count=cells,
            outer=outer,
            read=windows.extent[axis],
            written=windows.out[axis],
            inner=inner,
            kernel=windows.kernel[axis],
            stride=windows.stride[axis],
            padding=windows.padding[axis],
            dilation=windows.dilation[axis],
            masked=table.mask(outer, windows.out[axis], shifts) if flat else 0,
        )
        source = into
    slots.drop_scratch()


def _moves(node: Slide, axis: int) -> bool:
    windows = node.windows
    same = windows.extent[axis] == windows.out[axis] and windows.stride[axis] == 1
    return not (same and windows.kernel[axis] == 1 and windows.padding[axis] == 0)
