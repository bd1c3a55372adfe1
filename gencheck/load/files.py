"""Files that must be there, of a kind that can be read, and what a file that cannot be read raises."""

import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gencheck.errors import GencheckError, InputError
from gencheck.memory import require_memory

# Descriptors by their names, which may be files as well, with no suffix to tell their kind by.
_DESCRIPTOR = re.compile(r"/dev/(stdin|fd/\d+)|/proc/[^/]+/fd/\d+")
_ESCAPE_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def require_file(path: Path, kind: str) -> None:
    """Do nothing where `path` is a file, or a link to one.

    Raises
    ------
    InputError
        It is missing, a folder, a link to nothing, a pipe or a device.
    """
    try:
        if path.is_file():
            return
        found = "a folder" if path.is_dir() else "no such file"
        if path.is_symlink() and not path.exists():
            found = "a link to nothing"
        elif path.exists() and not path.is_dir():
            found = "a pipe or a device"
    except (OSError, ValueError) as error:
        found = f"a name that no file can have ({plain_reason(error)})"
    raise InputError(where=shortened(str(path)), found=found, required=kind)


def is_pipe(path: Path) -> bool:
    """True for ``-``, for a descriptor by its name, a named pipe and a socket."""
    if str(path) == "-" or _DESCRIPTOR.fullmatch(str(path)):
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def require_no_pipe(path: Path, option: str) -> None:
    """Do nothing where `path` is none.

    Raises
    ------
    InputError
        It is one, where a file or a folder is read, and more than once.
    """
    if is_pipe(path):
        raise InputError(
            where=f"{option} {path}",
            found="a pipe",
            required="a file or a folder: it is read more than once, or its name tells its kind",
            remedy="Write the pipe's content to a file first.",
        )


def suffix_of(path: Path, suffixes: Iterable[str], kind: str) -> str:
    """The suffix of the file `path` in lower case, one of `suffixes`.

    Raises
    ------
    InputError
        It is missing, a folder, or of another kind.
    """
    require_file(path, kind)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(
            where=str(path),
            found=f"suffix {path.suffix!r}",
            required=f"one of {', '.join(sorted(suffixes))}",
        )
    return suffix


@contextmanager
def reading(where: Path | str, required: str, remedy: str = "") -> Iterator[None]:
    """Whatever the library that reads a file raises on a damaged one becomes one error in words.

    Readers of archives, tables and images fail in nearly any way on damaged bytes: struct, zlib and
    zip errors, a recursion too deep, a file name too long, more memory than there is. So everything
    is taken for the file's fault that is not already an error of gencheck's own.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        yield
    except GencheckError:
        raise
    except Exception as error:
        kind = "a damaged or foreign file"
        if isinstance(error, MemoryError):
            kind = "that the memory does not suffice"
        if isinstance(error, OSError) and error.errno is not None:
            kind = "a file that cannot be read"
        raise InputError(
            where=shortened(str(where)),
            found=f"{kind} ({plain_reason(error)})",
            required=required,
            remedy=remedy,
        ) from error


def plain_reason(error: Exception) -> str:
    """The kind of an error and the first line of what it says, without escape codes, at most 160."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    bare = _ESCAPE_CODE.sub("", lines[0]) if lines else ""
    said = "".join(c if c.isprintable() else " " for c in bare)
    return shortened(f"{type(error).__name__}: {said}" if said else type(error).__name__, 160)


def shortened(text: str, most: int = 400) -> str:
    """The text, its middle left out where it is longer than `most`."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def listed(names: Iterable[str], most: int = 20) -> str:
    """The first of the names, and how many more there are; ``none`` where there is none."""
    known = list(names)
    more = f", … ({len(known) - most} more)" if len(known) > most else ""
    return ", ".join(shortened(name, 80) for name in known[:most]) + more or "none"


def require_archive_fits(path: Path) -> None:
    """Do nothing where the files in a zip archive, unpacked, fit into memory.

    Raises
    ------
    InputError
        They do not: their sizes are declared in the archive, and nothing is unpacked to see it.
    """
    if zipfile.is_zipfile(path):
        with reading(path, "a whole zip archive"), zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        require_memory(total, str(path), "an archive that unpacks to arrays")
    else:
        require_memory(path.stat().st_size, str(path), "a file")
