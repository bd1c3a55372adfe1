"""What an audit will take in memory, worked out before it starts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gencheck.errors import InputError
from gencheck.memory import available_bytes, shown_bytes
from gencheck.network.ir import Gate, Network
from gencheck.network.terms import Gathering

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
        Items, gates and outputs.
    working
        Tile buffers, forward passes, Lanczos vectors, blocks of path features.
    """

    items: int
    gram: int
    data: int
    working: int

    @property
    def total(self) -> int:
        """All of it, with what the process takes by itself."""
        return _BASE_BYTES + self.gram + self.data + self.working


def memory_plan(
    network: Network,
    program: tuple[Gathering, ...],
    items: int,
    dtype: torch.dtype,
    tile: int,
    batch_size: int,
) -> MemoryPlan:
    """The peak of an audit of `items` items, an upper estimate."""
    size = dtype.itemsize
    widths = network.widths
    gates = sum(w for w, n in zip(widths, network.nodes, strict=True) if isinstance(n, Gate))
    tile = min(tile, items)
    carriers = max(2, max(len(g.terms) for g in program) + 1)
    tile_buffers = carriers * tile * tile * size + tile * tile * 8
    forward = min(batch_size, items) * max(widths) * size * 6
    blocks = 3 * 2**23 * size + items * (gates + widths[0]) * size
    return MemoryPlan(
        items=items,
        gram=items * (items + tile) // 2 * size,
        # items are held twice: as the loader made them and pooled
        data=items * (2 * widths[0] * size + gates + 16 * network.output_count),
        working=tile_buffers + forward + blocks + items * 16 * _KRYLOV_STEPS,
    )


def require_memory(
    network: Network,
    program: tuple[Gathering, ...],
    items: int,
    dtype: torch.dtype,
    tile: int,
    batch_size: int,
    limit: int | None,
) -> None:
    """Do nothing where the audit fits into `limit` bytes, or into what the machine has free.

    Raises
    ------
    InputError
        It does not fit; says how much it needs and how many items would fit.
    """
    allowed = available_bytes() if limit is None else limit
    if allowed is None:
        return

    def needed(count: int) -> int:
        return memory_plan(network, program, count, dtype, tile, batch_size).total

    if needed(items) <= allowed:
        return
    fitting = _largest(lambda count: needed(count) <= allowed, items)
    plan = memory_plan(network, program, items, dtype, tile, batch_size)
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
