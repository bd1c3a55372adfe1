"""The terminal report of `train`: what each phase reached, what was written, what to do next."""

import shlex
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gencheck.report.json import Document
from gencheck.report.terminal.figures import shown
from gencheck.report.terminal.parts import facts_grid, figures_grid, gate_lines, title


def render(doc: Document) -> RenderableType:
    """The report of one `train` document."""
    parts: list[RenderableType] = [_heading(doc), Padding(_phases(doc), (1, 0, 0, 0))]
    if doc["ridge"] is not None:
        parts.append(Padding(_ridge(doc["ridge"]), (1, 0, 0, 0)))
    return Group(*parts, *gate_lines(doc), Padding(_next(doc), (1, 0, 0, 0)))


def _heading(doc: Document) -> RenderableType:
    inputs, model, data = doc["inputs"], doc["model"], doc["data"]
    table = facts_grid()
    shape = " × ".join(str(extent) for extent in model["input_shape"])
    table.add_row("model", f"{inputs['arch']}: {model['parameters']:,} parameters")
    table.add_row("", f"{shape} → {model['outputs']}")
    table.add_row("data", inputs["data"]["path"])
    table.add_row("", f"{data['train']:,} items to train on, {data['test']:,} to test")
    table.add_row("seed", str(inputs["seed"]))
    return Group(title(doc), table)


def _phases(doc: Document) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("phase", style="bold")
    for name in ("items", "train risk", "train error", "test risk", "test error"):
        table.add_column(name, justify="right")
    for name in ("standard", "freeze"):
        if doc[name] is not None:
            table.add_row(name, *_fits(doc[name]))
    return table


def _fits(phase: dict[str, Any]) -> list[str]:
    own, test = phase["train"], phase["test"]
    cells = [f"{own['items']:,}", f"{own['risk']:.4f}", f"{own['error']:.2%}"]
    return cells + (["–", "–"] if test is None else [f"{test['risk']:.4f}", f"{test['error']:.2%}"])


def _ridge(ridge: dict[str, Any]) -> RenderableType:
    table = figures_grid("bold")
    table.add_row("ridge λ", f"{ridge['penalty_share']:.3g}", "times the mean of ‖z‖²")
    solver = ridge["solver"]
    if solver["method"] == "conjugate-gradients":
        said = (
            f"largest residual of the targets' norm after {solver['steps']} steps of conjugate "
            f"gradients; at most {solver['tolerance']:g} was required"
        )
        table.add_row("residual", f"{solver['residual']:.1e}", said)
        table.add_row("landmarks", f"{ridge['landmarks']:,}", "items that span the weights")
    else:
        said = "mean loss on an item fitted without it"
        table.add_row("left-out", f"{ridge['leave_one_out']:.4f}", said)
        said = f"items that span the weights; rank {ridge['rank']:,}"
        table.add_row("landmarks", f"{ridge['landmarks']:,}", said)
    gap = ridge["gap"]
    if gap is not None:
        table.add_row("gap", f"{gap['gap']:.4f}", "test risk − train risk, squared loss")
        if gap["bound"] is not None:
            value = shown(gap["bound"]["value"], gap["bound"].get("log10", {}).get("value"))
            table.add_row("bound", value, "β1 Σ‖w‖² + 2 Σ‖v‖‖w‖ + β3 on that gap")
    return table


def _next(doc: Document) -> RenderableType:
    inputs = doc["inputs"]
    folder, data = shlex.quote(inputs["out"]), shlex.quote(inputs["data"]["path"])
    lines = [f"Written to {inputs['out']}: {', '.join(doc['files'])}"]
    if doc["freeze"] is not None:
        lines.append(f"What can be certified: gencheck certify {folder} {data}")
    if doc["ridge"] is None:
        # without a freeze phase the folder holds one network, under the one name or the other
        alone = next((name for name in ("model.pt2", "gates.pt2") if name in doc["files"]), "")
        target = folder if doc["freeze"] is not None else f"{folder}/{alone}"
        held_out = "" if doc["data"]["test"] else " --holdout 0.3"
        lines.append(f"How concentrated: gencheck concentrate {target} {data}{held_out}")
    return Text("\n".join(lines), style="dim")
