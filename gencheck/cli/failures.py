"""What went wrong, from an exception that nobody foresaw: the user's files, the machine, a defect."""

import lzma
import pickle
import re
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator

from gencheck.errors import GencheckError, InputError, UnreadableModel

# What damaged or hostile files make of the libraries that read them.
_DAMAGE = (
    *(UnicodeError, RecursionError, EOFError, struct.error, zipfile.BadZipFile, zlib.error),
    *(lzma.LZMAError, pickle.UnpicklingError),
)
# torch and the loader of compiled libraries have no class of their own for memory that ran out.
_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|bad_alloc|not enough memory"
    r"|failed to map segment|can't start new thread",
    re.IGNORECASE,
)
# What an installation for the bounds alone leaves out.
_DEPENDENCIES = {"torch", "scipy"}
_MODEL_ROOMS = ("gencheck.network.frontend", "gencheck.audit.model")


class Defect(GencheckError):  # noqa: N818 - states a condition, like the names beside it
    """An exception that nothing of the user's explains."""

    exit_code = 4


_LEAST_ADDRESS_SPACE = 2**30


def require_address_space() -> None:
    """Do nothing where the process may load torch at all.

    Raises
    ------
    InputError
        Its limit (`ulimit -v`) is lower: torch would end the process without a word of ours.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
        raise InputError(
            where="the limit of this process's address space (ulimit -v)",
            found=f"{limit / 2**20:.0f} MiB, and that the memory does not suffice to load torch",
            required="1024 MiB or more",
        )


def foreseen(error: BaseException, files: str) -> GencheckError:
    """`error` as one of gencheck's own, with its exit code; `files` names those of the command."""
    if isinstance(error, GencheckError) and error.exit_code == InputError.exit_code:
        return error
    # a reader may have made a model or a file that it cannot read of it
    memory = next((step for step in _chain(error) if _is_memory(step)), None)
    if memory is not None:
        return InputError(
            where=files,
            found=f"that the memory does not suffice ({_words(memory)})",
            required="less work at a time, or more memory",
            remedy="Pass --limit N, or a smaller --batch-size or --memory where there is one.",
        )
    if isinstance(error, GencheckError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name in _DEPENDENCIES:
        return InputError(
            where=f"this installation, for {files}",
            found=f"no {error.name}, which one without dependencies leaves out",
            required=f"{error.name} for this command (val-bound and compare-scores need none)",
            remedy="Install gencheck with its dependencies: pip install without --no-deps.",
        )
    if isinstance(error, OSError):
        return InputError(
            where=_place(error, files),
            found=error.strerror or _words(error),
            required="files, folders and devices that can be read and written",
            remedy="Check the path, its permissions and the free space.",
        )
    rooms = list(_rooms(error))
    if isinstance(error, RuntimeError) and any(room.startswith(_MODEL_ROOMS) for room in rooms):
        return UnreadableModel(
            where=files,
            found=f"a model that torch cannot read or run ({_words(error)})",
            required="a model that runs on items of this shape and dtype",
            remedy="Export it anew with torch.export, and run it once on one item of the data.",
        )
    loading = any(room.startswith("gencheck.load.") for room in rooms)
    if isinstance(error, _DAMAGE) or (isinstance(error, RuntimeError) and loading):
        return InputError(
            where=files,
            found=f"content that cannot be read ({_words(error)})",
            required="undamaged files of the kinds that --help names",
            remedy="Write the file anew with the program that made it.",
        )
    return Defect(
        f"a defect of gencheck: {_words(error)}, in {rooms[-1] if rooms else 'the command line'}. "
        "Nothing was decided by it. The same command with --debug shows where; please report both."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and so on."""
    step: BaseException | None = error
    while step is not None:
        yield step
        step = step.__cause__ or step.__context__


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, SystemError):
        # what extension modules make of memory that a limit of the process refuses
        return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return isinstance(error, RuntimeError | OSError | ImportError) and bool(
        _NO_MEMORY.search(str(error))
    )


def _place(error: OSError, files: str) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return " and ".join(names) or files


def _words(error: BaseException) -> str:
    """The error's class and the first 300 characters of what it says."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:300]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _rooms(error: BaseException) -> Iterator[str]:
    """The modules of gencheck that the error came through, the innermost last."""
    step = error.__traceback__
    while step is not None:
        name = step.tb_frame.f_globals.get("__name__", "")
        if name.startswith("gencheck."):
            yield name
        step = step.tb_next
