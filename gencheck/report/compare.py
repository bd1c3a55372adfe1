"""The document of `compare`: one row for each theory, under keys that consumers rely on."""

from typing import Any

from gencheck.comparison.result import ComparisonResult, TheoryRow
from gencheck.report.concentrate import numbers


def compare_body(result: ComparisonResult) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    facts = result.model
    return {
        "model": {
            "parameters": facts.parameters,
            "log10_paths": facts.log10_paths,
            "input_shape": list(facts.input_shape),
            "outputs": facts.outputs,
            "operations": facts.operations,
        },
        "data": {
            "sample": result.data.sample,
            "reference": result.data.reference,
            "task": result.data.task,
            "sample_error": result.sample_error,
            "reference_error": result.reference_error,
        },
        "delta": result.delta,
        "theories": [theory_document(row) for row in result.rows],
        "certified": numbers({"risk": result.certified.risk}) | {"name": result.certified.name},
        "timing": {"seconds": result.seconds},
    }


def theory_document(row: TheoryRow) -> dict[str, Any]:
    """One row: the bound on the 0-1 risk and on the gap, how sure, and all that entered it."""
    figures = numbers({"measure": row.measure, "risk": row.risk, "gap": row.gap})
    reason = row.reason or figures.pop("reason", None)
    return {
        "name": row.name,
        "subject": row.subject,
        "certainty": None if row.risk is None else _certainty(row),
        "vacuous": row.vacuous,
        **figures,
        "unit": row.unit,
        "assumptions": [{"statement": a.statement, "met": a.met} for a in row.assumptions],
        "constants": numbers(row.constants),
        "source": row.source,
        **({} if reason is None else {"reason": reason}),
    }


def _certainty(row: TheoryRow) -> str:
    return "certified" if row.certified else "estimated"
