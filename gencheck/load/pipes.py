"""Pipes as files: what one gives is written to a temporary file, its suffix told by its content."""

import json
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path, PosixPath
from typing import Any, BinaryIO

from gencheck.errors import InputError
from gencheck.load.files import listed
from gencheck.memory import require_memory

_CHUNK = 1 << 20
_KINDS = ".csv, .jsonl, .json, .npy, .npz, .parquet, .safetensors or .eval"


class Received(PosixPath):
    """A file that holds what a pipe gave; to people it goes by the pipe's name.

    Whatever opens it gets the file (``os.fspath``); messages and records show the name (``str``).
    """

    shown: str

    def __str__(self) -> str:
        return getattr(self, "shown", None) or super().__str__()

    def __fspath__(self) -> str:
        return super().__str__()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Received":
        return self


def received(path: Path) -> Received:
    """What a pipe gives, as a file of the kind that its first bytes show; removed with the process.

    Raises
    ------
    InputError
        Nothing came, or nothing that is read from a pipe.
    """
    name = "standard-input" if str(path) in {"-", "/dev/stdin"} else f"pipe-{path.name}"
    raw = Path(_folder().name) / name
    with raw.open("wb") as kept:
        if str(path) == "-":
            _copy(sys.stdin.buffer, kept, path)
        else:
            with path.open("rb") as source:
                _copy(source, kept, path)
    if not raw.stat().st_size:
        raise InputError(
            where=str(path),
            found="nothing, or what was read from it before",
            required="a pipe that gives its content, named once",
        )
    found = Received(raw.rename(raw.with_suffix(_suffix(raw, path))))
    found.shown = str(path)
    return found


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gencheck-", ignore_cleanup_errors=True)


def _copy(source: BinaryIO, kept: BinaryIO, path: Path) -> None:
    total = 0
    while chunk := source.read(_CHUNK):
        total += len(chunk)
        # what no reader could hold is not kept on disk either
        require_memory(total, str(path), "a pipe's content")
        kept.write(chunk)


def _suffix(raw: Path, path: Path) -> str:
    """The kind of a content by its first bytes."""
    with raw.open("rb") as handle:
        head = handle.read(4096)
    for signature, suffix in ((b"PAR1", ".parquet"), (b"\x93NUMPY", ".npy")):
        if head.startswith(signature):
            return suffix
    if head.startswith(b"PK") and zipfile.is_zipfile(raw):
        with zipfile.ZipFile(raw) as archive:
            members = archive.namelist()
        if all(member.endswith(".npy") for member in members):
            return ".npz"
        if any(Path(member).name == "header.json" for member in members):
            return ".eval"
        raise _unknown(path, f"a zip archive of {listed(members, 3)}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= raw.stat().st_size - 8:
        return ".safetensors"
    if b"\0" in head or head.startswith(b"\x1f\x8b"):
        raise _unknown(path, f"bytes that begin with {head[:4].hex()}")
    return _of_text(raw, head)


def _of_text(raw: Path, head: bytes) -> str:
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return ".csv"
    with raw.open("rb") as handle:
        first = next(line for line in handle if line.strip())
        more = any(line.strip() for line in handle)
    try:
        whole = json.loads(first)
    except (ValueError, RecursionError):
        return ".json"
    # an object a line; a single line may be a whole log of Inspect's
    return ".jsonl" if isinstance(whole, dict) and (more or "eval" not in whole) else ".json"


def _unknown(path: Path, found: str) -> InputError:
    return InputError(
        where=str(path),
        found=found,
        required=f"from a pipe the content of {_KINDS}",
        remedy="Write it to a file of the right name first.",
    )
