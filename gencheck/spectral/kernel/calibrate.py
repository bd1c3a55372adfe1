"""The quickest way to form each batch's overlaps, found by trying on the run's own items."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import torch

from gencheck.network.program import Batch, Program
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.overlaps import (
    CountedBits,
    FloatLevels,
    FloatProducts,
    Int8Levels,
    Int8Products,
    Levels,
    Way,
    has_int8_products,
    has_int8_units,
    levels_of,
)

# Items on either side of a trial, and of the first one, which tells what is not worth the second.
_TRIAL, _FIRST = 512, 64

# What is slower than this many times the quickest in the first trial is not tried again.
_HOPELESS = 4.0

# Batches with a smaller share of the operations are not worth a trial.
_SHARE = 0.02

# Blocks that are multiplied one by one, at most.
_SINGLE_BLOCKS = 8


@dataclass(frozen=True)
class OverlapChoice:
    """How one layer's overlaps are formed, and why.

    Attributes
    ----------
    seconds
        What a trial took, by way; empty where there was none.
    """

    layer: str
    way: str
    reason: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def compiled_loops_are_there() -> bool:
    """True where numba is installed, and with it a NumPy that it works with."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True


class Calibration:
    """The ways of each batch of a program, and the one that is taken.

    The first way of each is that of floats, which is taken until `choose` is called. Whichever is
    taken, the bits of an overlap are the same.

    Parameters
    ----------
    apart
        Batches that are not formed as overlaps of their own: loops read their factors as floats.

    Attributes
    ----------
    ways
        The way taken, by the positions of map and batch; floats as they are where there is none.
    """

    def __init__(
        self, program: Program, factors: Factors, apart: Collection[tuple[int, int]] = ()
    ) -> None:
        self.program, self.factors, self.apart = program, factors, apart
        self.levels = _levels(program, factors)
        self.ways: dict[tuple[int, int], Way] = {}
        if self.levels is not None:
            for m, b, batch in program.batches():
                if _of_coordinates(batch) and (m, b) not in apart:
                    self.ways[m, b] = FloatLevels(self.levels)

    def choose(self, asked: str = "auto", compiling: bool = True) -> tuple[OverlapChoice, ...]:
        """Take the quickest way of every batch, or the one `asked` for where a batch has it.

        Without `compiling`, ways that load compiled loops are not tried.
        """
        total = self.program.flops_per_pair
        made = []
        for m, b, batch in self.program.batches():
            share = 2 * int(batch.counts.sum()) / total if batch.columns else 0.0
            if (m, b) in self.apart or (share < _SHARE and asked == "auto"):
                continue
            found = self._ways(batch, compiling or asked != "auto")
            ways = {way.name: way for way in found}
            choice = self._choice(self.program.maps[m].label, batch, ways, asked)
            if choice is not None:
                self.ways[m, b] = ways[choice.way]
                made.append(choice)
        return tuple(made)

    def _choice(
        self, label: str, batch: Batch, ways: dict[str, Way], asked: str
    ) -> OverlapChoice | None:
        if asked in ways:
            return OverlapChoice(label, asked, "asked for")
        if asked != "auto" or not ways:
            return None
        if len(ways) == 1:
            return OverlapChoice(label, next(iter(ways)), "the only way for such factors")
        seconds = self._tried(batch, ways)
        quickest = min(seconds, key=seconds.__getitem__)
        return OverlapChoice(label, quickest, "the quickest here", seconds)

    def _ways(self, batch: Batch, compiling: bool) -> list[Way]:
        """Those that give the same bits, that of floats first."""
        items = self.factors.items
        if not batch.columns or batch.vocabulary:
            return []
        device = str(items.device)
        int8 = (
            batch.blocks <= _SINGLE_BLOCKS and has_int8_units(device) and has_int8_products(device)
        )
        if _of_coordinates(batch) and self.levels is not None:
            return [FloatLevels(self.levels), *([Int8Levels(self.levels)] if int8 else [])]
        planes = [self.factors.planes.get((c.node, c.plane)) for c in batch.columns]
        found: list[Way] = [FloatProducts()]
        if items.dtype == torch.float32 and all(p is not None and p.is_binary for p in planes):
            found += [Int8Products()] if int8 else []
            if compiling and items.device.type == "cpu" and compiled_loops_are_there():
                found.append(CountedBits())
        return found

    def _tried(self, batch: Batch, ways: dict[str, Way]) -> dict[str, float]:
        """Seconds of a trial, by way, in turn so that a busy moment hits none alone."""
        runs = {name: self._trial(way, batch) for name, way in ways.items()}
        first = {name: min(_seconds(run, _FIRST) for _ in range(2)) for name, run in runs.items()}
        limit = _HOPELESS * min(first.values())
        hopeful = [name for name, seconds in first.items() if seconds <= limit]
        if len(hopeful) == 1:
            return first
        turns = [{name: _seconds(runs[name], _TRIAL) for name in hopeful} for _ in range(3)]
        return {name: min(turn[name] for turn in turns) for name in hopeful}

    def _trial(self, way: Way, batch: Batch) -> Callable[[int], None]:
        rows = slice(0, min(_TRIAL, self.factors.count))
        factors = way.prepared(self.factors.reader(rows), batch)
        like = self.factors.items
        out = like.new_empty((batch.blocks, factors.shape[1], factors.shape[1]))

        def run(count: int) -> None:
            part = factors[:, :count]
            way.into(
                part,
                part,
                out.view(-1)[: batch.blocks * part.shape[1] ** 2].view(
                    batch.blocks, part.shape[1], part.shape[1]
                ),
            )
            if like.device.type == "cuda":
                torch.cuda.synchronize()

        # compiles, and allocates
        run(1)
        return run


def _seconds(run: Callable[[int], None], count: int) -> float:
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started


def _of_coordinates(batch: Batch) -> bool:
    """True for one block of input coordinates: there alone whole numbers stay whole."""
    return [c.node for c in batch.columns] == [0] and batch.blocks == 1 and not batch.vocabulary


def _levels(program: Program, factors: Factors) -> Levels | None:
    """None where nothing is gained by whole numbers: as floats they need fewer passes."""
    asked = any(_of_coordinates(batch) for _, _, batch in program.batches())
    pays = factors.items.dtype == torch.float32 and has_int8_units(str(factors.items.device))
    return levels_of(factors.items) if asked and pays else None
