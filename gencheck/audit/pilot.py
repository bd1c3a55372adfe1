"""A few items carried through every stage of an audit, from which the seconds of all follow.

Each stage's time is a sum of parts that grow in known ways: forward passes and strips of factors with
the items, tiles and products with the pairs. The parts are measured one by one. How many products an
eigenvalue takes is counted on the Gram matrix of the few.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from gencheck.audit.attribution import direction_items
from gencheck.audit.pilot_items import (
    computed_pairs,
    entries,
    gram_items,
    part_of,
    pilot_items,
    prepared_items,
    split,
)
from gencheck.audit.pilot_products import CountedGram, ProductTimes, timed
from gencheck.audit.question import Question
from gencheck.audit.self_check import output_deviation
from gencheck.audit.stages import sup_norms_of
from gencheck.audit.strategies import WholeGram
from gencheck.progress import SILENT
from gencheck.spectral.beta1.energy import coordinate_energy
from gencheck.spectral.kernel.blocks import Blocks, held_blocks
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.executors import Executor
from gencheck.spectral.kernel.formation import EXECUTORS
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel
from gencheck.spectral.kernel.strips import Strips, fill_tile, fill_tiles
from gencheck.spectral.kernel.tiles import Tile, upper_tiles
from gencheck.spectral.permutation import relabel
from gencheck.spectral.ranks import ALONE

# Items of the first look at how long a pair takes.
_LOOK = 32

# Seconds of the search for the largest path, and items that a direction is projected on, at most.
_SEARCH, _DIRECTION = 1.0, 96

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What a plan rests on.

    Attributes
    ----------
    items, gram_items
        Items that went forward, and those of them whose Gram matrix was formed.
    pairs_per_second
        Kernels in full tiles, their factors at hand.
    products
        Products of the Gram matrix that each stage took, and the columns in all of them.
    seconds
        What the plan itself took.
    """

    items: int
    gram_items: int
    pairs_per_second: float
    products: dict[str, tuple[int, int]]
    seconds: float = 0.0


class Pilot:
    """Some of the items, and what they take in every stage.

    Parameters
    ----------
    kernel
        As the run has it: laid out for what it may take.
    share
        The part of all tiles that is this rank's.
    """

    def __init__(self, question: Question, kernel: PathKernel, share: float) -> None:
        self.full, self.share, self.storage = question, share, kernel.options.storage
        self.executor = kernel.executor(question.count, question.options.device)
        options = replace(kernel.options, storage="memory", executor=self.executor)
        self.kernel = replace(kernel, options=options, ranks=ALONE)
        self.program = kernel.program(self.executor)
        self.device = torch.device(question.options.device)
        self.products: dict[str, tuple[int, int]] = {}

    def seconds(self) -> dict[str, float]:
        """Of each stage of the whole run but loading, by the names that `timing` has."""
        found = {"gates": self._gates()}
        found["gram"] = self._gram()
        view = WholeGram(self.question, self.kernel, self.features, self.gram)
        found["beta1"] = self._solving("beta1", view.moments)
        found["beta2"] = self._beta2()
        if self.question.options.certificate is not None:
            found["certificate"] = self._solving(
                "certificate", lambda: view.certified_betas(self.items)
            )
        if self.question.options.permutations:
            found["permutation"] = self._solving("permutation", lambda: view.permutation_test(None))
            found["permutation"] += self._forms()
        if self.question.options.top:
            found["direction"] = self._direction()
        return found

    @property
    def measured(self) -> Measured:
        """What `seconds` rests on."""
        return Measured(
            items=self.chosen.count,
            gram_items=self.gram.count,
            pairs_per_second=1 / self.pair_seconds,
            products=self.products,
        )

    def _gates(self) -> float:
        """The forward passes of some items, after one that finds where everything lies."""
        total = self.full.count
        chosen = part_of(self.full, pilot_items(self.program, total))
        items, entered = self._timed(chosen.entering)
        self.kernel.features(items[:_LOOK])
        features, passed = self._timed(lambda: self.kernel.features(items))
        model, outputs = self.full.model, features.outputs
        _, checked = self._timed(lambda: output_deviation(model, items, outputs))
        self.chosen, self.items = chosen, items
        factors = replace(features.factors, stands_for=total)
        self.features = PathFeatures(factors, features.outputs)
        ratio = total / chosen.count
        return checked + entered * ratio + passed * ratio / self.full.ranks.size

    def _gram(self) -> float:
        """The stage that forms the tiles, or makes ready to; and what a product costs beside itself."""
        ratio = self.full.count / self.chosen.count
        work, made = self._timed(self._work)
        self._narrow_to(gram_items(self._look(work), self.chosen.count))
        work = self._work()
        _, tried = self._timed(lambda: work.calibrate(self.kernel.options.overlaps))
        strips = Strips(work, self.question.count, self.kernel.options.kept_bytes or 0)
        prepared, started = self._warmed(strips)
        tiles = upper_tiles(self.question.count, self.kernel.options.tile)
        like = self.features.factors.items

        def formed() -> Blocks:
            blocks = held_blocks(tiles, [*range(len(tiles))], like)
            wanted = zip(tiles, blocks.values(), strict=True)
            for _ in fill_tiles(work, strips, wanted, SILENT):
                pass
            return blocks

        blocks, filled = self._timed(formed)
        self.gram = CountedGram.over(
            Gram(tiles, blocks, self.question.count, work.exponent, like=like)
        )
        self.pair_seconds = filled / computed_pairs(work, self.question.count)
        every = self.share * (
            self.pair_seconds * computed_pairs(work, self.full.count)
            + prepared * prepared_items(work, self.full.count, self.kernel)
        )
        stage, read = self._stored(every)
        self.times = ProductTimes(
            self.full.count, self.kernel.options.tile, self.share, like=like, read_seconds=read
        )
        return made * ratio + tried + started + stage

    def _work(self) -> Executor:
        options, factors = self.kernel.options, self.features.factors
        return EXECUTORS[self.executor](self.program, factors, options.tile, options.layout_bytes)

    def _look(self, work: Executor) -> float:
        """Seconds of a pair, roughly, once loops are loaded."""
        count = min(_LOOK, self.chosen.count)
        strips, tile = Strips(work, self.chosen.count, 0), Tile(slice(0, count), slice(0, count))
        block = self.features.factors.items.new_empty(tile.shape)

        def look() -> None:
            fill_tile(work, strips, tile, block, SILENT)

        look()
        return self._timed(look)[1] / count**2

    def _narrow_to(self, count: int) -> None:
        """Go on with so many of the items, with sample and reference in proportion."""
        part, rows = split(self.chosen, count), self.chosen
        first, second = len(part.sample.items), len(part.reference.items)
        start = len(rows.sample.items)
        taken = torch.cat([torch.arange(first), torch.arange(start, start + second)])
        self.question, self.items = part, self.items[taken.to(self.items.device)]
        self.features = PathFeatures(
            self.features.factors.taken(taken), self.features.outputs[taken]
        )

    def _warmed(self, strips: Strips) -> tuple[float, float]:
        """Seconds of an item's factors, and of the first tile beyond those of the second."""
        starts = range(0, self.question.count, strips.cuts.strip)
        _, prepared = self._timed(lambda: [strips.of(slice(at, at + 1))[0]() for at in starts])
        tile = Tile(slice(0, 1), slice(0, 1))
        block = self.features.factors.items.new_empty(tile.shape)
        first, second = (
            self._timed(lambda: fill_tile(strips.work, strips, tile, block, SILENT))[1]
            for _ in range(2)
        )
        return prepared / self.question.count, max(0.0, first - second)

    def _stored(self, every: float) -> tuple[float, float]:
        """Seconds of the stage, and of reading all tiles again, where forming them takes `every`."""
        if self.storage == "recompute":
            # the diagonal alone is formed in advance
            side = max(tile.shape[0] for tile in self.gram.tiles if tile.on_diagonal)
            return every * min(1.0, side / self.full.count), every
        if self.storage == "disk":
            written, read = self._on_disk()
            return every + written, read
        return every, 0.0

    def _on_disk(self) -> tuple[float, float]:
        """Seconds to write and to read all of this rank's tiles."""
        folder = self.full.options.cache
        assert folder is not None
        number = max(range(len(self.gram.tiles)), key=lambda n: self.gram.blocks[n].numel())
        tile, block = self.gram.tiles[number], self.gram.blocks[number]
        with TemporaryDirectory(dir=folder if folder.is_dir() else None) as scratch:
            cache = TileCache(Path(scratch), SILENT.report)
            _, written = self._timed(lambda: cache.save(tile, block))
            _, read = self._timed(lambda: cache.read(tile, torch.empty_like(block)))
        every = entries(upper_tiles(self.full.count, self.kernel.options.tile))
        ratio = self.share * every / block.numel()
        return written * ratio, read * ratio

    def _solving(self, stage: str, solve: Callable[[], object]) -> float:
        """A stage of products: as many as for the few items, of all tiles."""
        self.gram.columns.clear()
        self.gram.spent = 0.0
        _, seconds = self._timed(solve)
        products, columns = len(self.gram.columns), sum(self.gram.columns)
        self.products[stage] = (products, columns)
        rest = max(0.0, seconds - self.gram.spent)
        return rest + self.times.of(products, columns)

    def _forms(self) -> float:
        """The quadratic forms of all relabellings."""
        part = split(self.full, self.times.gram.count)
        weights = part.difference.weights()
        permuted = relabel(weights, self.full.options.permutations, seed=0)
        labels = torch.cat([weights[:, None], permuted], 1)
        return self.times.of_forms(part.difference.targets, labels)

    def _beta2(self) -> float:
        """The search, which ends with its budget at the latest; what it reads grows with the items."""
        asked = self.full.options.beta2_budget
        tried = min(asked, _SEARCH)
        options = replace(self.question.options, beta2_budget=tried)
        part = replace(self.question, options=options)
        sup, seconds = self._timed(lambda: sup_norms_of(part, self.kernel, self.features))
        # outputs are dealt out
        shares = min(self.full.ranks.size, len(sup.lower))
        if not sup.exact:
            return (seconds + asked - tried) / shares
        return min(seconds * self.full.count / part.count, max(seconds, asked)) / shares

    def _direction(self) -> float:
        """Pairs of the items that the direction is projected on; what they are makes no difference."""
        items = direction_items(self.kernel.windows, self.full.count)
        most = min(items, self.question.count, _DIRECTION)
        # the first finds where everything lies; the others tell pairs from what is done once
        _, once, whole = (self._projected(count) for count in (2, most // 3, most))
        each = max(0.0, whole - once) / (most**2 - (most // 3) ** 2)
        return whole + each * (items**2 / self.full.ranks.size - most**2)

    def _projected(self, count: int) -> float:
        factors = self.features.factors.taken(torch.arange(max(1, count)))
        products = torch.ones(factors.count, dtype=torch.float64)
        return self._timed(lambda: coordinate_energy(self.kernel, factors, products, 0))[1]

    def _timed(self, call: Callable[[], T]) -> tuple[T, float]:
        """What `call` returns, and the seconds until the device has done it."""
        return timed(call, self.device)
