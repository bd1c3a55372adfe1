"""Two ways to carry out a program on pairs of items: matrix products, and counting bits.

An executor says how it wants the items cut, prepares strips of them, and fills blocks of the kernel.
"""

from contextlib import nullcontext
from functools import cached_property
from threading import local
from typing import Any, Protocol

import torch
from torch import Tensor

from gencheck.network.program import Program
from gencheck.spectral.kernel.bits.compile import bit_plan
from gencheck.spectral.kernel.bits.engine import BitKernel, PackedItems, packed_items
from gencheck.spectral.kernel.calibrate import (
    Calibration,
    OverlapChoice,
    compiled_loops_are_there,
)
from gencheck.spectral.kernel.cuts import Cuts, bit_cuts, matrix_cuts
from gencheck.spectral.kernel.evaluate import Kernel, map_exponents
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.fused import FusedFactors, FusedPass, is_one_cell_wide
from gencheck.spectral.kernel.narrow import NarrowLoops, narrow_batches, narrow_pays
from gencheck.spectral.kernel.pairs import Pairs
from gencheck.spectral.kernel.strip_factors import PassingFactors, StripFactors, strip_factors
from gencheck.spectral.kernel.threads import one_thread

# Blocks on the diagonal are cut down to so many rows: both triangles of what is left are formed.
_LEAST_HALF = 64

# The work, in floating-point operations, below which loading compiled loops takes longer.
_PAYING_FLOPS = 2e11

# The same for counted bits, which take a tenth of the time of products: about what compiling takes once.
_COUNTING_FLOPS = 4e10

# The work below which trying the ways that need no loading takes longer.
_TRYING_FLOPS = 5e9


class Executor(Protocol):
    """What `gram_matrix` needs."""

    @property
    def name(self) -> str:
        """Its name in records."""
        ...

    @property
    def cuts(self) -> Cuts:
        """How the items are to be cut."""
        ...

    @property
    def settings(self) -> str:
        """What decides how its sums are split, for the identity of stored tiles."""
        ...

    @property
    def exponent(self) -> int:
        """The power of two left out of what `fill` writes."""
        ...

    @property
    def side_by_side(self) -> bool:
        """True where several threads may fill blocks at one time, each by itself."""
        ...

    def calibrate(self, asked: str) -> tuple[OverlapChoice, ...]:
        """Take the quickest way to form overlaps, or the one `asked` for; says which and why."""
        ...

    def prepared(self, rows: slice) -> Any:
        """The factors of some items."""
        ...

    def fill(
        self, left: Any, rows: slice, right: Any, columns: slice, same: bool, out: Tensor
    ) -> None:
        """Write the kernel between `rows` of one strip and `columns` of another into `out`.

        With `same`, the two are the same items.
        """
        ...


class MatrixExecutor:
    """Batched matrix products in torch, on any device and for any gates."""

    name = "matrix"

    def __init__(self, program: Program, factors: Factors, tile: int, factor_bytes: int) -> None:
        self.program, self.factors = program, factors
        self.cuts = matrix_cuts(program, factors.items.dtype, tile, factor_bytes)
        # factors that are made in passing are there for one step alone
        self.side_by_side = factors.items.device.type == "cpu" and not self.cuts.passing
        if self.side_by_side:
            # several steps a tile, for where tiles are formed one by one
            self.cuts = self.cuts.parted(tile)
        exponents = map_exponents(program, factors, self.cuts.strip)
        pays_loops = factors.items.device.type == "cpu" and narrow_pays(
            program, factors.decisive_count
        )
        narrow = NarrowLoops(program) if pays_loops and compiled_loops_are_there() else None
        self._kernel, self._beside = Kernel(program, exponents, narrow), local()
        self._calibration = Calibration(program, factors, narrow_batches(program) if narrow else ())
        self._fused = self._one_pass(exponents)
        # sums are split otherwise by the loops: their tiles are others
        loops = (" loops" if narrow else "") + (" fused" if self._fused else "")
        self.settings = f"{self.name} {self.cuts.step}/{_LEAST_HALF}{loops}"

    def _one_pass(self, exponents: list[int]) -> FusedPass | None:
        """Loops for maps of one cell, where they are there and worth being loaded."""
        items, program = self.factors.items, self.program
        plain = items.device.type == "cpu" and items.dtype == torch.float32
        long = pays(program.flops_per_pair, self.factors.decisive_count) and not self.cuts.passing
        if plain and long and is_one_cell_wide(program) and compiled_loops_are_there():
            return FusedPass(program, exponents, self._calibration.ways)
        return None

    def calibrate(self, asked: str) -> tuple[OverlapChoice, ...]:
        """Try the ways of each layer where the work is long; whichever is taken, the bits stay."""
        count, each = self.factors.decisive_count, self.program.flops_per_pair
        if asked == "auto" and each * count * (count + 1) / 2 < _TRYING_FLOPS:
            return ()
        # as they will be formed
        with one_thread() if self.side_by_side else nullcontext():
            return self._calibration.choose(asked, compiling=pays(each, count))

    @property
    def exponent(self) -> int:
        """The power of two left out."""
        assert self._kernel.exponents is not None
        return self._kernel.exponents[-1]

    def prepared(self, rows: slice) -> StripFactors | FusedFactors:
        """The factors of all batches, or what makes them in passing."""
        make = PassingFactors if self.cuts.passing else strip_factors
        made = make(self.program, self.factors, rows, self._calibration.ways)
        return made if self._fused is None else self._fused.prepared(made)

    def fill(
        self, left: Any, rows: slice, right: Any, columns: slice, same: bool, out: Tensor
    ) -> None:
        """One pass over the program; a block on the diagonal by its upper triangle, cut fine."""
        if self._fused is not None:
            self._fused.fill(left, rows, right, columns, out)
            return
        half = len(out) // 2
        if same and half >= _LEAST_HALF:
            above, below = (
                slice(rows.start, rows.start + half),
                slice(rows.start + half, rows.stop),
            )
            for part, own in ((above, out[:half, :half]), (below, out[half:, half:])):
                self.fill(left, part, right, part, same=True, out=own)
            self.fill(left, above, right, below, same=False, out=out[:half, half:])
            out[half:, :half].copy_(out[:half, half:].T)
            return
        ways = self._calibration.ways
        pairs = Pairs(left, right, rows=rows, columns=columns, like=out, ways=ways)
        self._own_kernel().run(pairs, out)

    def _own_kernel(self) -> Kernel:
        """That of the calling thread: its buffers are no other's."""
        kept = self._beside.__dict__
        if "kernel" not in kept:
            kept["kernel"] = self._kernel.beside()
        own: Kernel = kept["kernel"]
        return own


class BitExecutor:
    """Compiled loops that count shared bits, on the CPU, for gates of 0 and 1."""

    name, side_by_side = "bits", True

    def __init__(self, program: Program, factors: Factors, tile: int, factor_bytes: int) -> None:
        self.factors = factors
        self.cuts = bit_cuts(program, factors.items.dtype, tile, factor_bytes)
        self.settings = f"{self.name} {self.cuts.step}"
        exponents = map_exponents(program, factors, self.cuts.strip)
        self.exponent = exponents[-1]
        self.plan = bit_plan(program, exponents, factors)

    @cached_property
    def _kernel(self) -> BitKernel:
        return BitKernel(self.plan, self.factors.items.dtype)

    def calibrate(self, asked: str) -> tuple[OverlapChoice, ...]:
        """There is one way."""
        return ()

    def prepared(self, rows: slice) -> PackedItems:
        """Words and real factors."""
        return packed_items(self.plan, self.factors, rows)

    def fill(
        self,
        left: PackedItems,
        rows: slice,
        right: PackedItems,
        columns: slice,
        same: bool,
        out: Tensor,
    ) -> None:
        """Pair by pair, one triangle of a block on the diagonal."""
        self._kernel.fill(left.rows(rows), right.rows(columns), same, out)


def pays(flops_per_pair: float, items: int) -> bool:
    """True where the work is long enough for compiled loops to be loaded, and ways to be tried."""
    return _work(flops_per_pair, items) >= _PAYING_FLOPS


def counting_pays(flops_per_pair: float, items: int) -> bool:
    """True where matrix products would take longer than loops that count bits take to be compiled."""
    return _work(flops_per_pair, items) >= _COUNTING_FLOPS


def _work(flops_per_pair: float, items: int) -> float:
    return flops_per_pair * items * (items + 1) / 2
