"""A document as one HTML file: no outside request, no script, light and dark, for paper and telephone."""

import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata, resources
from typing import Any, TypeAlias

from gencheck.audit.item_picture import ItemPicture
from gencheck.errors import needing
from gencheck.report.answer import answer, items_stand_out, size
from gencheck.report.distributions import null_plots
from gencheck.report.item_names import named
from gencheck.report.json import Document, command_of
from gencheck.report.limits import would_pass_sentence
from gencheck.report.png import data_uri

# A picture of more places is summed over blocks of them first.
_LARGEST_MAP = 64

# Items shown as pictures at most, so that a long list leaves the file light; all stand in the table.
_MOST_PICTURES = 100

# Rows of the table of classes at most; the document has all.
_MOST_CLASSES = 100


# What items look like, by their set and index.
Pictures: TypeAlias = Mapping[tuple[str, int], ItemPicture]


def to_html(
    doc: Document,
    terminal: str,
    pictures: Pictures | None = None,
    mean: ItemPicture | None = None,
    *,
    typed: str = "",
) -> str:
    """The answer, the gates, plots, items, assumptions, the terminal's report, how to repeat it.

    Parameters
    ----------
    doc
        A document whose texts are printable.
    terminal
        Its report as plain text; its last paragraph is the verdict.
    pictures
        What items look like, by their set and index, of the attribution and of warnings.
    mean
        The mean of all items, below the map of the direction; None where items are no pictures.
    typed
        The command as it was typed; empty where there was none.

    Raises
    ------
    MissingDependency
        jinja2 is not there.
    """
    with needing("jinja2", "--report FILE.html"):
        from jinja2 import Environment, StrictUndefined
    source = resources.files("gencheck.report") / "templates" / "report.html"
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    values = _values(doc, terminal) | _pictures(doc, pictures or {})
    values |= {"typed": typed, "versions": _versions()}
    values["mean"] = None if mean is None else data_uri(mean)
    return template.render(values) + "\n"


def _values(doc: Document, terminal: str) -> dict[str, Any]:
    name = command_of(doc)
    verdict = " ".join(re.split(r"\n\s*\n", terminal.strip())[-1].split())
    is_audit = name == "concentrate"
    gate = doc.get("gate")
    values: dict[str, Any] = {
        "name": name,
        "version": doc["gencheck"],
        "answer": [answer(doc), size(doc), verdict] if is_audit else [verdict],
        "gate": gate,
        "warnings": doc.get("warnings", []),
        "advice": "" if gate is None else would_pass_sentence(gate),
        "plots": null_plots(doc) if is_audit and doc["permutation"]["rounds"] else [],
        "assumptions": _assumptions(doc),
        "terminal": "\n".join(line.rstrip() for line in terminal.strip("\n").splitlines()),
        "inputs": [(k, _as_text(v)) for k, v in doc["inputs"].items() if v is not None],
        "named": named,
        "number": lambda value: "n/a" if value is None else f"{value:.6g}",
    }
    return values | _bars(doc, name) | _items(doc) | _classes(doc) | _map(doc)


def _versions() -> str:
    """Of what the figures were computed with; nothing is imported to tell."""
    found = [f"Python {platform.python_version()}"]
    for name in ("numpy", "scipy", "torch"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def _as_text(value: Any) -> str:
    if (
        isinstance(value, dict)
        and set(value) == {"path", "sha256"}
        and isinstance(value["path"], str)
    ):
        return f"{value['path']}, SHA-256 {value['sha256']}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bars(doc: Document, name: str) -> dict[str, Any]:
    """Gap and bounds of an audit on a scale of powers of ten; bounds on a risk on a plain one."""
    if name == "concentrate":
        gap, bound = abs(doc["gap"]["gap"]), doc["bound"]
        entries = [("|gap|", gap, "what the bounds are bounds on")]
        entries += [("bound", bound["value"], ""), ("tightest", bound["tightest"]["value"], "")]
        known = [(label, value, note) for label, value, note in entries if value]
        if len(known) < 2:
            return {"bars": []}
        low = math.floor(min(math.log10(value) for _, value, _ in known)) - 0.2
        high = max(math.log10(value) for _, value, _ in known)
        widths = [100 * (math.log10(value) - low) / (high - low) for _, value, _ in known]
        title, scale = "Gap and bounds", "The scale is logarithmic: equal steps are equal factors."
    else:
        known = [
            (bound["name"], bound["risk"], "certified" if _is_certified(doc, bound) else "")
            for bound in doc.get("bounds", [])
            if isinstance(bound, dict) and bound.get("risk") is not None
        ]
        if not known:
            return {"bars": []}
        most = max(1.0, *(value for _, value, _ in known))
        widths = [100 * max(value, 0) / most for _, value, _ in known]
        title = "Bounds on the risk"
        scale = f"The whole width is {most:.4g}."
    bars = [
        {"name": label, "value": f"{value:.4g}", "note": note, "width": round(width, 2)}
        for (label, value, note), width in zip(known, widths, strict=True)
    ]
    return {"bars": bars, "bars_title": title, "bars_scale": scale}


def _is_certified(doc: Document, bound: dict[str, Any]) -> bool:
    certified = doc.get("certified")
    return isinstance(certified, dict) and certified.get("name") == bound["name"]


def _assumptions(doc: Document) -> list[str]:
    """Everything that the figures rest on, each once, in the document's order."""
    texts = list(doc["inputs"].get("assumptions") or [])
    for bound in [*doc.get("bounds", []), doc.get("bound")]:
        if isinstance(bound, dict):
            texts += bound.get("assumes") or []
    certified = doc.get("certified")
    if isinstance(certified, dict):
        texts += certified.get("assumptions") or []
    return list(dict.fromkeys(text for text in texts if isinstance(text, str)))


def _items(doc: Document) -> dict[str, Any]:
    """The items that make up β1, where it is more than noise."""
    found = doc.get("attribution") or []
    if not found or not items_stand_out(doc):
        return {"items": [], "strongest_place": None}
    most = max(abs(item["share"]) for item in found) or 1
    energy = (doc.get("direction") or {}).get("energy") or []
    top = max(energy, default=0.0)
    marked = top > 0 and any(len(item.get("tokens", ())) == len(energy) for item in found)
    return {
        "items": [
            item
            | {"width": round(100 * abs(item["share"]) / most, 2)}
            | {"words": _words(item.get("tokens", ()), energy if marked else (), top)}
            for item in found
        ],
        "strongest_place": top if marked else None,
    }


def _words(tokens: Sequence[str], energy: Sequence[float], top: float) -> list[tuple[str, float]]:
    """The words of an item, each with the share of the direction at its place over the largest."""
    strengths = [value / top for value in energy] if len(energy) == len(tokens) else []
    return list(zip(tokens, strengths or [0.0] * len(tokens), strict=True))


def _pictures(doc: Document, pictures: Pictures) -> dict[str, Any]:
    """The items as pictures: those that make up β1, where it is more than noise; those of warnings."""
    marked = doc.get("attribution") or []
    return {
        "pictures": _shown(marked, pictures) if marked and items_stand_out(doc) else [],
        "warned_pictures": [_shown(each["items"], pictures) for each in doc.get("warnings", [])],
    }


def _shown(items: Sequence[dict[str, Any]], pictures: Pictures) -> list[dict[str, Any]]:
    found = [(item, pictures.get((item["set"], item["index"]))) for item in items[:_MOST_PICTURES]]
    return [item | {"source": data_uri(own)} for item, own in found if own is not None]


def _classes(doc: Document) -> dict[str, Any]:
    """The classes by label; where they are many, those with the most errors on the reference."""
    found = doc.get("classes") or []
    most = sorted(found, key=lambda one: -one["reference"]["errors"])[:_MOST_CLASSES]
    return {
        "classes": sorted(most, key=lambda one: one["label"]),
        "classes_left_out": len(found) - len(most),
    }


def _map(doc: Document) -> dict[str, Any]:
    """The energy over the picture, channels added, in blocks where it has many places."""
    found = doc.get("direction") or {}
    shape, axis = found.get("shape"), found.get("channel_axis")
    if not shape or not found.get("items") or not items_stand_out(doc):
        return {"cells": []}
    sides = [extent for place, extent in enumerate(shape) if place != axis]
    if len(sides) != 2:
        return {"cells": []}
    height, width = sides
    step = max(1, -(-max(sides) // _LARGEST_MAP))
    across, down = -(-width // step), -(-height // step)
    energy = [[0.0] * across for _ in range(down)]
    for place, value in enumerate(found["energy"]):
        y, x = _position(place, shape, axis)
        energy[y // step][x // step] += value
    top = max(map(max, energy))
    if not top > 0:
        return {"cells": []}
    cells = [
        {"x": x, "y": y, "strength": round(value / top, 3)}
        for y, row in enumerate(energy)
        for x, value in enumerate(row)
        if value / top >= 5e-4
    ]
    return {
        "cells": cells,
        "cells_top": top,
        "cells_width": across,
        "cells_height": down,
        # the picture itself ends where its last block may reach further
        "mean_width": width / step,
        "mean_height": height / step,
    }


def _position(place: int, shape: list[int], axis: int | None) -> tuple[int, int]:
    """Row and column of a coordinate, numbered in the order of storage."""
    index: list[int] = []
    for extent in reversed(shape):
        place, own = divmod(place, extent)
        index.insert(0, own)
    row, column = (own for at, own in enumerate(index) if at != axis)
    return row, column
