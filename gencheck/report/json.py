"""Documents as JSON: full precision, never NaN or Infinity, written atomically."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from gencheck import __version__
from gencheck.errors import InputError
from gencheck.report.limits import LimitReport

Document = dict[str, Any]


def plain(value: Any) -> Any:
    """`value` as JSON data: dataclasses become objects, tuples arrays, non-finite floats an error.

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
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
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


def to_json(doc: Document) -> str:
    """`doc` as indented JSON text ending in a newline."""
    return json.dumps(doc, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


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

    Raises
    ------
    InputError
        The folder does not exist or cannot be written.
    """
    import os
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "wb", dir=path.parent, prefix=f".{path.name}.", delete=False
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
    except OSError as error:
        raise InputError(
            where=f"{option} {path}",
            found=error.strerror or str(error),
            required="a file in a folder that exists and can be written",
        ) from error
