"""Audits from landmarks: intervals around the exact figures, through the library and the command."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.certificate_request import CertificateRequest
from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.report.schema import schema_text
from gencheck.training.loop import Training, fit
from tests.cases import random_case
from tests.networks import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_every_interval_holds_the_exact_figure(name: str) -> None:
    case = random_case(name)
    truth = case.truth()
    for count in (3, 22):
        options = AuditOptions(dtype=torch.float64, landmarks=count)
        result = audit(case.subject, case.sample, case.reference, case.task, options)
        beta1 = result.beta1
        assert beta1.method == "landmarks"
        room = 1e-7 * max(float(beta1.upper), 1e-3)
        assert float(beta1.lower) - room <= max(truth.beta1, 0.0)
        assert truth.beta1 <= float(beta1.upper) + room
        assert result.v_l2_lower is not None
        for low, exact, high in zip(result.v_l2_lower, truth.v_l2, result.v_l2, strict=True):
            assert float(low) * (1 - 1e-6) - 1e-9 <= exact <= float(high) * (1 + 1e-6) + 1e-9
        # what rests on them stays a bound
        assert truth.gap <= float(result.tightest.value) + 1e-9
        assert float(result.bound.value) >= truth.bound * (1 - 1e-6) - 1e-9


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 101])
def test_items_that_repeat_leave_nothing_to_add(seed: int) -> None:
    """A second block of landmarks that the span has already: what is left of it is rounding."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 2))
    subject = model_of_module(module, [(3,)])
    distinct = torch.randn(2 + seed % 7, 3, generator=generator)
    items = distinct[torch.randint(len(distinct), (70,), generator=generator)]
    targets = torch.eye(2, dtype=torch.float64)[torch.randint(2, (70,), generator=generator)]
    sets = Labelled(items[:30], targets[:30]), Labelled(items[30:], targets[30:])
    plain = AuditOptions(top=0, beta2_budget=0.0)
    exact = audit(subject, *sets, "classification", plain)
    found = audit(subject, *sets, "classification", replace(plain, landmarks=13, seed=seed))
    near = 1 + 1e-4
    assert float(found.beta1.lower) <= float(exact.beta1.value) * near
    assert float(exact.beta1.value) <= float(found.beta1.upper) * near
    assert found.v_l2_lower is not None
    for low, value, high in zip(found.v_l2_lower, exact.v_l2, found.v_l2, strict=True):
        assert float(low) <= float(value) * near
        assert float(value) <= float(high) * near


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"permutations": 20}, "--permutations"),
        ({"executor": "bits"}, "--executor bits"),
        ({"cache": Path("tiles")}, "--cache"),
        ({"certificate": CertificateRequest(0.9, (0.0, 1.0))}, "--certify"),
    ],
)
def test_what_needs_the_whole_matrix_is_refused(options: dict[str, object], name: str) -> None:
    case = random_case("one_hidden_bias")
    with pytest.raises(InputError, match=f"--landmarks with {name}"):
        audit(
            case.subject,
            case.sample,
            case.reference,
            case.task,
            AuditOptions(landmarks=3, **options),  # type: ignore[arg-type]
        )


def test_the_command(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        **{f"x_{s}": random.normal(size=(60, 6)).astype(np.float32) for s in ("train", "test")},
        **{f"y_{s}": random.integers(0, 3, 60) for s in ("train", "test")},
    )
    command = ["concentrate", str(tmp_path / "m.pt"), str(tmp_path / "d.npz")]
    runner = CliRunner()
    whole = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    run = runner.invoke(app, [*command, "--landmarks", "30", "--json"])
    assert run.exit_code == 0, run.stderr
    doc = json.loads(run.stdout)
    jsonschema.validate(doc, json.loads(schema_text("concentrate")))
    assert doc["beta1"]["lower"] <= whole["beta1"]["value"] * (1 + 1e-5)
    assert doc["beta1"]["upper"] >= whole["beta1"]["value"] * (1 - 1e-5)
    assert sum(item["share"] for item in doc["attribution"]) > 0
    shown = runner.invoke(app, [*command, "--landmarks", "30"])
    assert "landmark items" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_mnist(mnist: Path) -> None:
    """4000 items: the exact value lies inside, and 400 landmarks leave less than a factor of two."""
    from gencheck.audit.api import audit_module

    with np.load(mnist) as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
        t, s = arrays["x_test"], arrays["y_test"]
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    items = torch.from_numpy(x[2000:8000]).float() / 255
    fit(module, items, torch.eye(10)[torch.from_numpy(y[2000:8000]).long()], Training(2), seed=0)
    sets = ((x[:2000], y[:2000]), (t[:2000], s[:2000]))
    exact = audit_module(module, *sets, options=AuditOptions(beta2_budget=0.1))
    found = audit_module(module, *sets, options=AuditOptions(beta2_budget=0.1, landmarks=400))
    truth = float(exact.beta1.value)
    low, high = float(found.beta1.lower), float(found.beta1.upper)
    assert low * (1 - 1e-5) <= truth <= high * (1 + 1e-5)
    assert high < 2 * low
