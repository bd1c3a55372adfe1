"""From a path to a better one: steps are changed within their blocks, one or two at a time."""

import torch
from torch import Tensor

from gencheck.network.program import Collapse, Slide
from gencheck.spectral.beta2.paths import BIAS, Path, PathSpace, Step

# Steps that are changed together are at most so far apart.
_PAIR_REACH = 4

# Alternatives of the first of two steps that are tried at one time.
_PAIR_ENTRIES = 2**22


def random_path(space: PathSpace, generator: torch.Generator) -> Path | None:
    """A path drawn step by step, from the output back; None where it ran into a dead layer."""
    steps: list[Step] = []
    at_map, cell = space.last, 0

    def drawn(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    while True:
        node = space.program.maps[at_map]
        if isinstance(node, Slide):
            reads = [int(p) for p in node.reads[cell] if p >= 0]
            pick = drawn(len(reads) + int(node.bias))
            if pick == len(reads):
                return (*steps, Step(at_map, BIAS, cell, 0))
            at_map, cell = node.source, reads[pick]
            continue
        options = [
            (b, batch, j)
            for b, batch, j in space.blocks(at_map, cell)
            if len(space.columns(at_map, b, j).units)
        ]
        if not options and not node.bias:
            return None
        pick = drawn(len(options) + int(node.bias))
        if pick == len(options):
            return (*steps, Step(at_map, BIAS, cell, 0))
        b, batch, j = options[pick]
        units = space.columns(at_map, b, j).units
        steps.append(Step(at_map, b, j, int(units[drawn(len(units))])))
        if batch.carrier is None:
            return tuple(steps)
        at_map, cell = batch.carrier, int(batch.at[j])


def ascend(space: PathSpace, weights: Tensor, path: Path, seen: set[Path]) -> Path | None:
    """The path after coordinate ascent; None where an earlier ascent has passed the same path."""
    path = tuple(_representative(space, step) for step in path)
    improved = True
    while improved:
        if path in seen:
            return None
        seen.add(path)
        improved = False
        for position, step in enumerate(path):
            if step.batch == BIAS:
                continue
            rest = space.feature(path[:position] + path[position + 1 :]) * weights
            columns = space.columns(step.map, step.batch, step.block)
            values = (rest @ columns.values).abs()
            at = int(values.argmax())
            current = abs(float(rest @ space.column(step)))
            if float(values[at]) > current * (1 + 1e-6):
                changed = Step(step.map, step.batch, step.block, int(columns.units[at]))
                path = (*path[:position], changed, *path[position + 1 :])
                improved = True
    return path


def ascended_in_pairs(
    space: PathSpace, weights: Tensor, path: Path, seen: set[Path]
) -> Path | None:
    """The path after ascent by two steps at a time; None where another such ascent passed it."""
    improved = True
    while improved:
        if path in seen:
            return None
        seen.add(path)
        improved = False
        free = [position for position, step in enumerate(path) if step.batch != BIAS]
        for at, one in enumerate(free):
            for other in free[at + 1 : at + 1 + _PAIR_REACH]:
                changed = _best_pair(space, weights, path, one, other)
                if changed is not None:
                    path, improved = changed, True
    return path


def _best_pair(space: PathSpace, weights: Tensor, path: Path, one: int, other: int) -> Path | None:
    """The path with its best two steps at two positions; None where it has them already."""
    kept = [step for position, step in enumerate(path) if position not in (one, other)]
    rest = space.feature(tuple(kept)) * weights
    first, second = (
        space.columns(step.map, step.batch, step.block) for step in (path[one], path[other])
    )
    own = rest * space.column(path[one])
    best = abs(float(own @ space.column(path[other]))) * (1 + 1e-6)
    found: tuple[int, int] | None = None
    height = max(1, _PAIR_ENTRIES // max(space.count, 1))
    for start in range(0, first.values.shape[1], height):
        part = rest[:, None] * first.values[:, start : start + height]
        values = (part.T @ second.values).abs()
        at = int(values.argmax())
        row, column = divmod(at, values.shape[1])
        if float(values[row, column]) > best:
            best, found = float(values[row, column]), (start + row, column)
    if found is None:
        return None
    changed = list(path)
    for position, columns, column in ((one, first, found[0]), (other, second, found[1])):
        step = path[position]
        changed[position] = Step(step.map, step.batch, step.block, int(columns.units[column]))
    return tuple(changed)


def _representative(space: PathSpace, step: Step) -> Step:
    """The step with the first unit of the block whose column is the same."""
    if step.batch == BIAS:
        return step
    node = space.program.maps[step.map]
    assert isinstance(node, Collapse)
    if node.batches[step.batch].vocabulary:
        return step
    columns = space.columns(step.map, step.batch, step.block)
    own = space.reader.block(node.batches[step.batch], step.block)[:, step.unit]
    at = int((columns.values == own[:, None]).all(0).nonzero()[0, 0])
    return Step(step.map, step.batch, step.block, int(columns.units[at]))
