"""Documents as JSON: full precision, never NaN or Infinity."""

import dataclasses
import json
import math
from typing import Any

from gencheck.printable import encodable
from gencheck.report.limits import LimitReport
from gencheck.version import __version__

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


def command_of(doc: Document) -> str:
    """The command whose document it is, or the kind of it where a command has two."""
    return str(doc["schema"]).removeprefix("gencheck.").partition("/")[0]


def to_json(doc: Document, encoding: str = "utf-8") -> str:
    """`doc` as indented JSON text ending in a newline, in letters that `encoding` has."""
    text = json.dumps(doc, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(doc, indent=2, allow_nan=False) + "\n"
    return text
