"""The certificate of an audit: simulated where the distribution is known, and refused where it must."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.certificate_request import (
    CertificateRequest,
    certificate_request,
    require_certifiable,
)
from gencheck.audit.certify import CertifiedBetas, certified, certified_betas
from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.result import Certified, PathNorms
from gencheck.audit.run import audit
from gencheck.audit.selection import ModelSelection
from gencheck.bounds.bernstein import certified_beta2
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import InputError, SelfCheckError
from gencheck.network.algebra import log2_path_count
from gencheck.report.concentrate import concentrate_body
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.tiles import Tile
from tests.brute import enumerate_paths
from tests.cases import random_case


@dataclass
class Population:
    """Inputs x and targets y on finitely many points, with all path features z, one by one."""

    subject: AuditedModel
    x: Tensor
    y: Tensor
    p: np.ndarray
    request: CertificateRequest

    def __post_init__(self) -> None:
        flat = self.x.reshape(len(self.x), -1).numpy()
        self.z, self.w = enumerate_paths(self.subject.network, flat)
        self.kernel = torch.from_numpy(self.z @ self.z.T)

    def betas(self, counts: np.ndarray) -> np.ndarray:
        """β1, β2 and β3 of a sample against the population, from all paths."""
        d = self.p - counts / counts.sum()
        y = self.y.numpy()
        correlation = self.z.T @ (d[:, None] * y)
        return np.array(
            [
                np.linalg.eigvalsh(self.z.T @ (d[:, None] * self.z))[-1],
                np.abs(correlation).max(),
                d @ (y**2).sum(1),
            ]
        )

    def certified(self, counts: np.ndarray) -> CertifiedBetas:
        """What the library certifies from the sample with so many items of each point."""
        drawn = np.repeat(np.arange(len(self.p)), counts)
        every = slice(0, len(drawn))
        block = self.kernel[drawn][:, drawn].contiguous()
        gram = Gram([Tile(every, every)], [block], len(drawn), 0)
        network = self.subject.network
        return certified_betas(network, self.x[drawn], self.y[drawn], gram, self.request)

    def risk(self, weights: np.ndarray, shares: np.ndarray) -> float:
        """The squared-loss risk of any path weights, shape (d_z, K)."""
        return float(shares @ ((self.z @ weights - self.y.numpy()) ** 2).sum(1))


def _network(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(3)
    linear = nn.Linear
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "dense": (nn.Sequential(linear(3, 3), nn.ReLU(), linear(3, 2)), (3,)),
        "no bias": (nn.Sequential(linear(2, 2, False), nn.ReLU(), linear(2, 2, False)), (2,)),
        "clamp": (nn.Sequential(linear(2, 2), nn.Hardtanh(-0.5, 0.5), linear(2, 2)), (2,)),
        "smooth": (nn.Sequential(linear(2, 2), nn.SiLU(), linear(2, 2)), (2,)),
        "convolution": (
            nn.Sequential(
                nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), linear(2, 2)
            ),
            (1, 3, 3),
        ),
    }
    module, shape = modules[kind]
    return module.double(), shape


def population(
    kind: str, confidence: float, one_hot: bool, ends: tuple[float, float] = (0.0, 1.0)
) -> Population:
    """Corners of the range of inputs, so that features are as large as they may be."""
    module, shape = _network(kind)
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.choice(ends, (6, *shape)))
    x[0] = ends[1]
    outputs = 2
    if one_hot:
        y = torch.eye(outputs, dtype=torch.float64)[torch.from_numpy(random.integers(0, 2, 6))]
    else:
        y = torch.from_numpy(random.choice([-1.0, 2.0], (6, outputs)))
    p = np.array([0.05, 0.05, 0.1, 0.2, 0.3, 0.3])
    request = CertificateRequest(confidence, ends, None if one_hot else (-1.0, 2.0))
    return Population(model_of_module(module, [shape]), x, y, p, request)


def _values(betas: CertifiedBetas) -> np.ndarray:
    return np.array([float(betas.beta1.value), betas.beta2.value, betas.beta3])


CASES = [
    ("dense", 0.6, True, (0.0, 1.0), 60),
    ("dense", 0.9, False, (-1.0, 1.0), 60),
    ("no bias", 0.5, False, (0.0, 0.5), 150),
    ("clamp", 0.6, True, (-1.0, 1.0), 60),
    ("smooth", 0.6, False, (-2.0, 2.0), 60),
    ("convolution", 0.6, True, (0.0, 1.0), 100),
]


def missed(law: Population, m: int, rounds: int, seed: int) -> np.ndarray:
    """Which of β1, β2, β3, shape (rounds, 3), exceed what was certified."""
    random = np.random.default_rng(seed)
    rows = []
    for counts in random.multinomial(m, law.p, rounds):
        ends = _values(law.certified(counts))
        rows.append(law.betas(counts) > ends + 1e-12)
        if not rows[-1].any():
            _check_risk(law, counts, ends)
    return np.array(rows)


def _check_risk(law: Population, counts: np.ndarray, betas: np.ndarray) -> None:
    """The bound on the risk, for the network's own weights and for weights fitted to the sample."""
    shares = counts / counts.sum()
    weighted = law.z.T * shares
    ridge = 1e-3 * np.eye(law.z.shape[1])
    fitted = np.linalg.solve(weighted @ law.z + ridge, weighted @ law.y.numpy())
    for weights in (law.w, fitted, np.zeros_like(law.w)):
        bound = betas @ [(weights**2).sum(), 2 * np.abs(weights).sum(), 1.0]
        assert law.risk(weights, law.p) <= law.risk(weights, shares) + bound + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "confidence", "one_hot", "ends", "m"), CASES)
def test_miss_rates(
    kind: str, confidence: float, one_hot: bool, ends: tuple[float, float], m: int
) -> None:
    law, rounds = population(kind, confidence, one_hot, ends), 400
    rates = missed(law, m, rounds, seed=1)

    def allowed(delta: float) -> float:
        return delta + 3 * math.sqrt(delta * (1 - delta) / rounds)

    delta = 1 - confidence
    each = delta / (2 if one_hot else 3)
    assert np.all(rates.mean(0) <= allowed(each))
    assert rates.any(1).mean() <= allowed(delta)


def test_no_miss_in_a_few_rounds() -> None:
    law = population("dense", 0.99, False)
    assert not missed(law, 50, 10, seed=0).any()


def test_a_fifth_of_each_bound_is_missed() -> None:
    """The simulation can fail: at a fifth of what is certified, more is missed than promised."""
    law, m, rounds = population("convolution", 0.6, True), 100, 60
    below = np.zeros(3)
    for counts in np.random.default_rng(0).multinomial(m, law.p, rounds):
        below += law.betas(counts) > _values(law.certified(counts)) / 5
    assert np.all(below[:2] / rounds > 0.2 + 3 * math.sqrt(0.2 * 0.8 / rounds))


def _options(**other: Any) -> AuditOptions:
    request = CertificateRequest(0.9, (-8.0, 8.0))
    return AuditOptions(dtype=torch.float64, tile=5, certificate=replace(request, **other))


@pytest.mark.parametrize("name", ["skip", "conv_pool", "depthwise_pointwise", "gelu"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_an_audit_certifies_what_brute_force_does(name: str, task: str) -> None:
    """From the kernel and the walks of the graph, and from all paths with their definitions."""
    case = random_case(name, task=task)
    ends = None if task == "classification" else (-6.0, 6.0)
    options = _options(target_range=ends)
    result = audit(case.subject, case.sample, case.reference, task, options)
    ours = result.certified
    assert ours is not None
    network, items, y = case.subject.network, case.sample.items, case.sample.targets
    x = items.reshape(len(items), -1).numpy()
    z, w = enumerate_paths(network, x)
    every = slice(0, len(x))
    gram = Gram([Tile(every, every)], [torch.from_numpy(z @ z.T)], len(x), 0)
    assert options.certificate is not None
    betas = certified_betas(network, items, y, gram, options.certificate)
    assert float(ours.beta1) == pytest.approx(float(betas.beta1.value), rel=1e-9)
    assert ours.beta2 == pytest.approx(betas.beta2.value, rel=1e-12)
    # the second moment of a product of target and coordinate, or of target and bias
    products = np.c_[x, np.ones(len(x))][:, :, None] ** 2 * y.numpy()[:, None, :] ** 2
    low, high = (0.0, 8.0) if ends is None else (-48.0, 48.0)
    low = -8.0 if ends is None else low
    level = -math.log(0.1 / (2 if ends is None else 3))
    beta2 = certified_beta2(
        len(x),
        log2_path_count(network) * math.log(2),
        y.shape[1],
        x.shape[1] + 1,
        (low, high),
        float(products.mean(0).max()),
        level,
    )
    assert ours.beta2 == pytest.approx(beta2.value, rel=1e-12)
    width = 0.0 if ends is None else y.shape[1] * 36.0
    assert ours.beta3 == pytest.approx(width * math.sqrt(level / (2 * len(x))))
    _check_assembly(ours, result.gap.sample_risk, w, task)


def _check_assembly(found: Certified, risk: float, w: np.ndarray, task: str) -> None:
    expected = risk + float(found.beta1) * (w**2).sum()
    expected += 2 * found.beta2 * np.abs(w).sum() + found.beta3
    assert float(found.bound) == pytest.approx(expected, rel=1e-9)
    assert found.confidence == 0.9
    assert found.delta == pytest.approx(0.1)
    assert found.vacuous
    if task == "classification":
        assert found.zero_one is not None
        assert float(found.zero_one) == pytest.approx(2 * expected, rel=1e-9)
        assert found.forms["beta3"] == "constant"
    else:
        assert found.zero_one is None
        assert found.forms["beta3"] == "hoeffding"
    smallest = min(found.beta1_forms.values(), key=float)
    assert found.beta1 == smallest == found.beta1_forms[found.forms["beta1"]]


def test_the_largest_ranges_stay_within_floats() -> None:
    case = random_case("skip", task="regression")
    options = _options(input_range=(-1e70, 1e70), target_range=(-1e70, 1e70))
    found = audit(case.subject, case.sample, case.reference, "regression", options).certified
    assert found is not None
    assert 1e138 < found.beta2 < 1e142
    assert math.isfinite(found.beta3)
    assert 280 < found.square_bound.log10() * 2 < 290


def test_the_reference_does_not_enter() -> None:
    case = random_case("skip")
    other = Labelled(case.reference.items[:5] * 0.5, case.reference.targets[:5])
    options = _options()
    results = [
        audit(case.subject, case.sample, reference, "classification", options).certified
        for reference in (case.reference, other)
    ]
    assert results[0] is not None
    assert results[1] is not None
    assert float(results[0].beta1) == pytest.approx(float(results[1].beta1), rel=1e-9)
    assert results[0].beta2 == results[1].beta2


def test_a_certificate_can_say_something() -> None:
    """One unit on one coordinate that decides the label: small norms, many items."""
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[2].weight.copy_(torch.tensor([[0.9], [0.0]]))
    network = model_of_module(module.double(), [(1,)]).network
    m = 3000
    x = torch.ones(m, 1, dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(m, 2)
    every = slice(0, m)
    gram = Gram([Tile(every, every)], [x @ x.T], m, 0)
    betas = certified_betas(network, x, y, gram, CertificateRequest(0.95, (0.0, 1.0)))
    l2, l1 = Magnitude.of(0.81), Magnitude.of(0.9)
    none = Magnitude.of(0.0)
    result = certified(betas, PathNorms(l2, l1, (l2, none), (l1, none)), 0.01, 0.01)
    assert not result.vacuous
    assert result.zero_one is not None
    assert float(result.zero_one) < 0.5
    # the same betas say nothing about a model that errs on half the sample
    assert certified(betas, PathNorms(l2, l1, (l2, none), (l1, none)), 0.49, 1.0).vacuous


def chosen(*, independent: bool) -> ModelSelection:
    """A checkpoint whose gates were declared independent, or not."""
    return ModelSelection(Path("m.pt2"), gates_independent=independent)


def refused(**given: Any) -> str:
    asked: dict[str, Any] = {
        "certify": True,
        "confidence": 0.9,
        "input_range": (0.0, 1.0),
        "target_range": None,
        "chosen": chosen(independent=True),
    }
    with pytest.raises(InputError) as caught:
        certificate_request(**(asked | given))
    return str(caught.value)


def test_gates_that_are_not_independent_are_refused_with_the_way_out() -> None:
    message = refused(chosen=chosen(independent=False))
    assert "gates that may have seen the sample" in message
    assert "Train in two phases" in message
    assert "--gates-independent" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_range": None}, "--certify: found no --input-range"),
        ({"input_range": (1.0, 1.0)}, "--input-range, upper end: found 1; required: a finite"),
        ({"input_range": (math.nan, 1.0)}, "--input-range, lower end: found nan"),
        ({"input_range": (0.0, 1e200)}, "--input-range, upper end: found 1e\\+200"),
        ({"target_range": (2.0, -1.0)}, "--target-range, upper end: found -1"),
        ({"confidence": 1.0}, "--confidence: found 1; required: a finite number above 0 and below"),
        ({"confidence": 0.0}, "--confidence: found 0"),
        ({"certify": False}, "--confidence: found no --certify"),
        ({"certify": False, "confidence": None}, "--input-range: found no --certify"),
        (
            {"certify": False, "confidence": None, "input_range": None, "target_range": (0, 1)},
            "--target-range: found no --certify",
        ),
    ],
)
def test_refusals_of_options(given: dict[str, Any], message: str) -> None:
    assert message.replace("\\+", "+") in refused(**given)


def test_what_is_asked_for() -> None:
    model = chosen(independent=True)
    assert certificate_request(False, None, None, None, model) is None
    asked = certificate_request(True, None, (0.0, 1.0), None, model)
    assert asked == CertificateRequest(0.95, (0.0, 1.0))


def _checked(
    task: str = "classification",
    input_range: tuple[float, float] = (-9.0, 9.0),
    target_range: tuple[float, float] | None = None,
    name: str = "skip",
    targets: Tensor | None = None,
) -> None:
    case = random_case(name, task=task)
    request = CertificateRequest(0.9, input_range, target_range)
    targets = case.sample.targets if targets is None else targets
    require_certifiable(case.subject.network, case.sample.items, targets, task, request)


def test_refusals_of_items() -> None:
    _checked()
    _checked("regression", target_range=(-9.0, 9.0))
    with pytest.raises(InputError, match=r"--input-range 0 1: found input \d+ of the pooled items"):
        _checked(input_range=(0.0, 1.0))
    with pytest.raises(InputError, match=r"--target-range 0 1: found target \d+ of the pooled"):
        _checked("regression", target_range=(0.0, 1.0))
    with pytest.raises(InputError, match="found values to regress and no --target-range"):
        _checked("regression")
    with pytest.raises(InputError, match="--target-range: found class labels"):
        _checked(target_range=(0.0, 1.0))
    with pytest.raises(InputError, match="targets that are not one-hot"):
        _checked(targets=torch.full((9, 2), 0.5, dtype=torch.float64))
    with pytest.raises(InputError, match="prelu 1 with a slope of"):
        _checked(name="steep_prelu")


def test_an_end_of_the_range_counts_as_within_in_the_run_s_own_precision() -> None:
    case = random_case("skip")
    items = torch.full((3, 3), 0.1, dtype=torch.float32)
    assert float(items[0, 0]) > 0.1
    request = CertificateRequest(0.9, (0.0, 0.1))
    require_certifiable(
        case.subject.network, items, case.sample.targets[:3], "classification", request
    )


def test_features_past_their_bound_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    import gencheck.audit.certify as certificate

    monkeypatch.setattr(certificate, "squared_feature_norm", lambda *_: (1.0, 0))
    case = random_case("skip")
    with pytest.raises(
        SelfCheckError, match=r"an item has ‖z‖² = 10\^[\d.]+, above the 10\^0\.000"
    ):
        audit(case.subject, case.sample, case.reference, "classification", _options())


def test_a_deep_network_is_certified_past_the_range_of_floats() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(100):
        layer = nn.Linear(32, 32)
        nn.init.normal_(layer.weight, std=1.2)
        layers += [layer, nn.ReLU()]
    subject = model_of_module(nn.Sequential(*layers, nn.Linear(32, 2)).double(), [(32,)])
    x = torch.rand((20, 32), dtype=torch.float64)
    y = torch.eye(2, dtype=torch.float64)[torch.arange(20) % 2]
    options = replace(_options(), certificate=CertificateRequest(0.9, (0.0, 1.0)), tile=64)
    sets = Labelled(x, y), Labelled(x.flip(0), y)
    result = audit(subject, *sets, "classification", options)
    found = result.certified
    assert found is not None
    assert Magnitude.from_log2(400.0) <= found.beta1
    document = concentrate_body(result)["certified"]
    assert document["bound"] is None
    assert document["log10"]["bound"] == found.bound.log10() > 308
    assert "log10" in document["reason"]
    # √(ln d_z / 2m), and d_z = 32^101
    assert found.beta2 == pytest.approx(math.sqrt(101 * math.log(32) / 40), rel=0.05)
