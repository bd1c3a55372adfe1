"""What an audit would take, worked out before it: counts that are exact, seconds from a pilot."""

import time
from dataclasses import dataclass, replace

from gencheck.audit.memory_plan import MemoryPlan, memory_plan, require_memory
from gencheck.audit.pilot import Measured, Pilot
from gencheck.audit.pilot_items import entries
from gencheck.audit.question import Question
from gencheck.audit.result import DataFacts, ModelFacts
from gencheck.audit.summary import model_facts
from gencheck.errors import InputError
from gencheck.network.ir import Network, is_smooth
from gencheck.progress import SILENT
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.spectral.kernel.tiles import Tile, lanes_of, upper_tiles
from gencheck.spectral.ranks import LANES, dealt


@dataclass(frozen=True)
class Counts:
    """How much work an audit of N items is; none of it is an estimate.

    Attributes
    ----------
    pairs
        N (N + 1) / 2 kernels.
    flops_per_pair
        Two for each gate or coordinate that an overlap reads.
    cells_per_pair
        Entries of all maps over one pair, each written once and read at least once.
    gram_bytes, gates_bytes, items_bytes
        The tiles, the packed gates and the coordinates of all items.
    largest_share
        The part of the pairs that the rank with the most of them forms and holds.
    """

    items: int
    pairs: int
    flops_per_pair: int
    cells_per_pair: int
    gram_bytes: int
    gates_bytes: int
    items_bytes: int
    largest_share: float

    @property
    def flops(self) -> int:
        """Of the whole Gram matrix."""
        return self.pairs * self.flops_per_pair


@dataclass(frozen=True)
class RunPlan:
    """What a run of `concentrate` would do, hold and take.

    Attributes
    ----------
    memory
        Of each rank, an upper estimate.
    ranks
        The processes that share the work.
    sent
        Bytes that each rank sends: its gates, once, and what one product of the Gram matrix with one
        column moves.
    seconds
        By stage, extrapolated from `measured`; loading has been done.
    measured
        What was measured, and on how much.
    """

    model: ModelFacts
    data: DataFacts
    counts: Counts
    executor: str
    storage: str
    memory: MemoryPlan
    ranks: int
    sent: dict[str, int]
    seconds: dict[str, float]
    measured: Measured


def plan_audit(question: Question, load_seconds: float = 0.0) -> RunPlan:
    """What `gencheck.audit.run.audit_of` the same question would take, without carrying it out.

    Raises
    ------
    InputError
        The run would be refused for its options or its memory, or it is one with landmarks.
    """
    started = time.perf_counter()
    options, ranks = question.options, question.ranks
    options.require_consistency()
    if options.landmarks is not None:
        raise InputError(
            where="--plan with --landmarks",
            found="both",
            required="one of them: the plan is that of the whole Gram matrix",
            remedy="Leave --landmarks out to see what it would save.",
        )
    kernel = question.kernel()
    count = question.count
    budget = require_memory(kernel, count, options, question.progress, neighbours=ranks.neighbours)
    kernel = budget.within(kernel)
    counts = counts_of(kernel, count, options.device, options.dtype.itemsize)
    # whose own steps are no progress of the run
    pilot = Pilot(replace(question, progress=SILENT), kernel, counts.largest_share)
    seconds = {"load": load_seconds, **pilot.seconds()}
    return RunPlan(
        model=model_facts(question.model),
        data=DataFacts(len(question.sample.items), len(question.reference.items), question.task),
        counts=counts,
        executor=kernel.executor(count, options.device),
        storage=budget.storage,
        memory=memory_plan(kernel, count, options),
        ranks=ranks.size,
        sent=_sent(counts, ranks.size),
        seconds=seconds,
        measured=replace(pilot.measured, seconds=time.perf_counter() - started),
    )


def counts_of(kernel: PathKernel, count: int, device: str, itemsize: int) -> Counts:
    """How much work the kernels of `count` items are, whoever does it."""
    network, program = kernel.network, kernel.program(kernel.executor(count, device))
    tiles = upper_tiles(count, kernel.options.tile)
    return Counts(
        items=count,
        pairs=count * (count + 1) // 2,
        flops_per_pair=program.flops_per_pair,
        cells_per_pair=sum(made.cells for made in program.maps),
        gram_bytes=entries(tiles) * itemsize,
        gates_bytes=count * gate_bytes(network, itemsize),
        items_bytes=count * network.widths[0] * itemsize,
        largest_share=largest_share(tiles, kernel.ranks.size),
    )


def gate_bytes(network: Network, itemsize: int) -> int:
    """What the gates of one item take as they are kept: bits, numbers where there are others."""
    return sum(
        node.planes
        * (node.gates_per_plane * itemsize if is_smooth(node) else -(-node.gates_per_plane // 8))
        for node in network.nodes
    )


def largest_share(tiles: list[Tile], ranks: int) -> float:
    """The part of all entries that the rank with the most of them forms and holds."""
    sizes = [entries(tiles[number] for number in lane) for lane in lanes_of(tiles, LANES)]
    each = [sum(sizes[lane] for lane in share) for share in dealt(len(sizes), ranks)]
    return max(each) / sum(sizes)


def _sent(counts: Counts, ranks: int) -> dict[str, int]:
    """Bytes from each rank, as docs/scale.md has them; nothing where there is one."""
    others = (ranks - 1) / ranks
    return {
        "gates": round(counts.gates_bytes * others),
        "product": counts.items * 8 if ranks > 1 else 0,
    }
