"""Margins, counts, weights, posteriors and estimates against definitions on tiny networks."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.model import model_of_module
from gencheck.bounds.classical import rademacher_bound
from gencheck.bounds.magnitude import Magnitude
from gencheck.comparison.measures.capacity import (
    graph_counts,
    has_bias,
    layer_counts,
    uncounted_by_vc,
    uncovered_by_graph_bound,
)
from gencheck.comparison.measures.estimates import cell_variation, last_layer_stability, sharpness
from gencheck.comparison.measures.margins import margins_of, ramp_losses
from gencheck.comparison.measures.posterior import gibbs_facts, streams
from gencheck.comparison.measures.weights import (
    batched_outputs,
    outputs_of,
    weights_of,
    with_weights,
)
from gencheck.comparison.study import risk_of
from gencheck.network.algebra import logits
from gencheck.network.innerproducts import squared_feature_norms
from gencheck.network.ir import Network
from gencheck.progress import SILENT
from tests.brute import enumerate_paths
from tests.networks import ZOO, build


def network(module: nn.Module, shape: tuple[int, ...]) -> Network:
    return model_of_module(module.eval(), [shape]).network


def blobs(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three well separated clouds of points."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.5]], dtype=torch.float64)
    noise = torch.randn((count, 2), generator=generator, dtype=torch.float64)
    return centres[labels] + 0.5 * noise, labels


def trained(items: Tensor, labels: Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(items), labels).backward()
        optimiser.step()
    return module


def test_margins_and_ramps() -> None:
    outputs = torch.tensor([[3.0, 1.0, 2.5], [0.0, 1.0, 4.0]], dtype=torch.float64)
    margins = margins_of(outputs, torch.tensor([0, 1]))
    assert margins.tolist() == [0.5, -3.0]
    assert ramp_losses(margins, 2.0).tolist() == [0.75, 1.0]
    assert ramp_losses(torch.tensor([0.0, 2.0, 5.0]), 2.0).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ZOO)
def test_feature_norms_are_those_of_all_paths(name: str) -> None:
    shape = ZOO[name][1]
    net = network(build(name), shape)
    items = torch.randn(
        (5, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    z, _ = enumerate_paths(net, items.flatten(1).numpy())
    _, planes = logits(net, items)
    ours = squared_feature_norms(net, items, planes).plain()
    assert ours.tolist() == pytest.approx((z**2).sum(1).tolist(), rel=1e-9)


@pytest.mark.parametrize("name", ZOO)
def test_weights_go_out_and_in(name: str) -> None:
    module, shape = build(name), ZOO[name][1]
    net = network(module, shape)
    items = torch.randn(
        (4, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    weights = weights_of(net, items)
    same = with_weights(net, weights)
    with torch.no_grad():
        expected = module(items)
    assert torch.allclose(batched_outputs(same, items, 3), expected, rtol=1e-9, atol=1e-12)
    weights[-1].add_(1.0)
    # the copies are the network's own no longer
    assert torch.allclose(batched_outputs(net, items, 3), expected, rtol=1e-9, atol=1e-12)
    moved = batched_outputs(with_weights(net, weights), items, 3)
    assert not torch.allclose(moved, expected)


def test_outputs_have_the_gradients_of_the_module() -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    items, labels = blobs(30)
    net = network(module, (2,))
    weights = [w.requires_grad_() for w in weights_of(net, items)]
    loss = nn.functional.cross_entropy(outputs_of(with_weights(net, weights), items), labels)
    ours = torch.autograd.grad(loss, weights)
    theirs = torch.autograd.grad(
        nn.functional.cross_entropy(module(items), labels), list(module.parameters())
    )
    for own, other in zip(ours, theirs, strict=True):
        assert torch.allclose(own, other)


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32, 2**32 + 1, 2**63])
def test_streams_share_no_normal(seed: int) -> None:
    """In float64 two normals of one value mean one stream; on the CPU seeds count in 32 bits only."""

    def normals(generator: torch.Generator) -> set[float]:
        return set(torch.randn(20_000, generator=generator, dtype=torch.float64).tolist())

    own = [normals(stream) for stream in streams(seed, 2, "cpu")]
    assert not own[0] & own[1]
    other = [normals(stream) for stream in streams(seed + 2**32, 2, "cpu")]
    assert not (own[0] | own[1]) & (other[0] | other[1])
    same = streams(seed, 2, "cpu")[0]
    assert normals(same) == own[0]
    # what is guarded against
    naive = [torch.Generator().manual_seed(s) for s in (5, 2**32 + 5)]
    assert normals(naive[0]) == normals(naive[1])


def test_the_posterior_is_sampled_with_draws_that_did_not_fit_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items, labels = blobs(40)
    net = network(trained(items, labels), (2,))
    drawn: list[set[float]] = []
    randn = torch.randn

    def recorded(*arguments: Any, **more: Any) -> Tensor:
        made = randn(*arguments, **more)
        drawn.append(set(made.flatten().tolist()))
        return made

    monkeypatch.setattr("gencheck.comparison.measures.posterior.torch.randn", recorded)
    gibbs_facts(net, None, items, labels, 12, 10, 0.05, 3, SILENT)
    # four tensors of weights a step
    fitted, sampled = set().union(*drawn[: 4 * 12]), set().union(*drawn[4 * 12 :])
    assert len(fitted) > 500
    assert len(sampled) > 400
    assert not fitted & sampled


def test_counts_of_a_dense_network() -> None:
    net = network(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), (5,))
    counts = layer_counts(net)
    assert (counts.units, counts.weights, counts.breakpoints) == ((4, 1), (24, 5), 1)
    assert graph_counts(net).depth == 2
    assert has_bias(net)
    assert not has_bias(network(nn.Sequential(nn.Linear(3, 2, bias=False)), (3,)))


def test_counts_of_convolutions_and_skips() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU6(), nn.Flatten(), nn.Linear(8, 3))
    counts = layer_counts(network(module, (1, 3, 3)))
    # 2 channels · 4 places, each with 4 weights and a bias
    assert (counts.units, counts.weights, counts.breakpoints) == ((8, 1), (40, 9), 2)
    net = network(build("skip"), ZOO["skip"][1])
    # 4; 4 and the 4 of the sum; 4 and 4 again; one output
    assert layer_counts(net).units == (4, 8, 8, 1)
    assert layer_counts(net).weights == (16, 20, 20, 5)
    assert graph_counts(net).depth == 6
    pooled = graph_counts(network(build("conv_pool"), ZOO["conv_pool"][1]))
    assert (pooled.pool_kinds, pooled.pool_size, pooled.depth) == (1, 4, 4)


@pytest.mark.parametrize(
    ("name", "by_vc", "by_graph"),
    [
        ("skip", True, True),
        ("conv_pool", False, True),
        ("two_hidden_leaky", True, False),
        ("silu", False, False),
        ("steep_prelu", False, False),
        ("depthwise_pointwise", True, False),
    ],
)
def test_what_is_covered(name: str, by_vc: bool, by_graph: bool) -> None:
    net = network(build(name), ZOO[name][1])
    assert (uncounted_by_vc(net) is None) == by_vc
    assert (uncovered_by_graph_bound(net) is None) == by_graph


def test_the_fitted_posterior_beats_a_fixed_one() -> None:
    items, labels = blobs(600)
    net = network(trained(items, labels), (2,))
    fitted = gibbs_facts(net, None, items, labels, 300, 200, 0.05, 0, SILENT)
    start = gibbs_facts(net, None, items, labels, 0, 200, 0.05, 0, SILENT)
    assert fitted.sampled_error < 0.2
    assert fitted.divergence < 0.7 * start.divergence
    assert gibbs_facts(net, None, items, labels, 300, 200, 0.05, 0, SILENT) == fitted
    around = gibbs_facts(net, weights_of(net, items), items, labels, 300, 200, 0.05, 0, SILENT)
    assert around.distance == 0
    assert around.divergence < fitted.divergence


def test_the_sampled_error_is_the_mean_over_the_posterior() -> None:
    """One weight and no bias, so that the Gibbs error has a closed form: P(w + √s ξ < 0)."""
    module = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    nn.init.constant_(module[0].weight, 0.5)
    module[0].weight.data[1] = 0.45
    items, labels = torch.ones((50, 1), dtype=torch.float64), torch.zeros(50, dtype=torch.int64)
    facts = gibbs_facts(network(module, (1,)), None, items, labels, 20, 4000, 0.05, 0, SILENT)
    # the difference of both weights is N(0.05, s_1 + s_2), and s_1 + s_2 = 2 · mean variance
    deviation = math.sqrt(2) * facts.mean_deviation
    exact = 0.5 * math.erfc(0.05 / deviation / math.sqrt(2))
    assert facts.sampled_error == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 4000))
    assert 0.1 < exact < 0.45


def test_stability_is_that_of_refitting_without_each_item() -> None:
    items, labels = blobs(25)
    facts = last_layer_stability(items, labels, 3)
    design = np.c_[items.numpy(), np.ones(25)]
    targets = np.eye(3)[labels.numpy()]

    def losses(kept: np.ndarray) -> np.ndarray:
        x, y = design[kept], targets[kept]
        weights = np.linalg.solve(x.T @ x + facts.ridge * np.eye(3), x.T @ y)
        outputs = torch.from_numpy(design @ weights)
        return ramp_losses(margins_of(outputs, labels), 1.0).numpy()

    whole = losses(np.arange(25))
    changes = [np.abs(losses(np.delete(np.arange(25), i)) - whole).max() for i in range(25)]
    assert facts.beta == pytest.approx(max(changes), rel=1e-8)
    assert facts.loss == pytest.approx(whole.mean())


def test_variation_within_cells_by_brute_force() -> None:
    sample, sample_labels = blobs(40)
    reference, reference_labels = blobs(30, seed=1)
    generator = torch.Generator().manual_seed(3)
    losses = [torch.rand(n, generator=generator, dtype=torch.float64) for n in (40, 30)]
    facts = cell_variation(
        sample, (sample_labels, losses[0]), reference, (reference_labels, losses[1]), 4, 3, seed=5
    )
    order = torch.randperm(30, generator=torch.Generator().manual_seed(5)).tolist()
    centres = [reference[i] for i in order[:4]]

    def cell(item: Tensor, label: Tensor) -> tuple[int, int]:
        distances = [float((item - centre).norm()) for centre in centres]
        return int(np.argmin(distances)), int(label)

    spans = [
        abs(float(losses[0][i] - losses[1][j]))
        for i, j in itertools.product(range(40), order[4:])
        if cell(sample[i], sample_labels[i]) == cell(reference[j], reference_labels[j])
    ]
    assert facts.variation == pytest.approx(max(spans))
    assert facts.cells == 12


def test_sharpness_grows_with_the_radius_and_stays_inside() -> None:
    items, labels = blobs(90)
    net = network(trained(items, labels), (2,))
    values = [sharpness(net, items, labels, r, 8, 2, 0) for r in (0.0, 0.01, 0.1)]
    assert values[0].percent == 0
    assert values[0].worst_loss == values[0].loss
    assert 0 < values[1].percent < values[2].percent
    module_loss = float(nn.functional.cross_entropy(outputs_of(net, items), labels))
    assert values[1].loss == pytest.approx(module_loss)


def test_sharpness_of_a_linear_model_is_found() -> None:
    """One weight: the loss is monotone in it, so the worst neighbour is the corner."""
    module = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    module[0].weight.data = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    items, labels = torch.ones((5, 1), dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    facts = sharpness(network(module, (1,)), items, labels, 0.1, 8, 1, 0)
    assert facts.worst_loss == pytest.approx(math.log(1 + math.exp(0.1 - 0.8)), rel=1e-9)


def test_risks_past_floats_keep_their_magnitude() -> None:
    huge = Magnitude.from_log2(2000.0)
    bound = rademacher_bound(0.1, float(huge), 100, 3.0)
    assert bound.risk == math.inf
    assert risk_of(bound, huge).log10() == pytest.approx(2001 * math.log10(2))
    small = Magnitude.of(0.25)
    assert float(risk_of(rademacher_bound(0.1, 0.25, 100, 3.0), small)) < 1.5
