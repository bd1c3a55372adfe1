"""The measured data-independent bound against brute force on explicit path features."""

import itertools
import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from gencheck.audit.model import load_model
from gencheck.bounds.multiclass import Ball, constants_for, margin_bound, margin_unit, margins_of
from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.guarantees.two_phase_margin import Certificate, measured_certificate
from gencheck.report.schema import schema_text
from gencheck.report.train import write_record
from gencheck.training.loop import Training
from gencheck.training.path_ridge import RidgeOptions
from gencheck.training.request import TrainRequest
from gencheck.training.run import train
from tests.brute import enumerate_paths
from tests.training.data import blobs


def run_folder(folder: Path, classes: int, solver: str, plan: RidgeOptions) -> tuple[Path, Path]:
    """A finished run on small data, and the data."""
    data = folder / "d.npz"
    items, targets = blobs(70, shape=(4,), classes=classes)
    np.savez(data, x=items.numpy(), y=targets.argmax(1).numpy())
    choice = TrainRequest(
        data,
        "mlp:4,3",
        folder / "run",
        holdout=0.1,
        alpha=0.4,
        solver=solver,
        training=Training(epochs=4, batch_size=8, learning_rate=0.02),
        freeze=Training(epochs=4, batch_size=8, learning_rate=0.02),
        ridge=plan,
    )
    write_record(choice, train(choice), {}, None)
    return folder / "run", data


def brute_force(
    folder: Path, data: Path, solver: str, plan: RidgeOptions, delta: float
) -> dict[str, float]:
    """Every bound's risk from z and w themselves."""
    with np.load(data) as arrays, np.load(folder / "split.npz") as split:
        x, y = arrays["x"], arrays["y"]
        freeze, standard = split["freeze"], split["standard"]
    gates = load_model(folder / "gates.pt2", None, [(4,)]).network
    z, w0 = enumerate_paths(gates, x.astype(np.float64))
    if solver == "sgd":
        _, w = enumerate_paths(load_model(folder / "weights.pt2", None, [(4,)]).network, x[:1])
    else:
        with np.load(folder / "ridge.npz") as arrays:
            scale = 2.0 ** -float(arrays["exponent"])
            w = z[arrays["landmarks"]].T @ arrays["coefficients"] * scale
        w = w + w0 if plan.centred else w
    outputs = z[freeze] @ w
    margins = margins_of(outputs, y[freeze])
    rho_unit = margin_unit(margins_of(z[standard] @ w0, y[standard]))
    size = math.sqrt((z[freeze] ** 2).sum(1).mean())
    unit = math.sqrt((z[standard] ** 2).sum(1).mean())
    classes = outputs.shape[1]
    risks = {}
    for constant in constants_for(classes):
        origins = [(w - w0, rho_unit), (w, None)]
        if solver == "ridge" and not plan.centred:
            origins = origins[1:]
        risks[constant.name] = min(
            margin_bound(
                margins,
                constant,
                classes,
                Ball(norm(u, constant.norm) * unit, size / unit, offset),
                delta / 2,
            ).risk
            for u, offset in origins
        )
    return risks


def norm(u: np.ndarray, kind: str) -> float:
    if kind == "max":
        return float(np.linalg.norm(u, axis=0).max())
    return float(np.linalg.norm(u) if kind == "frobenius" else np.linalg.norm(u[:, 1] - u[:, 0]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("solver", "plan"),
    [
        ("sgd", RidgeOptions()),
        ("ridge", RidgeOptions(penalty=0.01)),
        ("ridge", RidgeOptions(penalty=0.01, centred=True)),
        ("ridge", RidgeOptions(penalty=0.01, landmarks=9)),
        ("ridge", RidgeOptions(penalty=0.01, landmarks=9, centred=True)),
    ],
    ids=["sgd", "exact", "centred", "landmarks", "landmarks-centred"],
)
def test_equals_brute_force(
    tmp_path: Path,
    classes: int,
    solver: str,
    plan: RidgeOptions,
) -> None:
    folder, data = run_folder(tmp_path, classes, solver, plan)
    certificate = measured_certificate(folder, data, 0.1)
    truth = brute_force(folder, data, solver, plan, 0.1)
    found = {bound.name: bound.risk for bound in certificate.bounds}
    assert found.keys() == truth.keys()
    for name, risk in truth.items():
        assert found[name] == pytest.approx(risk, rel=1e-4), name
    assert_ordered(certificate)


def assert_ordered(certificate: Certificate) -> None:
    risks = [bound.risk for bound in certificate.bounds]
    # a grid of four an octave can hide no more than its own step
    assert all(a >= b - 0.02 for a, b in itertools.pairwise(risks))


def test_other_data_are_refused(tmp_path: Path) -> None:
    folder, data = run_folder(tmp_path, 2, "sgd", RidgeOptions())
    other = tmp_path / "other.npz"
    with np.load(data) as arrays:
        np.savez(other, x=arrays["x"] + 1, y=arrays["y"])
    with pytest.raises(InputError, match="other data than the run was trained on"):
        measured_certificate(folder, other, 0.1)
    (folder / "split.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"split\.npz: found another file than the run wrote"):
        measured_certificate(folder, data, 0.1)


def test_a_network_that_did_not_move_pays_for_nothing() -> None:
    """With u = 0 the margin loss is the error and the complexity vanishes at large γ."""
    margins = np.linspace(-0.2, 1.0, 600)
    constant = constants_for(3)[-1]
    bound = margin_bound(margins, constant, 3, Ball(0.0, 1.0, offset_unit=1.0), 0.05)
    assert bound.margin_loss == pytest.approx((margins <= 0).mean(), abs=0.05)


def test_runs_are_paid_for(tmp_path: Path) -> None:
    """--runs N certifies at δ/N, and says so; without --checkpoint it is refused."""
    folder, data = run_folder(tmp_path, 3, "ridge", RidgeOptions(penalty=0.01, centred=True))
    runner = CliRunner()
    base = ["data-indep", "--checkpoint", str(folder), "--data", str(data), "--json"]
    docs = {}
    for extra in ((), ("--runs", "12"), ("--delta", str(0.05 / 12))):
        result = runner.invoke(app, [*base, *extra])
        assert result.exit_code == 0, result.output
        docs[extra] = json.loads(result.stdout)
        jsonschema.validate(docs[extra], json.loads(schema_text("data-indep")))
    alone, twelve, shared = docs.values()
    assert twelve["bounds"] == shared["bounds"]
    assert twelve["bounds"][0]["terms"]["confidence"] > alone["bounds"][0]["terms"]["confidence"]
    assert alone["measured"]["runs"] == alone["inputs"]["runs"] == 1
    assert twelve["measured"]["runs"] == twelve["inputs"]["runs"] == 12
    assert any("at most 12 runs" in text for text in twelve["bound"]["assumes"])
    assert any("--runs pays" in text for text in alone["bound"]["assumes"])
    text = runner.invoke(app, [*base[:-1], "--runs", "12"])
    assert "over 12 for each run compared" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runs", "2", "--d-y", "3", "--c-sigma", "1", "--c-w", "1"), "--runs: found it without"),
        (("--runs", "0", "--checkpoint", "x", "--data", "y"), "--runs: found '0'"),
        (
            ("--runs", "9e15", "--delta", "1e-300", "--checkpoint", "x", "--data", "y"),
            "--delta over --runs",
        ),
    ],
)
def test_runs_refused(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["data-indep", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_solution_in_other_units_is_read_in_its_own(tmp_path: Path) -> None:
    """The run's kernel was of freeze and test items, the certificate's of freeze items alone."""
    items, targets = blobs(70, shape=(4,), classes=3)
    data = tmp_path / "d.npz"
    labels = targets.argmax(1).numpy()
    np.savez(
        data, x_train=items[:60], y_train=labels[:60], x_test=items[60:] * 1e4, y_test=labels[60:]
    )
    choice = TrainRequest(
        data,
        "mlp:4,3",
        tmp_path / "run",
        alpha=0.4,
        solver="ridge",
        training=Training(epochs=4, batch_size=8, learning_rate=0.02),
        ridge=RidgeOptions(penalty=0.01),
    )
    made = train(choice)
    write_record(choice, made, {}, None)
    certificate = measured_certificate(tmp_path / "run", data, 0.1)
    assert made.freeze is not None
    assert certificate.error == pytest.approx(made.freeze.train.error)
    assert made.ridge is not None
    squares = [float(square) for square in made.ridge.distance_squared]
    assert float(certificate.weights[0].norms["frobenius"]) == pytest.approx(
        math.sqrt(sum(squares)), rel=1e-3
    )
