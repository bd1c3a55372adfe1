"""The terminal report of `concentrate --plan`: the time first, then what it is made of."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.memory import shown_bytes
from gencheck.report.json import Document
from gencheck.report.terminal.parts import facts_grid, verdict

_STAGES = {
    "load": "done: checkpoint and data are read",
    "gates": "forward passes",
    "gram": "tiles of the Gram matrix",
    "beta1": "products of the Gram matrix, for β1 and ‖v‖₂",
    "beta2": "the search for the largest path, --beta2-budget",
    "certificate": "products, for --certify",
    "permutation": "products, for --permutations",
    "direction": "where on the input β1's direction lies",
}


def render(doc: Document) -> RenderableType:
    """The report of one plan."""
    work, seconds, measured = doc["work"], doc["seconds"], doc["measured"]
    parts: list[RenderableType] = [
        Text(_answer(doc), style="bold"),
        Text(""),
        _work(doc),
        Padding(_stages(seconds), (1, 0)),
        Text(
            f"Counts are exact; memory is an upper estimate of each process. Seconds are "
            f"extrapolated from {measured['items']:,} items sent forward and "
            f"{measured['gram_items']:,} of them paired, on this machine as busy as it was: "
            f"{measured['pairs_per_second']:,.3g} pairs/s, which is "
            f"{measured['pairs_per_second'] * work['flops_per_pair']:.2g} FLOP/s. How many products "
            f"an eigenvalue takes is counted on those few ({_products(measured)}).",
            style="dim",
        ),
        verdict(_verdict(doc)),
    ]
    return Group(*parts)


def _answer(doc: Document) -> str:
    left = doc["seconds"]["total"] - doc["seconds"]["load"]
    work, memory = doc["work"], doc["memory"]
    ranks = "" if work["ranks"] == 1 else f" in each of {work['ranks']} processes"
    return (
        f"About {_time(left)} for {work['pairs']:,} pairs, in at most "
        f"{shown_bytes(memory['total'])}{ranks}."
    )


def _verdict(doc: Document) -> str:
    left = doc["seconds"]["total"] - doc["seconds"]["load"]
    memory = shown_bytes(doc["memory"]["total"])
    return f"Verdict: about {_time(left)} and {memory}; nothing but the pilot was run."


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _work(doc: Document) -> RenderableType:
    data, work, held, memory = doc["data"], doc["work"], doc["bytes"], doc["memory"]
    table = facts_grid()
    table.add_row(
        "items", f"{data['sample']:,} of the sample, {data['reference']:,} of the reference"
    )
    table.add_row("pairs", f"{work['pairs']:,}, by {_executor(work)}")
    table.add_row(
        "operations",
        f"{work['flops']:.3g}: {work['flops_per_pair']:,} a pair, through maps of "
        f"{work['cells_per_pair']:,} cells",
    )
    table.add_row(
        "bytes",
        f"{shown_bytes(held['gram'])} of tiles ({_STORED[work['storage']]}), "
        f"{shown_bytes(held['gates'])} of gates, {shown_bytes(held['items'])} of items",
    )
    parts = ", ".join(f"{name} {shown_bytes(memory[name])}" for name in _HELD if memory[name])
    table.add_row("memory", f"{shown_bytes(memory['total'])} a process: {parts}")
    if work["ranks"] > 1:
        table.add_row(
            "ranks",
            f"{work['ranks']}, the largest share {work['largest_share']:.3g}; each sends "
            f"{shown_bytes(held['sent']['gates'])} of gates once and "
            f"{shown_bytes(held['sent']['product'])} a product and column",
        )
    return table


_HELD = ("gram", "data", "gates", "working", "factors")
_STORED = {
    "memory": "held",
    "disk": "on disk, read in every product",
    "recompute": "formed anew in every product",
}


def _executor(work: dict[str, Any]) -> str:
    return "matrix products" if work["executor"] == "matrix" else "counted bits"


def _stages(seconds: dict[str, float]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify, no_wrap=justify == "right", overflow="fold")
    table.add_row(*(Text(word, style="dim") for word in ("stage", "seconds", "")))
    for stage, words in _STAGES.items():
        if stage in seconds:
            table.add_row(stage, f"{seconds[stage]:,.3g}", Text(words, style="dim"))
    table.add_row("total", f"{seconds['total']:,.3g}", "")
    return table


def _products(measured: dict[str, Any]) -> str:
    found = measured["products"].items()
    return ", ".join(f"{stage} {each['products']}" for stage, each in found)
