"""The program of the path kernel carried out: on all pairs of two groups of items, or on i = j."""

from collections import Counter
from copy import copy
from functools import partial
from math import prod

import torch
from torch import Tensor

from gencheck.network.program import Batch, Collapse, Map, Program, Slide
from gencheck.spectral.kernel.collapse import CollapseStep, add_counts, layout_of
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.narrow import NarrowLoops
from gencheck.spectral.kernel.pairs import Overlaps, Pairs, Singles
from gencheck.spectral.kernel.slide import axis_order, sum_axis
from gencheck.spectral.kernel.strip_factors import PassingFactors
from gencheck.spectral.kernel.threads import side_by_side

# Bytes of overlaps that are formed at one time: they are used up while they are in a cache.
OVERLAP_BYTES = 2**21

# Carriers whose self-products stay within these powers of two need no scaling.
_SAFE_EXPONENT = 40


class Kernel:
    """Carries out a program, with buffers that are allocated once.

    Fresh memory for each intermediate would be handed out page by page, which costs more than the
    arithmetic.
    """

    def __init__(
        self,
        program: Program,
        exponents: list[int] | None = None,
        narrow: NarrowLoops | None = None,
    ) -> None:
        self.program = program
        self.exponents = exponents
        self.narrow = narrow
        self.found: list[int] = []
        self.layouts = {
            (m, b): layout_of(batch, program.maps[m].cells) for m, b, batch in program.batches()
        }
        self.readers = Counter(source for made in program.maps for source in made.sources)
        self.free: list[Tensor] = []

    def beside(self) -> "Kernel":
        """The same with buffers of its own, for another thread."""
        other = copy(self)
        other.found, other.free = [], []
        return other

    def run(self, overlaps: Overlaps, out: Tensor | None = None) -> Tensor:
        """The last map, of shape `overlaps.shape`, as ``2**exponent`` times what is returned.

        Where no exponents are known yet, those that bring the largest entry of each map near 1 are
        left in `found`.
        """
        made: dict[int, Tensor] = {}
        waiting = Counter(self.readers)
        self.found = []
        last = len(self.program.maps) - 1
        for position, node in enumerate(self.program.maps):
            shape = (node.cells, *overlaps.shape)
            whole = out.view(shape) if position == last and out is not None else None
            value = self._take(shape, overlaps.like) if whole is None else whole
            if isinstance(node, Collapse):
                self._collapse(position, node, made, overlaps, value)
            else:
                self._slide(position, node, made[node.source], value)
            made[position] = value
            if self.exponents is None:
                self._normalise(value)
            for source in node.sources:
                waiting[source] -= 1
                if waiting[source] == 0:
                    self.free.append(made.pop(source))
        return made[last].reshape(overlaps.shape)

    def _take(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory for a map, the smallest that is free and large enough."""
        needed = prod(shape) * like.itemsize
        sizes = [tensor.untyped_storage().nbytes() for tensor in self.free]
        fitting = [at for at, size in enumerate(sizes) if size >= needed]
        if not fitting:
            return like.new_empty(shape)
        storage = self.free.pop(min(fitting, key=sizes.__getitem__)).untyped_storage()
        strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
        view: Tensor = like.new_empty(0).set_(storage, 0, shape, strides)
        return view

    def _scales(self, position: int, node: Map) -> tuple[dict[int | None, float], float]:
        """What the entries of each source, and a 1, are multiplied by at this map's exponent."""
        known = self.found if self.exponents is None else self.exponents
        bases: dict[int | None, int] = {source: known[source] for source in node.sources}
        if node.bias or len(node.sources) < len(getattr(node, "batches", [0])):
            bases[None] = 0
        if self.exponents is None:
            self.found.append(max(bases.values(), default=0))
        own = known[position]
        return {source: 2.0 ** (base - own) for source, base in bases.items()}, 2.0**-own

    def _normalise(self, value: Tensor) -> None:
        """Bring the largest entry near 1, and remember by which power of two."""
        shift = int(torch.frexp(value.max().double().cpu()).exponent)
        value.mul_(2.0**-shift)
        self.found[-1] += shift

    def _collapse(
        self,
        position: int,
        node: Collapse,
        made: dict[int, Tensor],
        overlaps: Overlaps,
        out: Tensor,
    ) -> None:
        """out(cell) = Σ_blocks carrier(at) ⊙ overlap + bias, at this map's exponent."""
        scales, one = self._scales(position, node)
        bias = one if node.bias else 0.0
        written = False
        for b, batch in enumerate(node.batches):
            key, layout = (position, b), self.layouts[position, b]
            narrow = self._is_narrow(key, batch, made, overlaps, out)
            starts = layout.starts_cells(batch)
            if narrow:
                assert self.narrow is not None
                starts = self.narrow.covers(key, node.cells)
            if not written and not starts:
                out.fill_(bias)
                written = True
            carrier = None if batch.carrier is None else made[batch.carrier]
            scale = scales[batch.carrier] * batch.repeat
            step = CollapseStep(key, batch, layout, carrier, scale)
            before = None if written else bias
            if narrow:
                self._add_narrow(step, overlaps, out, before)
            elif batch.columns:
                self._add_overlaps(step, overlaps, out, before)
            else:
                add_counts(step, out, before)
            written = True
        if not written:
            out.fill_(bias)

    def _is_narrow(
        self,
        key: tuple[int, int],
        batch: Batch,
        made: dict[int, Tensor],
        overlaps: Overlaps,
        out: Tensor,
    ) -> bool:
        if self.narrow is None or batch.carrier is None or not isinstance(overlaps, Pairs):
            return False
        return self.narrow.suits(key, made[batch.carrier], out)

    def _add_narrow(
        self, step: CollapseStep, overlaps: Overlaps, out: Tensor, before: float | None
    ) -> None:
        """Overlap, product and sum in one pass."""
        assert isinstance(overlaps, Pairs)
        assert self.narrow is not None
        assert step.carrier is not None
        left = overlaps.left[step.key][:, overlaps.rows]
        right = overlaps.right[step.key][:, overlaps.columns]
        self.narrow.add(
            step.key,
            (left, right),
            scale=step.scale,
            carrier=step.carrier,
            before=before,
            out=out,
        )

    def _add_overlaps(
        self, step: CollapseStep, overlaps: Overlaps, out: Tensor, constant: float | None
    ) -> None:
        """Chunk by chunk of blocks; with a `constant`, `out` is fresh and starts from it."""
        each = prod(overlaps.shape) * out.itemsize
        stride = step.chunk(max(1, OVERLAP_BYTES // each))
        direct = step.carrier is None and constant is not None
        for first in range(0, step.batch.blocks, stride):
            stop = min(first + stride, step.batch.blocks)
            if direct:
                # the blocks' cells are all cells in order: the product is the result
                part = out[first:stop]
                overlaps.into(step.key, first, stop, part, bool(step.batch.vocabulary))
                if step.scale != 1:
                    part.mul_(step.scale)
                if constant:
                    part.add_(constant)
                continue
            part = self._take((stop - first, *overlaps.shape), overlaps.like)
            overlaps.into(step.key, first, stop, part, bool(step.batch.vocabulary))
            step.add(first, stop, part, out, constant)
            self.free.append(part)

    def _slide(self, position: int, node: Slide, source: Tensor, out: Tensor) -> None:
        """A box filter, axis by axis, the last axis into `out`."""
        scales, one = self._scales(position, node)
        windows = node.windows
        pair = source.shape[1:]
        value = source.view(node.groups, *windows.extent, *pair)
        order = axis_order(node)
        extent = list(windows.extent)
        for count, axis in enumerate(order):
            extent[axis] = windows.out[axis]
            shape = (node.groups, *extent, *pair)
            final = count == len(order) - 1
            target = out.view(shape) if final else self._take(shape, source)
            scale = scales[node.source] if final else 1.0
            sum_axis(
                value,
                target,
                node=node,
                axis=axis,
                scale=scale,
                constant=one if final and node.bias else 0.0,
            )
            if count:
                self.free.append(value)
            value = target


def map_exponents(program: Program, factors: Factors, strip: int) -> list[int]:
    """A power of two for each map that brings its largest self-product max_i a(i,i) near 1.

    By Cauchy-Schwarz |a(i,j)| ≤ max_i a(i,i), so no entry overflows after the scaling. All zero
    (no scaling, integers stay integers) where the self-products stay within 2^±40.
    """
    kernel = Kernel(program)
    wide = factors.items.new_empty(0, dtype=torch.float64)

    def of_strip(start: int) -> list[int]:
        rows = slice(start, min(start + strip, factors.count))
        own, found = PassingFactors(program, factors, rows), kernel.beside()
        found.run(Singles(own, (rows.stop - rows.start,), wide))
        return found.found

    calls = (partial(of_strip, start) for start in range(0, factors.count, strip))
    found = side_by_side(calls) if wide.device.type == "cpu" else (call() for call in calls)
    largest = [max(exponents) for exponents in zip(*found, strict=True)]
    return [0] * len(largest) if all(abs(e) <= _SAFE_EXPONENT for e in largest) else largest
