"""Branch and bound against brute force, at every budget."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.network.terms import kernel_program
from gencheck.spectral.beta2 import branch
from gencheck.spectral.beta2.ascent import ascend, random_path
from gencheck.spectral.beta2.branch import Bracket, BranchAndBound
from gencheck.spectral.beta2.enumeration import entry
from gencheck.spectral.beta2.paths import PathSpace
from gencheck.spectral.beta2.search import best_path
from gencheck.spectral.beta2.sup_norm import _parts_bound, sup_norms
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.forward import forward
from gencheck.training.loop import Training, fit
from tests.cases import Case, random_case
from tests.networks import ZOO

# a slope outside [0, 1] leaves branch and bound without its bound
BOUNDED = [name for name in ZOO if name != "steep_prelu"]


def spaces(case: Case, dtype: torch.dtype = torch.float64) -> list[tuple[PathSpace, torch.Tensor]]:
    """One search space for each output, with its coefficients."""
    items = torch.cat([case.sample.items, case.reference.items]).to(dtype)
    factors, _ = forward(case.subject.network, items, 8)
    program = kernel_program(case.subject.network)
    targets = torch.cat([case.sample.targets, case.reference.targets])
    coefficients = Difference(len(case.sample.items), targets).target_weights()
    found = []
    for column in coefficients.T:
        rows = column.nonzero()[:, 0]
        found.append((PathSpace(program, factors, rows), column[rows]))
    return found


def searched(space: PathSpace, weights: torch.Tensor, budget: float) -> Bracket:
    return BranchAndBound(space, weights, 0.0, ()).bracketed(budget)


@pytest.mark.parametrize("name", BOUNDED)
def test_alone_it_finds_the_largest_path(name: str) -> None:
    """Without a first guess and without enumeration."""
    case = random_case(name)
    for (space, weights), truth in zip(spaces(case), case.truth().v_sup, strict=True):
        bracket = searched(space, weights, float("inf"))
        assert bracket.lower == pytest.approx(truth, rel=1e-9)
        assert bracket.upper == bracket.lower
        if bracket.path:
            assert entry(space, weights, bracket.path) == pytest.approx(truth, rel=1e-9)


@settings(max_examples=40)
@given(
    st.sampled_from(["four_hidden", "conv_pool", "residual", "tanh", "dense_block"]),
    st.integers(0, 3),
    st.lists(st.floats(0, 3e7), min_size=2, max_size=4),
)
def test_the_interval_holds_the_truth_at_every_budget_and_narrows(
    name: str, seed: int, budgets: list[float]
) -> None:
    case = random_case(name, seed % 2)
    for (space, weights), truth in zip(spaces(case), case.truth().v_sup, strict=True):
        before: Bracket | None = None
        for budget in sorted(budgets):
            bracket = searched(space, weights, budget)
            assert bracket.lower <= truth * (1 + 1e-9)
            assert bracket.upper >= truth * (1 - 1e-9)
            if before is not None:
                assert bracket.lower >= before.lower
                assert bracket.upper <= before.upper
            before = bracket


@pytest.mark.parametrize("name", ["four_hidden", "conv_pool"])
def test_letting_go_of_beginnings_keeps_the_interval_sound(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branch, "_HELD_ENTRIES", 60)
    case = random_case(name)
    for (space, weights), truth in zip(spaces(case), case.truth().v_sup, strict=True):
        bracket = searched(space, weights, float("inf"))
        assert bracket.lower <= truth * (1 + 1e-9)
        assert bracket.upper >= truth * (1 - 1e-9)


@pytest.mark.parametrize("name", ["four_hidden", "residual"])
def test_float32(name: str) -> None:
    case = random_case(name)
    pairs = zip(spaces(case, torch.float32), case.truth().v_sup, strict=True)
    for (space, weights), truth in pairs:
        bracket = searched(space, weights, float("inf"))
        assert bracket.lower == pytest.approx(truth, rel=1e-4)
        assert bracket.upper >= truth * (1 - 1e-4)


def test_its_first_bound_is_no_worse_than_that_of_one_layer() -> None:
    """With the beam's path to start from and some budget, the upper end is below the old one."""
    case = random_case("four_hidden", m=40, n=50)
    better = 0
    for space, weights in spaces(case):
        value, path = best_path(space, weights, 0)
        bracket = BranchAndBound(space, weights, value, path).bracketed(1e9)
        assert bracket.upper <= _parts_bound(space, weights) * (1 + 1e-9)
        better += bracket.upper < _parts_bound(space, weights) * 0.999
    assert better


@pytest.mark.slow
def test_random_paths_do_not_beat_the_search_on_mnist(mnist: Path) -> None:
    """784-64-64-64-10: 200 000 random paths, the best of which climb; the benchmark draws 10⁷."""
    with np.load(mnist) as arrays:
        x = torch.from_numpy(arrays["x_train"][:6000].astype(np.float32) / 255).flatten(1)
        y = torch.from_numpy(arrays["y_train"][:6000].astype(np.int64))
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    fit(module, x[1000:], torch.eye(10)[y[1000:]], Training(2), seed=0)
    network = model_of_module(module, [(784,)]).network
    factors, _ = forward(network, x[:1000], 1000)
    program = kernel_program(network)
    coefficients = Difference(500, torch.eye(10, dtype=torch.float64)[y[:1000]]).target_weights()
    found = sup_norms(program, factors, coefficients, budget=5e9)
    assert not found.exact
    generator = torch.Generator().manual_seed(5)
    for k in (found.output, (found.output + 1) % 10):
        rows = coefficients[:, k].nonzero()[:, 0]
        space, weights = PathSpace(program, factors, rows), coefficients[rows, k]
        columns = [space.columns(m, 0, 0).values for m in range(len(program.maps))]
        for _ in range(20):
            product = weights.float()[:, None].expand(-1, 10_000)
            for values in columns:
                picks = torch.randint(values.shape[1], (10_000,), generator=generator)
                product = product * values[:, picks]
            assert float(product.sum(0).abs().max()) <= found.lower[k] * (1 + 1e-5)
        for _ in range(20):
            path = random_path(space, generator)
            climbed = None if path is None else ascend(space, weights.float(), path, set())
            if climbed is not None:
                assert entry(space, weights, climbed) <= found.lower[k] * (1 + 1e-5)
