"""The rows of the theories that rest on the size of the weights."""

import math
from dataclasses import replace
from math import prod

from gencheck.bounds.grid import grid_index, log_grid_price
from gencheck.bounds.magnitude import Magnitude
from gencheck.bounds.path_norm_margin import (
    chain_rademacher,
    graph_complexity,
    graph_expected_gap,
)
from gencheck.bounds.spectral_margin import spectral_complexity, spectral_margin_rademacher
from gencheck.comparison.measures.capacity import graph_counts, has_bias, uncovered_by_graph_bound
from gencheck.comparison.measures.layers import (
    LinearLayer,
    NotAChainError,
    chain_of,
    first_moment,
    homogeneous_lipschitz,
    homogeneous_norms,
)
from gencheck.comparison.result import TheoryRow
from gencheck.comparison.study import MarginChoice, Study, least_over_margins
from gencheck.comparison.theories import graph_head, head_of, uncovered
from gencheck.network.algebra import log2_l1

# Norms are rounded up to grids this fine.
_PATH_NORM_STEPS = 8


def chain_rademacher_row(study: Study) -> TheoryRow:
    """Rademacher complexity through the ℓ1 path norm of a chain of layers."""
    row = head_of("rademacher-path-norm", study)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    try:
        layers = chain_of(study.network)
    except NotAChainError as error:
        return uncovered(row, str(error))
    uneven = [x.label for x in layers if not x.homogeneous or x.lipschitz > 1]
    if uneven:
        return uncovered(row, f"what follows layer {uneven[0]} is no elementwise homogeneous map")
    biased = has_bias(study.network)
    index = grid_index(float(log2_l1(study.network).max()), _PATH_NORM_STEPS)
    norm = Magnitude.from_log2(index / _PATH_NORM_STEPS)
    inputs = study.input_count + biased
    scale = first_moment(study.sample, biased)

    def complexity(gamma: float) -> Magnitude:
        return chain_rademacher(
            norm,
            study.classes,
            depth=len(layers),
            inputs=inputs,
            data_scale=scale,
            gamma=gamma,
            m=study.m,
        )

    price = log_grid_price(index)
    best = least_over_margins(study, complexity, price)
    constants = {
        "path_norm": norm,
        "layers": len(layers),
        "inputs": inputs,
        "data_scale": scale,
        "grid_price": price,
    }
    return replace(
        row,
        measure=norm,
        unit="ℓ1 path norm, one output",
        risk=best.risk,
        constants=constants | _margin_constants(best),
    )


def graph_row(study: Study) -> TheoryRow:
    """The path-norm margin bound for ReLU graphs."""
    row = graph_head(study)
    reason = study.other_gates or uncovered_by_graph_bound(study.network)
    if reason is not None:
        return uncovered(row, reason)
    counts = graph_counts(study.network)
    total = _log2_sum(log2_l1(study.network).tolist())
    index = grid_index(total, _PATH_NORM_STEPS)
    norm = Magnitude.from_log2(index / _PATH_NORM_STEPS)
    factor = graph_complexity(
        counts.depth, study.input_count, study.classes, counts.pool_kinds, counts.pool_size
    )

    def half_gap(gamma: float) -> Magnitude:
        gap = graph_expected_gap(norm, factor, study.largest_input, gamma, study.m)
        return Magnitude.of(0.5) * gap

    price = log_grid_price(index)
    best = least_over_margins(study, half_gap, price, empirical=False)
    constants = {
        "path_norm": norm,
        "depth": counts.depth,
        "max_pool_kinds": counts.pool_kinds,
        "max_pool_size": counts.pool_size,
        "c": factor,
        "largest_input": study.largest_input,
        "grid_price": price,
    }
    return replace(
        row,
        measure=norm,
        unit="ℓ1 path norm, all outputs",
        risk=best.risk,
        constants=constants | _margin_constants(best),
    )


def spectral_row(study: Study) -> TheoryRow:
    """The spectrally normalised margin bound."""
    row = head_of("spectral-margin", study)
    if study.other_gates is not None:
        return uncovered(row, study.other_gates)
    try:
        layers = chain_of(study.network)
    except NotAChainError as error:
        return uncovered(row, str(error))
    if study.m < 2 or any(layer.upper == 0 for layer in layers):
        return uncovered(row, "a layer of weights 0, or a single item")
    uppers = homogeneous_norms(layers)
    spectral, two_one, price = _on_grids(layers, uppers)
    lipschitz = homogeneous_lipschitz(layers)
    complexity = spectral_complexity(spectral, two_one, lipschitz)
    biased = any(layer.bias_norm for layer in layers)
    squares = float(study.sample.double().square().sum()) + biased * study.m
    widths = [prod(study.network.input_shape), *(layer.outputs for layer in layers)]

    def complexity_at(gamma: float) -> Magnitude:
        return spectral_margin_rademacher(
            complexity, math.sqrt(squares), max(widths) + biased, gamma, study.m
        )

    best = least_over_margins(study, complexity_at, price)
    constants = {
        "spectral_norms": [[layer.lower, layer.upper] for layer in layers],
        "with_bias": uppers,
        "two_one_norms": [layer.two_one for layer in layers],
        "lipschitz_between": lipschitz,
        "complexity": complexity,
        "data_norm": math.sqrt(squares),
        "width": max(widths) + biased,
        "grid_price": price,
    }
    return replace(
        row,
        measure=complexity,
        unit="spectral complexity",
        risk=best.risk,
        constants=constants | _margin_constants(best),
    )


def _on_grids(
    layers: list[LinearLayer], uppers: list[float]
) -> tuple[list[float], list[float], float]:
    """s_i and b_i rounded up to grids of 2^(1/4L) for L layers, and the price of their choice."""
    steps = 4 * len(layers)
    rounded: list[list[float]] = []
    price = 0.0
    for values in (uppers, [max(layer.two_one, 2.0**-200) for layer in layers]):
        indices = [grid_index(math.log2(value), steps) for value in values]
        price += sum(log_grid_price(index) for index in indices)
        rounded.append([2.0 ** (index / steps) for index in indices])
    return rounded[0], rounded[1], price


def _log2_sum(logarithms: list[float]) -> float:
    top = max(logarithms)
    if top == -math.inf:
        return -1000.0
    return top + math.log2(sum(2.0 ** (value - top) for value in logarithms))


def _margin_constants(best: MarginChoice) -> dict[str, object]:
    return {
        "margin": best.gamma,
        "margin_loss": best.margin_loss,
        "complexity_term": Magnitude.of(2.0) * best.complexity,
    }
