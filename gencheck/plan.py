"""What an audit will take in memory, worked out before it starts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gencheck.errors import InputError
from gencheck.memory import available_bytes, shown_bytes
from gencheck.network.ir import Network, is_smooth
from gencheck.network.program import Program
from gencheck.spectral.factors import PASS_ENTRIES, widest_pass
from gencheck.spectral.gram import strip_shape
from gencheck.spectral.kernel import OVERLAP_BYTES

# What the interpreter, the libraries and their buffers take before any data.
_BASE_BYTES = 400 * 2**20

# Lanczos keeps its basis and the basis' image; so many steps are provided for.
_KRYLOV_STEPS = 100

# Unpacked factors are kept to this amount where there is room; more would save little time.
_FACTOR_BYTES = 2**30


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by purpose for an audit of `items` items.

    Attributes
    ----------
    gram
        The tiles of the upper triangle.
    data
        Items, gates and outputs.
    working
        Maps of one step, forward passes, Lanczos vectors, blocks of path features.
    factors
        Unpacked gates of a few strips of items: the least that is needed.
    """

    items: int
    gram: int
    data: int
    working: int
    factors: int

    @property
    def total(self) -> int:
        """All of it, with what the process takes by itself."""
        return _BASE_BYTES + self.gram + self.data + self.working + self.factors


def memory_plan(
    network: Network,
    program: Program,
    items: int,
    dtype: torch.dtype,
    tile: int,
    batch_size: int,
) -> MemoryPlan:
    """The peak of an audit of `items` items, an upper estimate."""
    size = dtype.itemsize
    gates = sum(n.planes * w for w, n in zip(network.widths, network.nodes, strict=True))
    smooth = sum(w for w, n in zip(network.widths, network.nodes, strict=True) if is_smooth(n))
    shape = strip_shape(program, dtype, tile, 0)
    maps = program.live_cells * shape.step**2 * size + 4 * OVERLAP_BYTES
    passed = min(batch_size, items) * widest_pass(network)
    forward = min(passed, PASS_ENTRIES) * size * 6
    batch = max((b.blocks * b.width for _, _, b in program.batches()), default=1)
    search = 3 * 2**23 * size + items * (2 * batch * size + gates)
    return MemoryPlan(
        items=items,
        gram=items * (items + min(tile, items)) // 2 * size,
        # items are held twice: as the loader made them and pooled
        data=items * (2 * network.widths[0] * size + gates // 8 + smooth * size)
        + 16 * items * network.output_count,
        working=maps + items * 16 * _KRYLOV_STEPS + max(forward, search),
        factors=4 * min(shape.strip, items) * program.factors_per_item * size,
    )


def require_memory(
    network: Network,
    program: Program,
    items: int,
    dtype: torch.dtype,
    tile: int,
    batch_size: int,
    limit: int | None,
) -> int:
    """The bytes that unpacked factors may take where the audit fits into `limit` bytes.

    Without a limit it must fit into what the machine has free.

    Raises
    ------
    InputError
        It does not fit; says how much it needs and how many items would fit.
    """

    def planned(count: int) -> MemoryPlan:
        return memory_plan(network, program, count, dtype, tile, batch_size)

    plan = planned(items)
    allowed = available_bytes() if limit is None else limit
    if allowed is None:
        return _FACTOR_BYTES
    if plan.total <= allowed:
        return min(max(_FACTOR_BYTES, plan.factors), plan.factors + allowed - plan.total)
    fitting = _largest(lambda count: planned(count).total <= allowed, items)
    advice = [f"--limit {fitting // 2} (per set) fits"] if fitting >= 2 else []
    if dtype == torch.float64:
        advice.append("--dtype float32 halves the Gram matrix")
    advice.append("or allow more with --memory")
    raise InputError(
        where="--memory" if limit is not None else "free memory",
        found=shown_bytes(allowed),
        required=(
            f"{shown_bytes(plan.total)} for {items} items "
            f"({shown_bytes(plan.gram)} of it the Gram matrix)"
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
