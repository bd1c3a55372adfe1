"""One command on several processes, as torchrun starts them: one of them speaks, all end together."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from gencheck.cli.failures import foreseen
from gencheck.cli.launch import Launch, launch
from gencheck.cli.terminal import say
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.audit.ranks import Ranks

# Seconds between two looks at whether another rank has failed, and that a failure waits to be heard.
_LOOK, _HEARD = 0.2, 5.0

_FAILURE, _SAID = "failure", "said"


@contextmanager
def shared(device: str, landmarks: int | None = None) -> Iterator["Ranks"]:
    """The ranks of this run; an error on one of them ends all, with its message and exit code.

    Parameters
    ----------
    device
        Where this process computes.
    landmarks
        How many stand for all items, if any do.

    Raises
    ------
    InputError
        Landmarks are asked for of several processes.
    """
    from gencheck.audit.ranks import ALONE

    own = launch()
    if own.size == 1:
        yield ALONE
        return
    if landmarks is not None:
        raise InputError(
            where="torchrun with --landmarks",
            found="both",
            required="one of them: landmarks are few enough for one process",
            remedy="Leave --landmarks out: the Gram matrix is dealt to the ranks.",
        )
    from gencheck.audit.ranks import ProcessRanks

    ranks = ProcessRanks(own.rank, own.size, device, own.local_size)
    watch = _Watch(own, ranks.run)
    try:
        yield ranks
        watch.part()
        ranks.leave()
    except (Exception, KeyboardInterrupt) as error:
        watch.fail(error)
    finally:
        watch.stop()


class _Watch:
    """What tells the others of an error here, and ends this process on an error of theirs."""

    def __init__(self, own: Launch, run: int) -> None:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]
        from torch.distributed.distributed_c10d import PrefixStore

        self.own = own
        # a connection of its own: the group's may be held by a collective that never returns
        place = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        self.store = PrefixStore(f"gencheck watch {run}", place)
        self._ended, self._parting = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK):
            try:
                if self.store.check([_FAILURE]):
                    self._end()
            except RuntimeError:
                # whoever kept the store is gone: at the end because it was the first to part
                if self._parting.is_set():
                    return
                os._exit(4)

    def _end(self) -> None:
        """Leave with the other rank's exit code; rank 0 says why."""
        rank, code, message = json.loads(self.store.get(_FAILURE))
        if rank == self.own.rank:
            return
        if self.own.rank == 0:
            say(f"rank {rank}: {message}")
            sys.stderr.flush()
        # whoever keeps the store may be gone by now, which changes nothing about the failure
        with suppress(RuntimeError):
            self.store.add(_SAID, 1)
            if self.own.rank == 0:
                # it may keep the store that the others read this from
                self._heard()
        os._exit(code)

    def fail(self, error: BaseException) -> None:
        """Tell the others of `error`, wait until they know, and raise what this rank ends with."""
        from gencheck.audit.ranks import LostRank

        if isinstance(error, LostRank):
            # the other's own error says more than the connection that it left
            time.sleep(10 * _LOOK)
        code, message = 130, "interrupted"
        known: BaseException = error
        if isinstance(error, Exception):
            known = foreseen(error, "the command")
            code, message = known.exit_code, str(known)
        self._ended.set()
        heard = self._told(json.dumps([self.own.rank, code, message]))
        if self.own.rank == 0 or not heard:
            # an error is not its own cause
            raise known from (None if known is error else error)
        raise typer.Exit(code) from error

    def _told(self, failure: str) -> bool:
        """True once all other ranks know of a failure, of this one or of one that came before."""
        try:
            if self.store.compare_set(_FAILURE, "", failure).decode() != failure:
                self.store.add(_SAID, 1)
                return True
        except RuntimeError:
            # whoever kept the store is gone, and told nobody
            return False
        return self._heard()

    def _heard(self) -> bool:
        """True once all ranks but the one that failed know, or the first has said it and left."""
        until = time.monotonic() + _HEARD
        try:
            while time.monotonic() < until:
                if self.store.add(_SAID, 0) >= self.own.size - 1:
                    return True
                time.sleep(_LOOK / 4)
        except RuntimeError:
            return True
        return False

    def part(self) -> None:
        """From now on a rank that is gone has done its part, or says itself what failed."""
        self._parting.set()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()
