"""Which architectures that nobody here wrote are audited whole, by their tail, or not at all.

    python -m tests.benchmarks.coverage_of_models results.jsonl [NAME …] && \\
    python -m tests.benchmarks.coverage_of_models --page results.jsonl > docs/coverage-of-models.md

Each model has random weights and runs in a process of its own: its seconds and its peak memory are
those of reading it and of checking z·w against its own outputs on two items. Needs the extra `models`.
"""

import json
import logging
import os
import resource
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.errors import UnsupportedModel
from gencheck.network.algebra import log2_path_count, logits
from tests.benchmarks.model_zoo import zoo


def items_of(shape: tuple[int, ...], text: bool, count: int) -> Tensor:
    """Random images or texts."""
    given = (count, *shape)
    return torch.randint(0, 1000, given).float() if text else torch.rand(given)


@torch.no_grad()
def drawn(model: nn.Module, shape: tuple[int, ...], text: bool) -> nn.Module:
    """The model in eval mode, without what would make the comparison empty.

    Weights that start as one constant (layer scales near 0, heads at 0, gains of 1) are drawn, and
    normalisations by batch have the statistics of random items: with mean 0 and variance 1 signals die
    out on the way through many layers, and every output is its bias.
    """
    for parameter in model.parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            zero = not bool(parameter.any())
            _ = parameter.normal_(0, 0.1) if zero else parameter.uniform_(0.5, 1.5)
    model.eval()
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.momentum = None
            norm.train()
        model(items_of(shape, text, 8))
    return model.eval()


def measure(name: str) -> dict[str, Any]:
    """One row: how much of the model is covered, and how far z·w is from its own outputs."""
    library, make, shape, text = zoo()[name]
    torch.manual_seed(0)
    started, model = time.perf_counter(), drawn(make(), shape, text)
    row: dict[str, Any] = {"name": name, "library": library, "item": list(shape)}
    try:
        audited = model_of_module(model, [shape])
        items = items_of(shape, text, 2)
        own, found = audited.own_output(items), logits(audited.network, items)[0].plain()
        scale = float(own.abs().max()) or 1.0
        row |= {"covered": "whole", "deviation": float((own - found).abs().max()) / scale}
        row |= {"log10_paths": log2_path_count(audited.network) * 0.30103}
        row |= {"computed": len(audited.network.gate_places())}
    except UnsupportedModel as error:
        row |= {"covered": "tail" if error.layers else "refused", "offenders": error.offenders[:3]}
        row |= {"layers": error.layers[:1]}
    row["seconds"] = time.perf_counter() - started
    row["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def _in_own_process(name: str) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            row = measure(name)
        except Exception as error:
            row = {"name": name, "covered": "error", "offenders": [repr(error)[:300]]}
        with os.fdopen(write, "w") as stream:
            json.dump(row, stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"name": name, "covered": "error", "offenders": ["died"]}


def page(rows: list[dict[str, Any]]) -> str:
    """The page of the documentation."""
    by_name = {row["name"]: row for row in rows}
    ordered = [by_name[name] for name in zoo() if name in by_name]
    whole = sum(row["covered"] == "whole" for row in ordered)
    versions = ", ".join(
        f"{name} {version(name)}" for name in sorted({library for library, *_ in zoo().values()})
    )
    missing = [name for name in zoo() if name not in by_name]
    lines = [
        "# Which models are covered",
        "",
        f"{whole} of {len(ordered)} architectures measured are covered whole, with random weights"
        + (f" (not measured yet: {', '.join(missing)})" if missing else "")
        + f" ({versions}).",
        "Each was read and its z·w compared with its own outputs on two items, in float32 on one thread "
        "of a busy",
        "machine; weights that start as one constant are drawn, and normalisations have the statistics "
        "of random",
        "items, so that the comparison is not empty. Seconds and memory are those of reading and "
        "checking it, the",
        "libraries included. Made by `python -m tests.benchmarks.coverage_of_models`.",
        "",
        "| library | model | item | covered | paths | computed gates | deviation | seconds | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ordered:
        shape = " × ".join(map(str, row["item"]))
        if row["covered"] == "whole":
            facts = f"10^{row['log10_paths']:.0f} | {row['computed']} | {row['deviation']:.0e}"
            covered = "whole"
        else:
            facts = " | | "
            reason = row["offenders"][0].replace("|", "\\|")
            covered = f"from {row['layers'][0]}" if row["layers"] else "refused"
            covered = f"{covered}: {reason}"
        lines.append(
            f"| {row['library']} | {row['name']} | {shape} | {covered} | {facts} | "
            f"{row['seconds']:.0f} | {row['megabytes']:.0f} MB |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the models named, all by default, and append a row for each; or print the page."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    first, *rest = sys.argv[1:]
    if first == "--page":
        print(page([json.loads(line) for line in Path(rest[0]).read_text().splitlines()]), end="")
        return
    for name in rest or zoo():
        row = _in_own_process(name)
        with Path(first).open("a") as stream:
            stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
