"""The path features of all paths, block by block, and the largest |v_p| among them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from gencheck.network.program import Program, Slide
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.paths import BIAS, Columns, Path, PathSpace, Step
from gencheck.spectral.kernel.factors import Factors

# Entries of a block of path features that is held at one time.
BLOCK_ENTRIES = 2**23


def restricted(program: Program, factors: Factors, column: Tensor) -> tuple[PathSpace, Tensor]:
    """The paths on the items with a nonzero coefficient, and those coefficients."""
    rows = column.nonzero()[:, 0]
    device = factors.items.device
    return PathSpace(program, factors, rows.to(device)), column[rows].to(device)


def entry(space: PathSpace, weights: Tensor, path: Path) -> float:
    """|v_p| = |Σ_i c_i z_p(x_i)| of one path, in float64."""
    return abs(float(weights.double() @ space.feature(path).double()))


def enumerated(space: PathSpace, weights: Tensor, deadline: Deadline) -> tuple[float, Path, bool]:
    """The largest |v_p| over all paths: the last collapse by GEMM, those before it in blocks.

    False at the end where the deadline came before all paths were seen.
    """
    best = -1.0
    found: Path = ()
    if space.program.maps[space.last].bias:
        found = (Step(space.last, BIAS, 0, 0),)
        best = entry(space, weights, found)
    narrow = weights.to(space.like.dtype)
    for b, batch, j in space.blocks(space.last, 0):
        columns = space.columns(space.last, b, j)
        for features, paths in blocks(space, batch.carrier, int(batch.at[j])):
            if deadline.has_passed():
                return max(best, 0.0), found, False
            values = (features * narrow[:, None]).T @ columns.values
            if values.numel() == 0:
                continue
            at = int(values.abs().argmax())
            row, column = divmod(at, values.shape[1])
            candidate = (
                Step(space.last, b, j, int(columns.units[column])),
                *paths.path(row),
            )
            value = entry(space, weights, candidate)
            if value > best:
                best, found = value, candidate
    return max(best, 0.0), found, True


@dataclass(frozen=True)
class _BlockPaths:
    """Which path each column of a block belongs to, worked out only for the columns asked for."""

    step: Step | None
    columns: Columns | None
    first: int
    before: "_BlockPaths | None"

    def path(self, column: int) -> Path:
        if self.step is None:
            return ()
        if self.columns is None or self.before is None:
            return (self.step,)
        row, unit = divmod(column, self.columns.values.shape[1])
        step = replace(self.step, unit=int(self.columns.units[unit]))
        return (step, *self.before.path(self.first + row))


def blocks(
    space: PathSpace, carrier: int | None, cell: int
) -> Iterator[tuple[Tensor, _BlockPaths]]:
    """The feature columns (n, p) of all paths that reach a carrier's cell, block by block."""
    if carrier is None:
        yield space.ones(), _BlockPaths(None, None, 0, None)
        return
    node = space.program.maps[carrier]
    if node.bias:
        yield space.ones(), _BlockPaths(Step(carrier, BIAS, cell, 0), None, 0, None)
    if isinstance(node, Slide):
        for source in node.reads[cell].tolist():
            if source >= 0:
                yield from blocks(space, node.source, source)
        return
    for b, batch, j in space.blocks(carrier, cell):
        columns = space.columns(carrier, b, j)
        width = max(columns.values.shape[1], 1)
        rows = max(1, BLOCK_ENTRIES // (max(space.count, 1) * width))
        for features, paths in blocks(space, batch.carrier, int(batch.at[j])):
            for start in range(0, features.shape[1], rows):
                part = features[:, start : start + rows]
                product = part[:, :, None] * columns.values[:, None, :]
                label = _BlockPaths(Step(carrier, b, j, 0), columns, start, paths)
                yield product.reshape(space.count, -1), label
