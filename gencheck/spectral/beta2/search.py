"""The search for the path with the largest |v_p| where there are too many to enumerate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.network.program import Batch, Collapse, Slide
from gencheck.spectral.beta2.ascent import ascend, ascended_in_pairs, random_path
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.paths import BIAS, Path, PathSpace, Step

BEAM_WIDTH = 64
# Random starts: at least and at most so many, and between them one for so many operations of budget.
FEWEST_STARTS, MOST_STARTS = 64, 4096
_START_FLOPS = 3e7

# From this share of the starts, the best of what they led to, two steps are changed at a time.
_PAIRED_SHARE = 1 / 8

# Blocks of a batch in which beginnings are continued: those of the best cells.
BLOCKS_VISITED = 64

# Entries of features and factors whose products are scored at once.
_SCORED_ENTRIES = 2**22


@dataclass(frozen=True)
class _Kept:
    """Beginnings of paths at the cells of one map, best first.

    Attributes
    ----------
    cells, columns
        The cell of each and the number of its column.
    features
        Columns of path features, shape (n, C).
    paths
        By column.
    """

    cells: list[int]
    columns: list[int]
    features: Tensor
    paths: list[Path]


@dataclass(frozen=True)
class _Candidate:
    score: float
    cell: int
    feature: Tensor
    path: Path


def best_path(
    space: PathSpace,
    weights: Tensor,
    seed: int,
    budget: float = 0.0,
    deadline: Deadline | None = None,
) -> tuple[float, Path]:
    """A path with a large |v_p| = |Σ_i c_i z_p(x_i)|, and that value in float64.

    Beam search forward through the maps, then coordinate ascent (one step of the path is changed at
    a time within its block, all alternatives tried at once) from the beam's best paths and from
    random ones, then the same with two steps at a time from the best of what that found. The result
    is a lower end: some path attains it. A larger `budget`, in operations, gives more random starts;
    past the `deadline` what has been found is returned.
    """
    deadline = deadline or Deadline(math.inf)
    narrow = weights.to(space.like.dtype)
    generator = torch.Generator().manual_seed(seed)
    count = max(FEWEST_STARTS, min(MOST_STARTS, int(budget / _START_FLOPS)))
    tops: list[Path] = []
    seen: set[Path] = set()
    for start in _starts(space, narrow, count, generator, deadline):
        path = ascend(space, narrow, start, seen)
        if path is not None:
            tops.append(path)
        if deadline.has_passed():
            break
    if not tops:
        return 0.0, ()

    def value(path: Path) -> float:
        return abs(float(weights.double() @ space.feature(path).double()))

    tops.sort(key=value, reverse=True)
    paired: set[Path] = set()
    for top in tops[: int(count * _PAIRED_SHARE)]:
        if deadline.has_passed():
            break
        path = ascended_in_pairs(space, narrow, top, paired)
        if path is not None:
            tops.append(path)
    found = max(tops, key=value)
    return value(found), found


def _starts(
    space: PathSpace,
    weights: Tensor,
    count: int,
    generator: torch.Generator,
    deadline: Deadline,
) -> Iterator[Path]:
    """The beam's paths, best first, and `count` random ones."""
    yield from _beam(space, weights, deadline)
    for _ in range(count):
        path = random_path(space, generator)
        if path:
            yield path


def _beam(space: PathSpace, weights: Tensor, deadline: Deadline) -> list[Path]:
    """Complete paths, best first: at each map keep those that could still become largest."""
    kept: list[_Kept] = []
    for m, node in enumerate(space.program.maps):
        if deadline.has_passed():
            return []
        if isinstance(node, Slide):
            kept.append(_slid(space, m, node, kept[node.source]))
        else:
            kept.append(_gathered(space, m, node, kept, weights))
    return kept[space.last].paths


def _slid(space: PathSpace, m: int, node: Slide, before: _Kept) -> _Kept:
    """Each beginning goes on in every window that reads its cell."""
    windows: dict[int, list[int]] = {}
    for cell, reads in enumerate(node.reads.tolist()):
        for source in set(reads) - {-1}:
            windows.setdefault(source, []).append(cell)
    at = [
        (cell, column)
        for source, column in zip(before.cells, before.columns, strict=True)
        for cell in windows.get(source, [])
    ]
    features, paths = before.features, list(before.paths)
    if node.bias:
        at += [(cell, len(paths) + cell) for cell in range(node.cells)]
        features = torch.cat([features, space.ones().expand(-1, node.cells)], 1)
        paths += [(Step(m, BIAS, cell, 0),) for cell in range(node.cells)]
    return _Kept([cell for cell, _ in at], [column for _, column in at], features, paths)


def _gathered(
    space: PathSpace, m: int, node: Collapse, kept: list[_Kept], weights: Tensor
) -> _Kept:
    complete = m == space.last
    chosen: list[_Candidate] = []
    for b, batch in enumerate(node.batches):
        if batch.carrier is None:
            chosen += _started(space, (m, b), batch, weights, complete)
        else:
            chosen += _continued(
                space,
                (m, b),
                batch=batch,
                before=kept[batch.carrier],
                weights=weights,
                complete=complete,
            )
    chosen.sort(key=lambda candidate: -candidate.score)
    chosen = [c for c in chosen[: 4 * BEAM_WIDTH] if c.score > 0]
    features = [c.feature[:, None] for c in chosen]
    cells, paths = [c.cell for c in chosen], [c.path for c in chosen]
    if node.bias:
        features += [space.ones()] * node.cells
        cells += range(node.cells)
        paths += [(Step(m, BIAS, cell, 0),) for cell in range(node.cells)]
    joined = torch.cat(features, 1) if features else space.ones()[:, :0]
    return _Kept(cells, list(range(len(cells))), joined, paths)


def _started(
    space: PathSpace, at: tuple[int, int], batch: Batch, weights: Tensor, complete: bool
) -> list[_Candidate]:
    """The best paths that start in a batch: at an input coordinate, a bias or a constant."""
    if batch.vocabulary:
        return _started_at_tokens(space, at, batch, weights, complete)
    factor = space.reader.batch(batch)
    score = _score(weights, factor, complete)
    # padding has no unit to name
    score[torch.from_numpy(batch.births < 0).to(score.device)] = -1
    made = []
    for place in _top(score.flatten()):
        block, slot = divmod(place, batch.width)
        step = Step(*at, block, int((batch.births[block, :slot] >= 0).sum()))
        found = float(score[block, slot])
        cell = int(batch.cells[block])
        made.append(_Candidate(found, cell, factor[block, :, slot], (step,)))
    return made


def _started_at_tokens(
    space: PathSpace, at: tuple[int, int], batch: Batch, weights: Tensor, complete: bool
) -> list[_Candidate]:
    """The best paths that start at a token of a place."""
    made = []
    for block in range(batch.blocks):
        columns = space.columns(*at, block)
        score = _score(weights, columns.values[None], complete)[0]
        for place in _top(score):
            step = Step(*at, block, int(columns.units[place]))
            made.append(
                _Candidate(
                    float(score[place]), int(batch.cells[block]), columns.values[:, place], (step,)
                )
            )
    return made


def _continued(
    space: PathSpace,
    at: tuple[int, int],
    batch: Batch,
    before: _Kept,
    weights: Tensor,
    complete: bool,
) -> list[_Candidate]:
    """The best of what the beginnings become in a batch, from the best cells on."""
    visited = _by_block(batch, before)[:BLOCKS_VISITED]
    made: list[_Candidate] = []
    most = max((len(columns) for _, columns in visited), default=0)
    step = max(1, _SCORED_ENTRIES // (len(weights) * (most + batch.width)))
    for start in range(0, len(visited), step):
        blocks, columns = zip(*visited[start : start + step], strict=True)
        # shape (blocks, n, beginnings), each row filled up with its first beginning
        filled = torch.tensor([own + own[:1] * (most - len(own)) for own in columns])
        base = before.features[:, filled.to(before.features.device)].transpose(0, 1)
        factor = space.reader.blocks(batch, list(blocks))
        score = _score(weights[:, None] * base, factor, complete)
        live = batch.births[list(blocks)] >= 0
        own = np.arange(most) < np.array([len(own) for own in columns])[:, None]
        score[torch.from_numpy(~(own[:, :, None] & live[:, None])).to(score.device)] = -1
        best = score.flatten().topk(min(BEAM_WIDTH, score.numel()))
        numbers, rows, slots = np.unravel_index(best.indices.cpu().numpy(), tuple(score.shape))
        features = base[numbers, :, rows] * factor[numbers, :, slots]
        units = live.cumsum(1)[numbers, slots] - 1
        for place, found in enumerate(best.values.tolist()):
            if found < 0:
                break
            block, path = blocks[numbers[place]], before.paths[columns[numbers[place]][rows[place]]]
            path = (Step(*at, block, int(units[place])), *path)
            made.append(_Candidate(found, int(batch.cells[block]), features[place], path))
    made.sort(key=lambda candidate: -candidate.score)
    return made[:BEAM_WIDTH]


def _top(scores: Tensor) -> list[int]:
    found: list[int] = scores.topk(min(BEAM_WIDTH, len(scores))).indices.tolist()
    return found


def _by_block(batch: Batch, before: _Kept) -> list[tuple[int, list[int]]]:
    """For each block whose carrier's cell has beginnings, their columns; the best cells first."""
    columns: dict[int, list[int]] = {}
    for cell, column in zip(before.cells, before.columns, strict=True):
        if len(columns.setdefault(cell, [])) < BEAM_WIDTH:
            columns[cell].append(column)
    return [(block, columns[cell]) for cell in columns for block in batch.after.get(cell, [])]


def _score(weighted: Tensor, factor: Tensor, complete: bool) -> Tensor:
    """|v_p| of complete paths; of partial ones the most that a continuation could reach.

    Parameters
    ----------
    weighted
        Shape (n,) or (blocks, n, r): weights, times the features so far.
    factor
        Shape (blocks, n, width).

    Returns
    -------
    Tensor
        Shape (blocks, width) or (blocks, r, width).
    """

    def product(left: Tensor, right: Tensor) -> Tensor:
        return torch.matmul(left.mT if left.ndim == 3 else left, right)

    if complete:
        return product(weighted, factor).abs()
    up, down = weighted.clamp(min=0), (-weighted).clamp(min=0)
    if not bool((factor < 0).any()):
        return torch.maximum(product(up, factor), product(down, factor))
    plus, minus = factor.clamp(min=0), (-factor).clamp(min=0)
    return torch.maximum(
        product(up, plus) + product(down, minus), product(down, plus) + product(up, minus)
    )
