"""The rows of the theories of data and capacity: validation, concentration, two-phase margins, VC."""

import math
from dataclasses import replace

from gencheck.audit.result import ConcentrationResult
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.grid import grid_index, log_grid_price
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.margin import independent_bound
from gencheck.bounds.validation import certified_bound
from gencheck.bounds.vc import vc_bound, vc_dimension
from gencheck.comparison.measures.capacity import layer_counts, uncounted_by_vc
from gencheck.comparison.result import TheoryRow
from gencheck.comparison.study import PER_OCTAVE, Study
from gencheck.comparison.theories import head_of, uncovered
from gencheck.network.algebra import log2_l2_squared, logits
from gencheck.network.innerproducts import squared_feature_norms

_NORM_STEPS = 8


def validation_row(study: Study, log_models: float) -> TheoryRow:
    """The exact binomial bound on the reference's items."""
    n = len(study.reference)
    evidence = Evidence(n, study.reference_error, True)
    bound = certified_bound(evidence, log_models - math.log(study.delta))
    return replace(
        head_of("validation", study),
        source=bound.source,
        constants={"m_val": n, "errors": evidence.count, "log_n_models": log_models},
        measure=Magnitude.of(study.reference_error),
        unit="0-1 error on the reference",
        risk=Magnitude.of(bound.risk),
    )


def concentration_row(
    study: Study, audited: ConcentrationResult | None, reason: str | None
) -> TheoryRow:
    """The data-dependent bound, estimated: the reference stands in for the distribution."""
    row = head_of("data-dependent", study)
    if audited is None:
        return replace(row, reason=reason)
    value = audited.tightest.value
    risk = Magnitude.of(2.0) * (Magnitude.of(audited.gap.sample_risk) + value)
    return replace(
        row,
        measure=value,
        unit="bound on the gap, squared loss",
        risk=risk,
        constants={
            "beta1": audited.beta1.upper,
            "beta2": audited.beta2.upper,
            "beta3": audited.beta3,
            "l2_squared": audited.path_norms.l2_squared,
            "l1": audited.path_norms.l1,
            "sample_risk": audited.gap.sample_risk,
            "gap": audited.gap.gap,
        },
    )


def certified_concentration_row(study: Study) -> TheoryRow:
    """The data-dependent bound, certified: nothing, for gates that the sample trained."""
    return replace(
        head_of("data-dependent-certified", study),
        reason="one checkpoint: its gates saw the sample; certifying needs a two-phase checkpoint",
    )


def independent_row(study: Study) -> TheoryRow:
    """The data-independent bound at the best margin of the grid, as if the gates were independent."""
    row = head_of("data-independent", study)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    c_sigma = _feature_size(study)
    index = grid_index(float(log2_l2_squared(study.network).max()) / 2, _NORM_STEPS)
    c_w = Magnitude.from_log2(index / _NORM_STEPS)
    product = c_sigma * c_w
    best: tuple[Magnitude, float, float] | None = None
    for k in study.margin_indices():
        rho = 2.0 ** (k / PER_OCTAVE)
        delta = study.delta * math.exp(-log_grid_price(k) - log_grid_price(index))
        loss = study.margin_loss(rho)
        term = Magnitude.of(2 * study.classes**2 / (rho * math.sqrt(study.m))) * product
        bound = independent_bound(
            study.m,
            rho,
            d_y=study.classes,
            c_sigma=float(product),
            c_w=1.0,
            delta=delta,
            margin_loss=loss,
        )
        risk = term if bound.risk == math.inf else Magnitude.of(bound.risk)
        if best is None or not best[0] <= risk:
            best = (risk, rho, loss)
    assert best is not None
    return replace(
        row,
        constants={
            "c_sigma": c_sigma,
            "c_w": c_w,
            "rho": best[1],
            "margin_loss": best[2],
            "m_sigma": study.m,
            "d_y": study.classes,
        },
        measure=c_w,
        unit="ℓ2 path norm, one output",
        risk=best[0],
    )


def _feature_size(study: Study) -> Magnitude:
    """√ of the sample's mean ‖z‖²."""
    squares: list[float] = []
    for part in study.sample.split(study.batch_size):
        _, planes = logits(study.network, part)
        squares += squared_feature_norms(study.network, part, planes).log2().double().tolist()
    top = max(squares)
    if top == -math.inf:
        return Magnitude.of(0.0)
    mean = sum(2.0 ** (value - top) for value in squares) / len(squares)
    return Magnitude.from_log2((top + math.log2(mean)) / 2)


def vc_row(study: Study) -> TheoryRow:
    """The VC bound of the architecture."""
    row = head_of("vc", study)
    reason = study.other_gates or uncounted_by_vc(study.network)
    if reason is not None:
        return uncovered(row, reason)
    counts = layer_counts(study.network)
    dimension = vc_dimension(counts.units, counts.weights, counts.breakpoints)
    bound = vc_bound(study.sample_error, dimension, study.m, study.delta, study.classes)
    return replace(
        row,
        measure=Magnitude.of(dimension),
        unit="VC dimension, at most",
        risk=Magnitude.of(bound.risk),
        constants={
            "units": list(counts.units),
            "weights": list(counts.weights),
            "breakpoints": counts.breakpoints,
            "pairs_of_classes": study.classes * (study.classes - 1) // 2,
        },
    )
