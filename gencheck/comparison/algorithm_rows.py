"""The rows of the theories about what training does: posteriors, stability, robustness, sharpness."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from gencheck.bounds.classical import robustness_bound, stability_bound
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.pac_bayes import log_prior_price, pac_bayes_bound
from gencheck.comparison.measures.estimates import cell_variation, last_layer_stability, sharpness
from gencheck.comparison.measures.margins import margins_of, ramp_losses
from gencheck.comparison.measures.posterior import gibbs_facts
from gencheck.comparison.result import TheoryRow
from gencheck.comparison.study import Study
from gencheck.comparison.theories import head_of, pac_bayes_head, uncovered
from gencheck.network.algebra import NumericAlgebra
from gencheck.network.interpret import interpret
from gencheck.network.ir import Network
from gencheck.network.planes import GatedNode, decided, gate_values
from gencheck.network.scaled import Scaled
from gencheck.progress import Progress

# The share of δ that pays for sampling the Gibbs error.
_SAMPLING_SHARE = 0.1
# Items of the sample on which gradients of the whole network are taken.
_ASCENT_ITEMS = 500
_SHARPNESS_RADIUS, _ASCENT_STEPS, _ASCENT_STARTS = 5e-4, 12, 3
_CENTRES = 10


def pac_bayes_row(
    study: Study, prior: list[Tensor] | None, steps: int, draws: int, progress: Progress
) -> TheoryRow:
    """The PAC-Bayes bound of the Gibbs classifier around the weights."""
    row = pac_bayes_head(study, own_prior=prior is not None)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    facts = gibbs_facts(
        study.network,
        prior,
        items=study.sample,
        labels=study.sample_labels,
        steps=steps,
        draws=draws,
        delta=study.delta,
        seed=study.seed,
        progress=progress,
    )
    price = log_prior_price(facts.prior_index)
    sampling = _SAMPLING_SHARE * study.delta
    bound = pac_bayes_bound(
        facts.sampled_error,
        facts.draws,
        divergence=facts.divergence,
        m=study.m,
        delta=study.delta - sampling,
        sampling_delta=sampling,
        log_price=price,
    )
    return replace(
        row,
        measure=Magnitude.of(facts.divergence),
        unit="KL(Q‖P), nats",
        risk=Magnitude.of(bound.risk),
        constants={
            "sampled_error": facts.sampled_error,
            "draws": facts.draws,
            "sampling_delta": sampling,
            "weights": facts.count,
            "distance_to_prior": facts.distance,
            "posterior_deviation": facts.mean_deviation,
            "prior_variance": facts.prior_variance,
            "prior_price": price,
        },
    )


def stability_row(study: Study) -> TheoryRow:
    """Uniform stability, estimated for the refit of the last layer."""
    row = head_of("uniform-stability", study)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    features = torch.cat(
        [_last_features(study.network, x) for x in study.sample.split(study.batch_size)]
    )
    facts = last_layer_stability(features, study.sample_labels, study.classes)
    bound = stability_bound(facts.loss, facts.beta, facts.items, study.delta)
    return replace(
        row,
        measure=Magnitude.of(facts.beta),
        unit="β, at least, in ramp loss",
        risk=Magnitude.of(bound.risk),
        constants={"ridge": facts.ridge, "mean_loss": facts.loss, "items": facts.items},
    )


def robustness_row(study: Study) -> TheoryRow:
    """Robustness, estimated on cells around items of the reference."""
    gamma = max(float(study.margins.median()), 1e-12)
    keys = []
    for outputs, labels in (
        (study.sample_outputs, study.sample_labels),
        (study.reference_outputs, study.reference_labels),
    ):
        own = labels.cpu()
        keys.append((own, ramp_losses(margins_of(outputs, own), gamma)))
    facts = cell_variation(
        study.sample.cpu(),
        keys[0],
        reference=study.reference.cpu(),
        reference_keys=keys[1],
        centres=_CENTRES,
        classes=study.classes,
        seed=study.seed,
    )
    bound = robustness_bound(
        study.margin_loss(gamma), facts.variation, facts.cells, study.m, study.delta
    )
    return replace(
        head_of("robustness", study),
        measure=Magnitude.of(facts.variation),
        unit="ε, at least, in ramp loss",
        risk=Magnitude.of(bound.risk),
        constants={
            "cells": facts.cells,
            "cells_compared": facts.compared,
            "margin": gamma,
            "margin_loss": study.margin_loss(gamma),
        },
    )


def sharpness_row(study: Study, progress: Progress) -> TheoryRow:
    """Sharpness: an estimate of the loss around the weights, no bound on a risk."""
    row = head_of("sharpness", study)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    items, labels = study.sample[:_ASCENT_ITEMS], study.sample_labels[:_ASCENT_ITEMS]
    facts = sharpness(
        study.network,
        items,
        labels=labels,
        radius=_SHARPNESS_RADIUS,
        steps=_ASCENT_STEPS,
        starts=_ASCENT_STARTS,
        seed=study.seed,
        progress=progress,
    )
    known = math.isfinite(facts.loss) and math.isfinite(facts.worst_loss)
    return replace(
        row,
        measure=Magnitude.of(facts.percent) if known else None,
        unit="% of 1 + cross-entropy, at least",
        constants={
            "radius": _SHARPNESS_RADIUS,
            "items": len(items),
            "loss": facts.loss if known else None,
            "worst_loss": facts.worst_loss if known else None,
            "error": facts.error,
            "worst_error": facts.worst_error,
        },
        reason="no theorem bounds the risk by it"
        + ("" if known else "; outputs near the weights overflow: try --dtype float64"),
    )


def _last_features(network: Network, items: Tensor) -> Tensor:
    """What enters the last layer, shape (N, d)."""
    (source,) = network.output_layer.sources
    body = Network(network.nodes[: source + 1])

    def gates(position: int, node: GatedNode, value: Scaled) -> list[Tensor]:
        return [gate_values(node, plane, value.mantissa) for plane in decided(node, value)]

    return interpret(body, NumericAlgebra(items, lambda w: w, gates)).plain()
