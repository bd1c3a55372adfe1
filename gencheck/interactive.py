"""The audit for a notebook or a script: its result shows itself."""

import html
from dataclasses import dataclass, field, fields
from typing import Any

from torch import nn

from gencheck.audit import api
from gencheck.audit.options import AuditOptions
from gencheck.audit.result import ConcentrationResult
from gencheck.errors import needing
from gencheck.progress import SILENT, Progress

# The height of the frame that a notebook shows the report in.
_FRAME = "width:100%;height:42rem;border:0"


@dataclass(frozen=True, repr=False)
class Audit(ConcentrationResult):
    """What `audit_module` measured, with the report, the document and a table of it.

    Attributes
    ----------
    inputs
        What the document says of what went in.
    """

    inputs: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The document that `gencheck concentrate --json` prints for the same audit."""
        from gencheck.report.concentrate import concentrate_body
        from gencheck.report.json import document

        return document("concentrate", self.inputs, concentrate_body(self), None)

    def report(self) -> str:
        """The report of the command line as text, 80 columns wide."""
        from gencheck.report.terminal.concentrate import render
        from gencheck.report.terminal.plain import as_text

        return as_text(render(self.to_dict()))

    def to_pandas(self) -> Any:
        """The items that make up β1 as a DataFrame: set, index, label, share; largest share first.

        Raises
        ------
        MissingDependency
            pandas is not installed.
        """
        with needing("pandas", "to_pandas()"):
            import pandas
        names = ("set", "index", "label", "share")
        rows = [{name: getattr(item, name) for name in names} for item in self.attribution]
        return pandas.DataFrame(rows, columns=list(names))

    def _repr_html_(self) -> str:
        """The HTML report in a frame of its own, so that its style stays with it."""
        from gencheck.report.html import to_html
        from gencheck.report.pictures import pictures_of

        mean = None if self.direction is None else self.direction.mean
        page = to_html(self.to_dict(), self.report(), pictures_of(self), mean)
        return f'<iframe style="{_FRAME}" srcdoc="{html.escape(page)}"></iframe>'

    def __repr__(self) -> str:
        """One line: how many items, and the answer."""
        from gencheck.report.answer import answer

        sizes = f"{self.data.sample} against {self.data.reference} items"
        return f"<gencheck audit, {sizes}: {answer(self.to_dict())}>"


def audit_module(
    module: nn.Module,
    sample: tuple[Any, Any],
    reference: tuple[Any, Any],
    task: str = "auto",
    options: AuditOptions | None = None,
    progress: Progress = SILENT,
    from_layer: str | None = None,
    gates: nn.Module | None = None,
) -> Audit:
    """`gencheck.audit.api.audit_module`, whose parameters and errors it has, as an `Audit`."""
    options = options or AuditOptions()
    found = api.audit_module(
        module,
        sample,
        reference,
        task=task,
        options=options,
        progress=progress,
        from_layer=from_layer,
        gates=gates,
    )
    measured = {each.name: getattr(found, each.name) for each in fields(found)}
    return Audit(**measured, inputs=_inputs(module, from_layer, options))


def _inputs(module: nn.Module, from_layer: str | None, options: AuditOptions) -> dict[str, Any]:
    """What there is to say of a module and arrays that are in no file."""
    in_memory = {"path": "arrays in memory", "sha256": None}
    return {
        "checkpoint": {"path": f"{type(module).__name__}, a module in memory", "sha256": None},
        "data": in_memory,
        "reference": in_memory,
        "holdout": None,
        "seed": options.seed,
        "from": from_layer,
        "preprocessing": [],
        "assumptions": [],
    } | options.record()
