"""The document of `certify`: the table, and the row that was named as the verdict."""

from typing import Any

from gencheck.guarantees.certificate import CertifiedRow, CertifyRequest, TargetRequest
from gencheck.guarantees.two_phase_table import CertifyResult
from gencheck.load.digest import sha256_of


def certify_inputs(request: CertifyRequest) -> dict[str, Any]:
    """Everything that is needed to repeat the command."""
    return {
        "run": {"path": str(request.folder), "sha256": sha256_of(request.folder)},
        "data": {"path": str(request.data), "sha256": sha256_of(request.data)},
        "x_key": request.x_key,
        "y_key": request.y_key,
        "delta": request.delta,
        "runs": request.runs,
        "verdict": request.verdict,
        "landmarks": request.landmarks,
        "seed": request.seed,
        "drawn": request.drawn,
        "prior_share": request.prior_share,
        "target": None if request.target is None else _target(request.target),
    }


def _target(target: TargetRequest) -> dict[str, Any]:
    return {
        "model": {"path": str(target.model), "sha256": sha256_of(target.model)},
        "unlabelled": {"path": str(target.unlabelled), "sha256": sha256_of(target.unlabelled)},
        "factory": target.factory,
        "key": target.key,
    }


def certify_body(result: CertifyResult) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    verdict = result.verdict
    return {
        "certainty": "certified",
        "measured": {
            "m_sigma": result.items,
            "d_y": result.classes,
            "test_items": result.test_items,
            "rank": result.rank,
        },
        "certificates": [_row(row) for row in result.rows],
        "verdict": {
            "name": verdict.name,
            "risk": verdict.risk,
            "confidence": 1 - result.request.delta,
        },
        "timing": {"seconds": result.seconds},
    }


def _row(row: CertifiedRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "classifier": row.classifier,
        "risk": row.risk,
        "vacuous": row.vacuous,
        "error": row.error,
        "test_error": row.test_error,
        "terms": dict(row.terms),
        "assumes": list(row.assumes),
        "source": row.source,
    }
