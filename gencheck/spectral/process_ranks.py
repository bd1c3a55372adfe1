"""The ranks of a run as processes that torch.distributed connects, by plain collectives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from gencheck.errors import GencheckError, InputError
from gencheck.spectral.ranks import LANES, dealt

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

# A rank may compute for so long while the others wait for it; one that is gone is noticed at once.
_PATIENCE = timedelta(days=7)


# Parts in which a sum goes from rank to rank.
_PARTS = 8

# The runs of this process: each has its own keys where the ranks meet.
_RUNS = count()


class LostRank(GencheckError):  # noqa: N818 - states a condition, like the names of other errors
    """Another rank is gone, and with it its part of the run."""

    exit_code = 4


class ProcessRanks:
    """One process among those of a run, which are connected while it exists."""

    def __init__(self, number: int, size: int, device: str, neighbours: int) -> None:
        if size > LANES:
            raise InputError(
                where="torchrun", found=f"{size} processes", required=f"{LANES} at most"
            )
        self.number, self.size, self.neighbours = number, size, neighbours
        # not at the top: torch may have been built without them, which one process need not notice
        from torch.distributed.distributed_c10d import PrefixStore

        self.run = next(_RUNS)
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        with _noticing():
            store = PrefixStore(f"gencheck {self.run}", _meeting_place(number, size))
            dist.init_process_group(
                backend, store=store, rank=number, world_size=size, timeout=_PATIENCE
            )

    def share(self, count: int) -> range:
        """Which of `count` things in a row are this rank's."""
        return dealt(count, self.size)[self.number]

    def summed(self, count: int, make: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """Σ_l make(l) over the lanes in their order.

        The sum goes from rank to rank, and each adds its lanes to it; it goes in parts, so that one is
        under way while the next is added to. An all_reduce would add in an order of its own.
        """
        own = self.share(count)
        holders = [rank for rank, share in enumerate(dealt(count, self.size)) if share]
        if not holders:
            return torch.zeros_like(like)
        if self.number == holders[0]:
            total, lanes = make(own[0]).contiguous(), (make(lane) for lane in own[1:])
            for lane in lanes:
                total += lane
            mine: list[Tensor] = []
        else:
            total, mine = torch.empty_like(like), [make(lane).reshape(-1) for lane in own]
        flat = total.view(-1)
        with _noticing():
            if own:
                self._pass_on(flat, mine, holders)
            dist.broadcast(flat, src=holders[-1])
        return total

    def _pass_on(self, total: Tensor, lanes: list[Tensor], holders: list[int]) -> None:
        """Add `lanes` to the sum that comes from the holder before, and send it to the one behind."""
        at, sent = holders.index(self.number), []
        for part in dealt(len(total), _PARTS):
            if not part:
                continue
            piece = total[part.start : part.stop]
            if at > 0:
                dist.recv(piece, src=holders[at - 1])
            for lane in lanes:
                piece += lane[part.start : part.stop]
            if at + 1 < len(holders):
                sent.append(dist.isend(piece, dst=holders[at + 1]))
        for each in sent:
            if each is not None:
                each.wait()

    def joined(self, part: Tensor) -> Tensor:
        """The sum of tensors of which each entry is 0 on all ranks but one."""
        with _noticing():
            dist.all_reduce(part)
        return part

    def completed(self, whole: Tensor, parts: Sequence[slice]) -> None:
        """Fill in the rows of `whole` that the other ranks hold: rank r those of ``parts[r]``."""
        with _noticing():
            for rank, rows in enumerate(parts):
                if rows.start < rows.stop and whole[rows].numel():
                    dist.broadcast(whole[rows], src=rank)

    def require_agreement(self, facts: Mapping[str, str]) -> None:
        """Do nothing where all ranks have the same `facts`.

        Raises
        ------
        InputError
            They have not, on every rank; names what differs and between whom.
        """
        seen: list[Any] = [None] * self.size
        with _noticing():
            dist.all_gather_object(seen, dict(facts))
        for rank, other in enumerate(seen):
            differing = [name for name in facts if other.get(name) != seen[0].get(name)]
            if differing:
                raise InputError(
                    where="torchrun",
                    found=f"that ranks 0 and {rank} differ in {', '.join(differing)}",
                    required="the same command, files and libraries on every rank",
                    remedy="Give every rank the same options and the same files; "
                    "--cache, --device and --memory may differ.",
                )

    def leave(self) -> None:
        """Wait for the others, then part.

        Rank 0 may be gone before its last message is read; what it had to deliver is delivered then, and
        if it failed, it says so itself.
        """
        with _noticing() if self.number == 0 else suppress(RuntimeError):
            dist.barrier()
        dist.destroy_process_group()


@cache
def _meeting_place(number: int, size: int) -> "Store":
    """Where MASTER_ADDR and MASTER_PORT say; kept, for it cannot be made twice."""
    from torch.distributed.rendezvous import rendezvous

    store: Store = next(iter(rendezvous("env://", number, size)))[0]
    return store


@contextmanager
def _noticing() -> Iterator[None]:
    """Make an error of a collective one that says what it means."""
    try:
        yield
    except RuntimeError as error:
        raise LostRank(
            f"torchrun: lost the connection to another rank ({' '.join(str(error).split())[:200]}). "
            "With --cache the same command goes on from the finished tiles."
        ) from error
