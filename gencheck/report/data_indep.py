"""The document of `data-indep` where everything is measured on a two-phase run."""

from typing import Any

from gencheck.bounds.multiclass import MeasuredBound, assumptions
from gencheck.guarantees.two_phase_margin import Certificate
from gencheck.report.concentrate import numbers


def measured_body(certificate: Certificate, runs: int = 1) -> dict[str, Any]:
    """The keys of the document that are the command's own.

    Parameters
    ----------
    runs
        How many runs were compared on the items.
    """
    bounds = [
        _bound(bound, origin)
        for bound, origin in zip(certificate.bounds, certificate.origins, strict=True)
    ]
    first = certificate.bounds[0]
    return {
        "certainty": "certified",
        "bound": {
            "risk": first.risk,
            "slack": first.slack,
            "terms": {"rademacher": first.rademacher, "confidence": first.confidence},
            "vacuous": first.vacuous,
            "assumes": list(assumptions([w.origin for w in certificate.weights], runs)),
            "source": first.source,
        },
        "bounds": bounds,
        "certified": {"name": certificate.certified.name, "risk": certificate.certified.risk},
        "measured": {
            "m_sigma": certificate.items,
            "d_y": certificate.classes,
            "error": certificate.error,
            "runs": runs,
            "margin_unit": certificate.margin_unit,
            **numbers({"c_sigma": certificate.feature_norm}),
            "weights": [
                {"origin": weights.origin, **numbers(dict(weights.norms))}
                for weights in certificate.weights
            ],
        },
    }


def _bound(bound: MeasuredBound, origin: str) -> dict[str, Any]:
    return {
        "name": bound.name,
        "origin": origin,
        "risk": bound.risk,
        "slack": bound.slack,
        "margin_loss": bound.margin_loss,
        "terms": {"rademacher": bound.rademacher, "confidence": bound.confidence},
        "rho": bound.rho,
        "price_nats": bound.price,
        "vacuous": bound.vacuous,
        "source": bound.source,
    }
