"""What an audit will take in memory, worked out before it starts."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from gencheck.audit.options import AuditOptions
from gencheck.errors import InputError
from gencheck.memory import available_bytes, shown_bytes
from gencheck.network.ir import is_smooth
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta1.batched_lanczos import VECTOR_BYTES
from gencheck.spectral.kernel.cuts import FACTOR_BYTES, bit_cuts, matrix_cuts
from gencheck.spectral.kernel.evaluate import OVERLAP_BYTES
from gencheck.spectral.kernel.forward import pass_entries, widest_pass
from gencheck.spectral.kernel.path_kernel import PathKernel

# What the interpreter, the libraries and their buffers take before any data.
_BASE_BYTES = 400 * 2**20

# Lanczos keeps its basis and the basis' image; so many steps are provided for.
_KRYLOV_STEPS = 100


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by purpose for an audit of `items` items.

    Attributes
    ----------
    gram
        The tiles of the upper triangle.
    data
        Items and outputs.
    gates
        The gates, packed.
    working
        Maps of one step, forward passes, Lanczos vectors, blocks of path features.
    factors
        Unpacked gates of a few strips of items: the least that is needed.
    """

    items: int
    gram: int
    data: int
    gates: int
    working: int
    factors: int

    @property
    def total(self) -> int:
        """All of it, with what the process takes by itself."""
        return _BASE_BYTES + self.gram + self.data + self.gates + self.working + self.factors


@dataclass(frozen=True)
class MemoryBudget:
    """What the plan leaves open.

    Attributes
    ----------
    layout_bytes
        What steps and strips are laid out for; the same for the same command.
    kept_bytes
        What unpacked factors may take.
    gates_on_disk
        True where the packed gates do not fit into memory beside the rest.
    storage
        Where the Gram matrix is kept: ``memory``, ``disk``, or nowhere: ``recompute``.
    """

    layout_bytes: int
    kept_bytes: int
    gates_on_disk: bool
    storage: str = "memory"

    def within(self, kernel: PathKernel) -> PathKernel:
        """The same kernel, laid out for what it may take."""
        options = replace(
            kernel.options,
            layout_bytes=self.layout_bytes,
            kept_bytes=self.kept_bytes,
            storage=self.storage,
        )
        return replace(kernel, options=options)


def _layout_bytes(limit: int | None) -> int:
    return FACTOR_BYTES if limit is None else min(FACTOR_BYTES, limit // 4)


def memory_plan(kernel: PathKernel, items: int, options: AuditOptions) -> MemoryPlan:
    """The peak of an audit of `items` items, an upper estimate."""
    network, dtype, tile = kernel.network, options.dtype, options.tile
    layout_bytes, permutations = kernel.options.layout_bytes, options.permutations
    executor = kernel.executor(items, options.device)
    program = kernel.program(executor)
    size = dtype.itemsize
    gates = sum(node.planes * node.gates_per_plane for node in network.nodes)
    smooth = sum(node.gates_per_plane for node in network.nodes if is_smooth(node))
    batch = max((b.blocks * b.width for _, _, b in program.batches()), default=1)
    if executor == "bits":
        cuts = bit_cuts(program, dtype, tile, layout_bytes)
        maps = 2 * 1024 * program.live_cells * size
    else:
        cuts = matrix_cuts(program, dtype, tile, layout_bytes)
        beside = torch.get_num_threads() if options.device == "cpu" and not cuts.passing else 1
        maps = (program.live_cells * cuts.step**2 * size + 4 * OVERLAP_BYTES) * beside
    strip = min(cuts.strip, items)
    unpacked = 2 * strip * gates if cuts.passing else strip * gates
    passed = min(options.batch_size, items) * widest_pass(network)
    forward = min(passed, pass_entries(options.device.partition(":")[0])) * size * 6
    # the labels, their products with targets, and the vectors that are advanced together
    relabelling = 40 * items * permutations + min(VECTOR_BYTES, 64 * items * permutations)
    ranks = kernel.ranks.size
    gram = items * (items + min(tile, items)) // 2 * size // ranks
    if kernel.options.storage != "memory":
        gram = min(tile, items) ** 2 * size
    if options.landmarks is not None:
        # coordinates of all items and a copy as they grow; a few square matrices; items in float64
        marks = min(options.landmarks, items)
        gram = 16 * items * marks + 64 * marks**2 + 8 * items * network.widths[0]
    search = 3 * 2**23 * size + items * (2 * batch * size + gates)
    return MemoryPlan(
        items=items,
        gram=gram,
        # items are held twice: as the loader made them and pooled
        data=items * (2 * network.widths[0] * size + 16 * network.output_count),
        gates=items * ((gates - smooth + 7) // 8 + smooth * size),
        working=maps + items * 16 * _KRYLOV_STEPS + max(forward, search, relabelling),
        factors=4 * cuts.strip_bytes * strip // cuts.strip + unpacked,
    )


def require_memory(
    kernel: PathKernel,
    items: int,
    options: AuditOptions,
    progress: Progress = SILENT,
    neighbours: int = 1,
) -> MemoryBudget:
    """What an audit may use where it fits into its limit, or into what the machine has free.

    A Gram matrix that does not fit is kept on disk where there is a cache, or formed anew in every
    product; `progress` is told so. What the machine has free is shared by `neighbours` processes.

    Raises
    ------
    InputError
        It does not fit; says how much it needs and how many items would fit.
    """
    layout = _layout_bytes(options.memory)
    # the executor is chosen for all items, also where fewer would fit
    executor = kernel.executor(items, options.device)
    laid = replace(kernel.options, executor=executor, layout_bytes=layout)
    allowed = options.memory
    if allowed is None and (free := available_bytes()) is not None:
        allowed = free // neighbours
    refusal: InputError | None = None
    for storage in _storages(options):
        stored = replace(kernel, options=replace(laid, storage=storage))
        found = _budget(stored, items, options, allowed)
        if isinstance(found, MemoryBudget):
            if refusal is not None:
                progress.report(f"{refusal.required}: {_ANNOUNCED[storage]}")
            return found
        refusal = refusal or found
    assert refusal is not None
    raise refusal


# How a Gram matrix that does not fit into memory is dealt with.
_ANNOUNCED = {
    "disk": "its tiles are read from --cache in every product (--gram disk)",
    "recompute": "its tiles are formed anew in every product (--gram recompute), which takes the "
    "time of one Gram matrix each; --cache DIR keeps them on disk, --landmarks L does without",
}


def _storages(options: AuditOptions) -> list[str]:
    """Where the Gram matrix may be kept, what is preferred first."""
    if options.landmarks is not None:
        return ["memory"]
    if options.gram != "auto":
        return [options.gram]
    return ["memory", "recompute" if options.cache is None else "disk"]


def _budget(
    kernel: PathKernel, items: int, options: AuditOptions, allowed: int | None
) -> MemoryBudget | InputError:
    """What the audit may use, or why it cannot be done."""
    layout, storage = kernel.options.layout_bytes, kernel.options.storage
    plan = memory_plan(kernel, items, options)
    if allowed is None:
        return MemoryBudget(layout, max(layout, plan.factors), False, storage)
    on_disk = plan.total > allowed
    room = allowed - plan.total + (plan.gates if on_disk else 0)
    if room >= 0:
        kept = plan.factors + min(room, max(0, layout - plan.factors))
        return MemoryBudget(layout, kept, on_disk, storage)

    def fits(count: int) -> bool:
        plan = memory_plan(kernel, count, options)
        return plan.total - plan.gates <= allowed

    fitting = _largest(fits, items)
    advice = [f"--limit {fitting // 2} (per set) fits"] if fitting >= 2 else []
    if options.dtype == torch.float64:
        advice.append("--dtype float32 halves the Gram matrix")
    if options.gram == "memory":
        advice.append("--gram recompute does not keep the Gram matrix")
    if options.landmarks is None:
        advice.append("--landmarks 1000 does without the Gram matrix")
    advice.append("or allow more with --memory")
    return InputError(
        where="--memory" if options.memory is not None else "free memory",
        found=shown_bytes(allowed),
        required=(
            f"{shown_bytes(plan.total - plan.gates)} for {items} items "
            f"({shown_bytes(plan.gram)} of it "
            f"{'the Gram matrix' if options.landmarks is None else 'for landmarks'})"
        ),
        remedy=f"{', '.join(advice)}.",
    )


def _largest(fits: Callable[[int], bool], upper: int) -> int:
    """The largest count up to `upper` that fits, 0 where none does."""
    low, high = 0, upper
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
