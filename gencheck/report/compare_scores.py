"""The document of `compare-scores`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gencheck.guarantees.paired import PairedComparison, PairedResult
from gencheck.guarantees.paired_units import PairedRequest
from gencheck.load.digest import sha256_of
from gencheck.report.limits import LimitCheck, LimitReport


def compare_scores_inputs(request: PairedRequest) -> dict[str, Any]:
    """Everything needed to repeat the run."""
    given = asdict(request) | asdict(request.keys)
    del given["keys"]
    return given | {
        "baseline": _file(request.baseline),
        "candidates": [_file(path) for path in request.candidates],
    }


def _file(path: Path) -> dict[str, Any]:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return {"path": str(path), "sha256": [sha256_of(file) for file in files]}


def compare_scores_body(result: PairedResult) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    return {
        "certainty": "certified",
        "baseline": result.baseline,
        "matched_by": result.matched_by,
        "items_left_out": result.left_out,
        "comparisons": [_comparison(comparison) for comparison in result.comparisons],
        "assumes": list(result.assumes),
    }


def _comparison(found: PairedComparison) -> dict[str, Any]:
    improvement = found.improvement
    return {
        "candidate": found.name,
        "items": found.items,
        "loss": {"baseline": found.baseline_loss, "candidate": found.candidate_loss},
        "improvement": {
            "value": improvement.value,
            "lower": improvement.lower,
            "upper": improvement.upper,
        },
        "test": improvement.test,
        "p_value": improvement.p_value,
        "p_adjusted": found.p_adjusted,
        "better": {"p_value": improvement.p_better, "p_adjusted": found.p_better_adjusted},
        "table": found.table,
        "items_needed": found.items_needed,
        "items_to_decide": found.to_decide,
        "strata": list(found.strata),
        "differing": list(found.differing),
    }


def better_gate(result: PairedResult, delta: float, margin: float) -> LimitReport:
    """One check a candidate: the adjusted one-sided p-value is at most δ; and what would pass."""
    failed = [found for found in result.comparisons if not found.p_better_adjusted <= delta]
    return LimitReport(
        tuple(
            LimitCheck(
                f"better, {found.name}",
                delta,
                found.p_better_adjusted,
                found.p_better_adjusted <= delta,
            )
            for found in result.comparisons
        ),
        _would_pass(failed, margin) if failed else None,
    )


def _would_pass(failed: list[PairedComparison], margin: float) -> dict[str, Any]:
    """About how many items like these would do for all that failed, or why none would."""
    for found in failed:
        if found.improvement.value <= margin:
            seen = f"{found.improvement.value:.4g} of {found.name}"
            reason = (
                f"no number of items, since the improvement seen, {seen}, is not above {margin:g}"
            )
            return {"items": None, "reason": reason}
    # p-values that are small enough alone and not with those of others need no more than they have
    counts = [found.items if found.to_pass is None else found.to_pass for found in failed]
    return {"items": max(counts)}
