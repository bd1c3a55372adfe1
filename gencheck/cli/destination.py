"""Files that a command is to write: refused before the work where they cannot be written."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gencheck.atomic import is_stream
from gencheck.errors import InputError

# What a command writes itself, and what else it writes into; every other path is an input.
_WRITTEN = {"output", "report", "plot", "cache", "save", "save_predictions"}
_REPORTS = {".html", ".svg", ".md", ".xml", ".json"}


def refuse_destinations(parameters: Mapping[str, Any]) -> None:
    """Check the files that a command's `parameters` name for its results, before it begins.

    Raises
    ------
    InputError
        `--output` is not a .json or `--report` none of its kinds; either is a folder, in a folder
        that is missing or cannot be written, the other's file, or one of the command's inputs, be
        it through a link.
    """
    others = [
        (name, value)
        for name, given in parameters.items()
        if name not in _WRITTEN
        for value in (given if isinstance(given, list | tuple) else [given])
        if isinstance(value, Path)
    ]
    written: list[Path] = []
    for option, path, suffixes in _destinations(parameters):
        require_destination(option, path, suffixes, others)
        if any(_same(path, other) for other in written):
            raise InputError(
                where=f"{option} {path}", found="a file named twice", required="one file a result"
            )
        written.append(path)


def _destinations(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Path, set[str]]]:
    if parameters.get("output") is not None:
        yield "--output", parameters["output"], {".json"}
    for path in parameters.get("report") or []:
        # a device has no suffix that could name the form
        yield "--report", path, _REPORTS


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
    if is_stream(path) and (option == "--output" or path.suffix.lower() in suffixes):
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
