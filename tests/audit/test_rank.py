"""Ranking: every candidate's figures are those of an audit of it alone; nearer sets come first."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gencheck.audit import discrepancy
from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.rank import rank
from gencheck.audit.run import audit
from gencheck.errors import InputError
from gencheck.report.rank import rank_body
from tests.brute import enumerate_paths
from tests.cases import random_case
from tests.computed_networks import COMPUTED

OPTIONS = AuditOptions(dtype=torch.float64, tile=6, batch_size=5, permutations=30)


@pytest.mark.parametrize("name", ["one_hidden_bias", "conv_pool"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_each_set_is_measured_as_in_an_audit_of_its_own(name: str, task: str) -> None:
    case, other = random_case(name, task=task), random_case(name, seed=1, task=task)
    candidates = {"a": case.sample, "b": other.sample, "c": other.reference}
    found = rank(case.subject, candidates, case.reference, task, OPTIONS)
    values = [float(each.v_frobenius) for each in found.sets]
    assert values == sorted(values)
    for each in found.sets:
        alone = audit(case.subject, candidates[each.name], case.reference, task, OPTIONS)
        assert each.items == len(candidates[each.name].items)
        assert float(each.v_frobenius) == pytest.approx(float(alone.v_frobenius), rel=1e-9)
        assert each.v_frobenius_normalised == pytest.approx(
            _normalised(case.subject, candidates[each.name], case.reference), rel=1e-9
        )
        assert float(each.beta1) == pytest.approx(float(alone.beta1.value), rel=1e-9, abs=1e-12)
        assert each.gap == alone.gap
        assert each.mmd_labels == pytest.approx(
            _mmd_labels(candidates[each.name], case.reference), rel=1e-9
        )
        assert alone.permutation is not None
        assert each.permutation is not None
        for key, statistic in each.permutation.statistics.items():
            if key != "beta2":
                assert statistic.p_value == alone.permutation.statistics[key].p_value, key


def _normalised(model: AuditedModel, sample: Labelled, reference: Labelled) -> float:
    """√(Σ_k ‖E_S[y_k z/‖z‖] − E_T[y_k z/‖z‖]‖²) from paths one by one."""
    features = [
        enumerate_paths(model.network, part.items.flatten(1).numpy())[0]
        for part in (sample, reference)
    ]
    units = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in features]
    means = [
        part.targets.numpy().T @ z / len(z)
        for part, z in zip((sample, reference), units, strict=True)
    ]
    return float(np.linalg.norm(means[0] - means[1]))


def _mmd_labels(sample: Labelled, reference: Labelled) -> float:
    """√(Σ_ij d_i d_j ⟨y_i, y_j⟩ exp(−‖x_i − x_j‖² / s)) with s the median squared distance."""
    x = np.concatenate([part.items.flatten(1).numpy() for part in (sample, reference)])
    y = np.concatenate([part.targets.numpy() for part in (sample, reference)])
    squares = ((x[:, None] - x) ** 2).sum(2)
    apart = np.sort(squares[np.triu_indices(len(x), 1)])
    m, n = len(sample.items), len(reference.items)
    d = np.r_[np.full(m, -1 / m), np.full(n, 1 / n)]
    joint = np.exp(-squares / apart[(len(apart) - 1) // 2]) * (y @ y.T)
    return float(np.sqrt(d @ joint @ d))


def test_sets_with_more_wrong_labels_come_later() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    model = model_of_module(module, [(6,)])
    random = np.random.default_rng(0)

    def drawn(count: int, wrong: float) -> Labelled:
        x = random.normal(size=(count, 6))
        y = x[:, :3].argmax(1)
        y = np.where(random.random(count) < wrong, random.integers(0, 3, count), y)
        return Labelled(torch.from_numpy(x), torch.eye(3, dtype=torch.float64)[y])

    shares = {"clean": 0.0, "some": 0.5, "all": 1.0}
    candidates = {name: drawn(400, share) for name, share in shares.items()}
    # tiles of six items would be 35,000
    options = replace(OPTIONS, tile=128, batch_size=128)
    found = rank(model, candidates, drawn(400, 0.0), "classification", options)
    assert [each.name for each in found.sets] == ["clean", "some", "all"]
    last = found.sets[-1].permutation
    assert last is not None
    assert last.statistics["v_frobenius"].p_value == pytest.approx(1 / 31)


def test_token_numbers_have_no_distances() -> None:
    model = model_of_module(COMPUTED["text"][0]().double(), [(4,)])
    random = np.random.default_rng(0)
    texts = torch.from_numpy(random.integers(5, size=(24, 4)))
    targets = torch.eye(2, dtype=torch.float64)[torch.from_numpy(random.integers(2, size=24))]
    parts = [Labelled(texts[own], targets[own]) for own in (slice(12), slice(12, 24))]
    found = rank(
        model, {"a": parts[0]}, parts[1], "classification", replace(OPTIONS, permutations=0)
    )
    assert found.sets[0].mmd_labels is None
    entry = rank_body(found)["ranking"][0]
    assert entry["mmd_labels"] is None
    assert "token numbers" in entry["mmd_labels_reason"]


def test_what_cannot_be_ranked_is_refused() -> None:
    case = random_case("one_hidden_bias")
    arguments = (case.subject, {"a": case.sample}, case.reference, "classification")
    with pytest.raises(InputError, match="landmarks"):
        rank(*arguments, replace(OPTIONS, landmarks=3))
    with pytest.raises(InputError, match="no candidate"):
        rank(case.subject, {}, case.reference, "classification")


def test_the_distances_between_reference_items_are_formed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each set's MMD takes its own pairs, those with the reference, and those that give its scale."""
    distances, formed = discrepancy._distances, []

    def counted(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        formed.append(len(rows) * len(columns))
        return distances(rows, columns)

    monkeypatch.setattr(discrepancy, "_distances", counted)
    case, other = random_case("one_hidden_bias"), random_case("one_hidden_bias", seed=1)
    candidates = {"a": case.sample, "b": other.sample, "c": other.reference}
    rank(
        case.subject, candidates, case.reference, "classification", replace(OPTIONS, permutations=0)
    )
    n, counts = len(case.reference.items), [len(each.items) for each in candidates.values()]
    assert sum(formed) == n**2 + sum(m**2 + m * n + (m + n) ** 2 for m in counts)
