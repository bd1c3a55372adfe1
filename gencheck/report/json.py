"""Documents as JSON: full precision, never NaN or Infinity, written atomically."""

import dataclasses
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from gencheck import __version__
from gencheck.errors import InputError
from gencheck.printable import encodable
from gencheck.report.limits import LimitReport

Document = dict[str, Any]


def plain(value: Any) -> Any:
    r"""`value` as JSON data: dataclasses become objects, tuples arrays, non-finite floats an error.

    Bytes of a file name that are no UTF-8 come as ``\xff``: strict readers of JSON take nothing else.

    Raises
    ------
    ValueError
        A float is NaN or infinite: whoever built the document must have said null and a reason.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {encodable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a document may not hold {value}")
    return value


def document(command: str, inputs: dict[str, Any], body: Any, gate: LimitReport | None) -> Document:
    """One command's document: schema, version, inputs, the command's own keys, the gate if asked."""
    head = {
        "schema": f"gencheck.{command}/1",
        "gencheck": __version__,
        "inputs": plain(inputs),
    }
    tail: Document = {}
    if gate is not None:
        tail = {"gate": {"passed": gate.passed, "checks": plain(gate.checks)}}
        if gate.would_pass is not None:
            tail["gate"]["would_pass"] = plain(gate.would_pass)
    own: Document = plain(body)
    return head | own | tail


def to_json(doc: Document, encoding: str = "utf-8") -> str:
    """`doc` as indented JSON text ending in a newline, in letters that `encoding` has."""
    text = json.dumps(doc, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(doc, indent=2, allow_nan=False) + "\n"
    return text


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


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one, never a part.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written.
    """
    write_bytes_atomically(path, text.encode(), "--output")


def write_bytes_atomically(path: Path, content: bytes, option: str) -> None:
    """As `write_atomically`, for the file that `option` names.

    A stream is written as it is; of a symbolic link, the file that it leads to.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written, or there is no space left.
    """
    try:
        if is_stream(path):
            _write_stream(path, content)
        else:
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise InputError(
            where=f"{option} {path}",
            found=error.strerror or str(error),
            required="a file in a folder that exists and can be written, with space left",
        ) from error


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
    import tempfile

    with tempfile.NamedTemporaryFile(
        "wb", dir=path.parent, prefix=f".{path.name[:100]}.", delete=False
    ) as handle:
        temporary = Path(handle.name)
        try:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
