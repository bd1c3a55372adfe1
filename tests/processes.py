"""Processes of `gencheck` that tests end, limit or connect, forked from one that has loaded it.

To load gencheck and what torch.export needs takes seconds of computing, to fork milliseconds. A forked
process is the command all the same: descriptors, signals, limits and exit code are its own. Where the
interpreter's start or end is what is tested, tests start the program itself.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path


def forked(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A started process that runs `target`, a function of a module, in this folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


_STREAMS = ("stdout", "stderr")


class Command:
    """A process of `started`, used as one of subprocess.Popen."""

    def __init__(self, process: BaseProcess, streams: Path) -> None:
        self._process, self._streams = process, streams

    def poll(self) -> int | None:
        """The exit code, or less the number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    returncode = property(poll)

    def wait(self, seconds: float) -> None:
        """Until it has ended, at most so long."""
        self._process.join(seconds)

    def send_signal(self, number: int) -> None:
        """Send it where it still runs."""
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it, wait for that, and forget what it printed."""
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._streams, ignore_errors=True)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """What it printed on stdout and on stderr, once it has ended."""
        self.wait(timeout)
        assert self.poll() is not None, f"it still runs after {timeout:g} seconds"
        out, err = ((self._streams / name).read_text(encoding="utf-8") for name in _STREAMS)
        self.kill()
        return out, err


def started(
    words: list[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    largest_file: int | None = None,
) -> Command:
    """`gencheck` with such arguments, in a folder, with more in its environment.

    `largest_file` limits the bytes of any file that it writes, as a full disk does; what it prints
    is then limited to as much.
    """
    streams = Path(tempfile.mkdtemp())
    process = forked(_command, words, folder, streams, dict(environment or {}), largest_file)
    return Command(process, streams)


def _command(
    words: list[str],
    folder: Path,
    streams: Path,
    environment: Mapping[str, str],
    largest_file: int | None,
) -> None:
    from gencheck.cli.app import main

    for descriptor, name in enumerate(_STREAMS, 1):
        kept = os.open(streams / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(kept, descriptor)
    os.chdir(folder)
    os.environ.update(environment)
    # a shell may have told its background jobs to ignore interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["gencheck", *words]
    main()
