"""The document of `reproduce`: an experiment's result, without its plot."""

from dataclasses import asdict
from typing import Any

from gencheck.experiments.experiment import ExperimentResult


def reproduce_body(
    result: ExperimentResult, hardware: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """The keys of the document that are the command's own.

    Parameters
    ----------
    hardware
        What it ran on.
    seconds
        How long it took.
    """
    return {
        "experiment": result.name,
        "certainty": result.certainty,
        "claim": result.claim,
        "rows": [dict(row) for row in result.rows],
        "comparisons": [asdict(comparison) for comparison in result.comparisons],
        "settings": dict(result.settings),
        "differs": list(result.differs),
        "verdict": result.verdict,
        "hardware": hardware,
        "timing": {"seconds": seconds},
    }
