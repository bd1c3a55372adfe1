"""stdout and stderr that a reader may leave, that may be closed, full, or unable to hold a letter."""

import io
import os
import sys
from typing import TYPE_CHECKING

from gencheck.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Standard(io.FileIO):
    """One of the two; a closed pipe swallows everything from then on, in silence.

    Nothing that is written after a failure can fail again: the interpreter flushes at its own end,
    where the exit code would be lost.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write `data`; where that fails and it is stdout that is full, say so.

        Raises
        ------
        InputError
            stdout is a device or file that takes no more.
        """
        if self._lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self._lost = True
        except OSError as error:
            self._lost = True
            if self.fileno() == 1:
                raise InputError(
                    where="standard output",
                    found=error.strerror or str(error),
                    required="a device or file that takes the whole report",
                    remedy="Free some space, or pass --output FILE on another disk.",
                ) from error
        return memoryview(data).nbytes


def install() -> None:
    """Put such streams in the place of the interpreter's own, and something behind closed ones."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # the lowest that is free is taken, so that no file of the user's becomes stdout
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        own = getattr(sys, name)
        if own is not None and own is not getattr(sys, f"__{name}__"):
            continue
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Standard(descriptor)),
            encoding=getattr(own, "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=getattr(own, "line_buffering", False),
            write_through=getattr(own, "write_through", False),
        )
        setattr(sys, name, stream)
