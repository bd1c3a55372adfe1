"""Every figure of an audit equals full path enumeration, on every network of the zoo."""

import numpy as np
import pytest
import torch

from gencheck.audit import options
from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.network.algebra import log2_path_count
from gencheck.report.concentrate import concentrate_body
from tests.cases import Case, random_case
from tests.networks import ZOO

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ZOO)
def test_every_figure(name: str, task: str, dtype: torch.dtype, seed: int) -> None:
    compare_figures(random_case(name, seed, task=task), dtype)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ZOO)
def test_every_figure_of_a_two_phase_network(name: str, task: str) -> None:
    """z from the paths of one network, w from those of another."""
    compare_figures(random_case(name, task=task, two_phase=True), torch.float64)


def compare_figures(case: Case, dtype: torch.dtype) -> None:
    truth, task = case.truth(), case.task
    # several tiles, on the diagonal and beside it, of which the last are smaller
    options = AuditOptions(dtype=dtype, tile=9, batch_size=5, beta2_budget=100.0)
    result = audit(case.subject, case.sample, case.reference, task, options)
    doc = concentrate_body(result)

    def close(actual: object, expected: object) -> None:
        scale = float(np.max(np.abs(expected)))
        np.testing.assert_allclose(
            actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * max(scale, 1e-9)
        )

    # outside the span of the items the operator is zero; rounding may leave that a hair below
    close(doc["beta1"]["value"], max(truth.beta1, 0.0) if truth.beta1 > -1e-9 else truth.beta1)
    assert doc["beta1"]["lower"] <= doc["beta1"]["value"] <= doc["beta1"]["upper"]
    assert doc["beta2"]["exact"]
    close(doc["beta2"]["value"], truth.v_sup.max())
    close(doc["v_l2"], truth.v_l2)
    close(doc["path_norms"]["l2_squared_per_output"], truth.l2_squared)
    close(doc["path_norms"]["l1_per_output"], truth.l1)
    close(10 ** doc["model"]["log10_paths"], truth.path_count)
    np.testing.assert_allclose(doc["beta3"]["value"], truth.beta3, atol=1e-12)
    close(doc["gap"]["gap"], truth.gap)
    close(sum(doc["gap"]["terms"]), truth.gap)
    close(doc["bound"]["value"], truth.bound)
    close(doc["bound"]["tightest"]["value"], truth.tightest)
    assert truth.gap <= truth.tightest + 1e-9


@pytest.mark.parametrize("name", ZOO)
def test_z_times_w_is_the_model(name: str) -> None:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items])
    with torch.no_grad():
        own = case.module(items).numpy()
    np.testing.assert_allclose(case.truth().outputs, own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ZOO)
def test_without_enumeration_beta2_is_an_interval_around_the_truth(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "NOMINAL_FLOPS_PER_SECOND", 1e-9)
    case = random_case(name, seed=3)
    truth = case.truth()
    result = audit(
        case.subject,
        case.sample,
        case.reference,
        "classification",
        AuditOptions(dtype=torch.float64, beta2_budget=100.0),
    )
    assert not result.beta2.exact
    assert result.beta2.lower <= truth.v_sup.max() * (1 + 1e-12)
    assert result.beta2.upper >= truth.v_sup.max() * (1 - 1e-12)
    # on networks this small the search finds the best path itself
    assert result.beta2.lower == pytest.approx(truth.v_sup.max(), rel=1e-9)
    assert float(result.tightest.value) >= truth.tightest * (1 - 1e-9) - 1e-12


def test_no_sample_of_the_zoo_is_dead() -> None:
    """A dead network would pass every comparison; at least most outputs must really vary."""
    alive = [name for name in ZOO if np.ptp(random_case(name).truth().outputs, axis=0).max() > 0.01]
    assert len(alive) == len(ZOO), set(ZOO) - set(alive)
    assert all(log2_path_count(random_case(name).subject.network) > 2 for name in ZOO)
