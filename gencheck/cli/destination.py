"""Files that a command is to write: refused before the work where they cannot be written."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gencheck.atomic import is_stream
from gencheck.errors import InputError

# What a command writes itself, and what else it writes into; every other path is an input.
_WRITTEN = {"output", "plot", "cache"}


def refuse_destinations(parameters: Mapping[str, Any]) -> None:
    """Check the files that a command's `parameters` name for its results, before it begins.

    Raises
    ------
    InputError
        `--output` is not a .json, a folder, in a folder that is missing or cannot be written, or one
        of the command's inputs, be it through a link.
    """
    output = parameters.get("output")
    if output is None:
        return
    others = [
        (name, value)
        for name, value in parameters.items()
        if isinstance(value, Path) and name not in _WRITTEN
    ]
    require_destination("--output", output, {".json"}, others)


def require_destination(
    option: str, path: Path, suffixes: Iterable[str], inputs: Iterable[tuple[str, Path]]
) -> None:
    """`path` can be written: a stream, or a file with one of `suffixes` that is none of `inputs`.

    Raises
    ------
    InputError
        It cannot; says why.
    """
    where = f"{option} {path}"
    if is_stream(path):
        return
    if path.is_dir():
        raise InputError(where=where, found="a folder", required="a file")
    if path.suffix.lower() not in suffixes:
        raise InputError(
            where=where,
            found=f"suffix {path.suffix!r}",
            required=f"one of {', '.join(sorted(suffixes))}",
        )
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(
            where=where,
            found=f"no folder {target.parent}",
            required="a file in a folder that exists",
            remedy="Make the folder first.",
        )
    if not os.access(target.parent, os.W_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        raise InputError(
            where=where, found="no permission to write", required="a file that can be written"
        )
    for name, read in inputs:
        if any(_same(target, own) for own in _files_of(read)):
            raise InputError(
                where=where,
                found=f"a file that the command reads ({name.upper()})",
                required="another file",
            )


def _files_of(path: Path) -> list[Path]:
    """The file itself; of a folder, the files with that suffix that gencheck reads in it."""
    return [path, path / "run.json", *path.glob("*.index.json")] if path.is_dir() else [path]


def _same(first: Path, second: Path) -> bool:
    try:
        return os.path.realpath(first) == os.path.realpath(second) or first.samefile(second)
    except OSError:
        return False
