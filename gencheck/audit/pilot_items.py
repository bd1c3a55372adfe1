"""Which items stand for all in a plan, and what grows with their number in which way."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from math import isqrt

import torch

from gencheck.audit.question import Labelled, Question
from gencheck.network.program import Program
from gencheck.progress import SILENT
from gencheck.spectral.kernel.executors import Executor
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.spectral.kernel.strips import Strips, cut
from gencheck.spectral.kernel.tiles import Tile, upper_tiles
from gencheck.spectral.ranks import ALONE

# The tiles that are measured take about so many seconds, of at most so many items.
_TILE_SECONDS, MOST_ITEMS, _LEAST = 2.0, 2048, 64

# Operations a second that a pair is taken to cost before any has been timed.
_NOMINAL = 3e10


def part_of(question: Question, count: int) -> Question:
    """Some of the items at random, sample and reference in proportion."""
    generator = torch.Generator().manual_seed(question.options.seed)
    sizes = _proportion(question, count)
    parts = []
    for part, size in zip((question.sample, question.reference), sizes, strict=True):
        rows = torch.randperm(len(part.items), generator=generator)[:size]
        parts.append(Labelled(part.items[rows], part.targets[rows]))
    return replace(question, sample=parts[0], reference=parts[1], progress=SILENT, ranks=ALONE)


def split(question: Question, count: int) -> Question:
    """The first of the items, sample and reference in proportion."""
    parts = [
        Labelled(part.items[:size], part.targets[:size])
        for part, size in zip(
            (question.sample, question.reference), _proportion(question, count), strict=True
        )
    ]
    return replace(question, sample=parts[0], reference=parts[1], progress=SILENT, ranks=ALONE)


def _proportion(question: Question, count: int) -> tuple[int, int]:
    total, sample = question.count, len(question.sample.items)
    first = min(max(1, round(count * sample / total)), sample)
    return first, min(max(1, count - first), total - sample)


def pilot_items(program: Program, total: int) -> int:
    """So many that tiles can be timed."""
    affordable = isqrt(int(2 * _TILE_SECONDS * _NOMINAL / max(1, program.flops_per_pair)))
    return min(total, max(_LEAST, min(MOST_ITEMS, affordable)))


def gram_items(pair_seconds: float, most: int) -> int:
    """How many items' Gram matrix is formed in the time for it."""
    affordable = isqrt(int(2 * _TILE_SECONDS / max(pair_seconds, 1e-12)))
    return min(most, MOST_ITEMS, max(_LEAST, affordable))


def computed_pairs(work: Executor, count: int) -> float:
    """Pairs that are carried out: those on and above the diagonal, in whole steps where they are."""
    below = 0 if work.name == "bits" else min(work.cuts.step, count) - 1
    return count * (count + 1 + below) / 2


def prepared_items(work: Executor, count: int, kernel: PathKernel) -> int:
    """How many items' factors are made in passing over all tiles, the least recently used dropped."""
    strips = Strips(work, count, kernel.options.kept_bytes or 0)
    strip, kept = strips.cuts.strip, strips.cuts.kept
    number = -(-count // strip)
    if number <= kept:
        return count
    held: OrderedDict[int, None] = OrderedDict()
    made = 0
    for tile in upper_tiles(count, kernel.options.tile):
        for rows in cut(tile.rows, strip):
            for columns in cut(tile.columns, strip):
                for part in (rows, columns):
                    key = part.start // strip
                    made += key not in held
                    held[key] = None
                    held.move_to_end(key)
                    if len(held) > kept:
                        held.popitem(last=False)
    return made * strip


def entries(tiles: Iterable[Tile]) -> int:
    """How many numbers tiles hold, those of the diagonal in whole squares."""
    return sum(rows * columns for rows, columns in (tile.shape for tile in tiles))
