"""How an audit's kernels were formed and kept: plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gencheck.spectral.kernel.calibrate import OverlapChoice


@dataclass(frozen=True)
class KernelFacts:
    """How kernels were formed: by which executor, and where the Gram matrix was kept, if there is one.

    Attributes
    ----------
    storage
        ``memory``, ``disk`` or ``recompute``.
    overlaps
        How each layer's overlaps were formed and why, where there was a choice.
    ranks
        How many processes shared the work.
    """

    executor: str
    storage: str | None = None
    overlaps: "tuple[OverlapChoice, ...]" = ()
    ranks: int = 1


@dataclass(frozen=True)
class CacheFacts:
    """How many tiles were taken from the cache, computed, and found there damaged or foreign."""

    reused: int
    computed: int
    rejected: int
