"""The path kernel between two groups of items, without the rest of the Gram matrix."""

from dataclasses import replace

import torch
from torch import Tensor

from gencheck.network.program import Program
from gencheck.spectral.kernel.cuts import FACTOR_BYTES, matrix_cuts
from gencheck.spectral.kernel.evaluate import Kernel, map_exponents
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.pairs import Pairs, Singles
from gencheck.spectral.kernel.strip_factors import PassingFactors, StripFactors, strip_factors

# Items whose kernels are formed at one time, at most.
_TILE = 1024


class CrossKernel:
    """Kernels between any items, in float64 whatever the run's dtype.

    In float64 a difference of kernels, such as a projection's residual, keeps its digits.

    Attributes
    ----------
    exponent
        The power of two left out.
    """

    def __init__(
        self, program: Program, factors: Factors, factor_bytes: int = FACTOR_BYTES
    ) -> None:
        self.program = program
        self.factors = replace(factors, items=factors.items.double(), placed={})
        copied = factors.items.dtype != torch.float64
        self.cuts = matrix_cuts(program, torch.float64, _TILE, factor_bytes, copied=copied)
        exponents = map_exponents(program, self.factors, self.cuts.strip)
        self._kernel = Kernel(program, exponents)
        self.exponent = exponents[-1]

    def _prepared(self, rows: Tensor | slice) -> StripFactors:
        make = PassingFactors if self.cuts.passing else strip_factors
        return make(self.program, self.factors, rows)

    def between(self, rows: Tensor, columns: Tensor) -> Tensor:
        """``2**-exponent`` K(i, j) for i in `rows` and j in `columns`, shape (rows, columns)."""
        out = self.factors.items.new_empty((len(rows), len(columns)))
        strip, step = self.cuts.strip, self.cuts.step
        for top, own in zip(range(0, len(rows), strip), rows.split(strip), strict=True):
            left = self._prepared(own)
            for at, others in zip(range(0, len(columns), strip), columns.split(strip), strict=True):
                right = self._prepared(others)
                for i in range(0, len(own), step):
                    for j in range(0, len(others), step):
                        down = slice(i, min(i + step, len(own)))
                        across = slice(j, min(j + step, len(others)))
                        # contiguous: maps are written as if they were the whole of their memory
                        part = out.new_empty((down.stop - i, across.stop - j))
                        self._kernel.run(Pairs(left, right, down, across, part), part)
                        out[top + i : top + down.stop, at + j : at + across.stop] = part
        return out

    def diagonal(self) -> Tensor:
        """``2**-exponent`` K(i, i) of all items, shape (N,)."""
        out = self.factors.items.new_empty(self.factors.count)
        for start in range(0, len(out), self.cuts.strip):
            rows = slice(start, min(start + self.cuts.strip, len(out)))
            own = PassingFactors(self.program, self.factors, rows)
            out[rows] = self._kernel.run(Singles(own, (rows.stop - rows.start,), out))
        return out
