"""Every file that gencheck writes is written here: a reader finds the whole of it, or what was before."""

import errno
import io
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from gencheck.errors import InputError

# How the name of a file ends that is not whole yet; what a killed run left of them may be removed.
PARTIAL = ".partial"

# Bytes, or what writes them into a file: a library's own errors on a full disk are many, so it
# writes into memory.
Content = bytes | Callable[[IO[bytes]], object]


def write_whole(path: Path, content: Content, option: str) -> None:
    """Put `content` into the file `path` in one step, on disk to stay when this returns.

    It goes into a new file beside it, is forced to disk and takes the name then. A symbolic link
    keeps pointing at its target, which is replaced; a device or a pipe is written, not replaced.

    Parameters
    ----------
    option
        What the user named the path by, for the error message.

    Raises
    ------
    InputError
        The folder does not exist, cannot be written or is full. Nothing is left of the file then,
        and what stood under its name still does.
    """
    written = content if isinstance(content, bytes) else _in_memory(content)
    try:
        if is_stream(path):
            _write_stream(path, written)
        else:
            target = path.resolve()
            if target.is_symlink():  # before Python 3.13, `resolve` raises
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            _replace(target, written)
    except (OSError, RuntimeError) as error:  # the latter for links in a circle
        raise InputError(
            where=f"{option} {path}",
            found=_reason(error),
            required="a file in a folder that exists and can be written, with space left",
        ) from error


def is_stream(path: Path) -> bool:
    """Whether `path` is a device, a pipe or a socket, which is written and never replaced."""
    # a name such as /dev/stdout may lead to a plain file, which is not ours to replace either
    if path.absolute().is_relative_to("/dev") and not path.is_dir():
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def make_folder(path: Path, option: str) -> None:
    """Make the folder `path` and those above it where there is none.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            where=f"{option} {path}",
            found=_reason(error),
            required="a folder that can be made and written",
        ) from error


def remove(path: Path, option: str) -> None:
    """Remove the file `path` where there is one; it stays removed when the machine goes down.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            where=f"{option} {path}",
            found=_reason(error),
            required="a file that may be removed",
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _in_memory(write: Callable[[IO[bytes]], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _write_stream(path: Path, content: bytes) -> None:
    # no O_CREAT: what is not there is an error, not a new file in a folder of devices
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except BrokenPipeError:
        # the reader has left, and wants no more
        pass
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    # a name of its own, so that two writers at a time do not mix their bytes
    own = f".{path.name[:100]}.{os.getpid()}.{time.monotonic_ns()}{PARTIAL}"
    partial = path.with_name(own)
    try:
        with partial.open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Force a folder's names to disk; a system that cannot does it in its own time."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
