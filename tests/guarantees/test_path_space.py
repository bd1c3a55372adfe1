"""`certify` against Gaussians over enumerated path weights, and as users call it."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import gencheck
from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.path_space import Posterior, catoni_risk
from gencheck.bounds.path_space_grid import Shares
from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.guarantees import run_solution
from gencheck.guarantees.path_space import kernel_blocks
from gencheck.guarantees.two_phase_margin import measured_certificate
from gencheck.guarantees.two_phase_run import TwoPhaseItems, read_two_phase_run
from gencheck.report.schema import schema_text
from gencheck.report.train import write_record
from gencheck.training.loop import Training
from gencheck.training.path_ridge import RidgeOptions
from gencheck.training.request import TrainRequest
from gencheck.training.run import train
from tests.brute import enumerate_paths
from tests.training.data import blobs

NAMES = ["hold-out", "margin", "pac-bayes-drawn", "pac-bayes-mean"]


def finished_run(folder: Path, solver: str, count: int = 160) -> tuple[Path, Path]:
    """A run on three blobs with a test split, and its data."""
    data = folder / "d.npz"
    items, targets = blobs(count, shape=(4,), classes=3)
    labels = targets.argmax(1).numpy()
    held = count // 5
    np.savez(
        data,
        x_train=items[held:].numpy(),
        y_train=labels[held:],
        x_test=items[:held].numpy(),
        y_test=labels[:held],
    )
    request = TrainRequest(
        data,
        "mlp:4,3",
        folder / "run",
        alpha=0.5,
        solver=solver,
        training=Training(epochs=6, batch_size=8, learning_rate=0.02),
        freeze=Training(epochs=2, batch_size=8, learning_rate=0.02),
        ridge=RidgeOptions(penalty=0.01, centred=True),
    )
    write_record(request, train(request), {}, None)
    return folder / "run", data


@pytest.fixture(scope="module")
def ridge_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return finished_run(tmp_path_factory.mktemp("ridge"), "ridge")


@pytest.fixture(scope="module")
def run(ridge_run: tuple[Path, Path]) -> TwoPhaseItems:
    return read_two_phase_run(*ridge_run).items


@pytest.mark.parametrize("landmarks", [9, 1000])
def test_blocks_are_those_of_enumerated_paths(run: TwoPhaseItems, landmarks: int) -> None:
    """Mean, variance and divergence of the explicit Gaussian over all path weights."""
    blocks = kernel_blocks(run, landmarks, seed=3)
    order = np.random.default_rng(3).permutation(len(run.freeze))
    items = run.freeze.items[order].double().numpy()
    z, start = enumerate_paths(run.gates, items)
    scale, own = 2.0**blocks.span.exponent, blocks.problem
    np.testing.assert_allclose(own.features.base, z @ start, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own.features.squares * scale, (z**2).sum(1), rtol=1e-5)
    # the basis in path space, and the Gaussian on it
    count = len(blocks.span.landmarks)
    basis = z[:count].T @ blocks.span.basis.numpy() / math.sqrt(scale)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=2e-3)
    second = (z @ basis).T @ (z @ basis) / scale
    np.testing.assert_allclose(second, np.diag(own.values), atol=2e-3 * own.values.max())
    posterior = Posterior(0.3, own.shrinkage(30.0), own.mean(0.01))
    covariance = 0.09 * (np.eye(len(basis)) - basis @ np.diag(posterior.shrinkage) @ basis.T)
    mean = basis @ posterior.mean
    np.testing.assert_allclose(
        posterior.outputs(own.features),
        z @ start + z @ mean / math.sqrt(scale),
        rtol=1e-2,
        atol=2e-3,
    )
    variances = np.einsum("ip,pq,iq->i", z, covariance, z) / scale
    np.testing.assert_allclose(posterior.variances(own.features), variances, rtol=1e-2)
    by_hand = sum(
        0.5
        * (
            np.trace(covariance) / 0.09
            - len(covariance)
            - np.linalg.slogdet(covariance / 0.09)[1]
            + mean[:, k] @ mean[:, k] / 0.09
        )
        for k in range(3)
    )
    assert posterior.divergence == pytest.approx(by_hand, rel=1e-2)
    # the mean is ridge regression on what h⁰ leaves over
    shift = 0.01 * (z**2).sum(1).mean() * len(z)
    theta = np.linalg.solve(
        (z @ basis).T @ (z @ basis) + shift * np.eye(basis.shape[1]),
        (z @ basis).T @ own.residuals,
    )
    np.testing.assert_allclose(posterior.mean / math.sqrt(scale), theta, rtol=2e-2, atol=2e-4)


def certified(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["certify", *arguments, "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("certify")))
    return doc


def test_the_table_of_a_solved_run(ridge_run: tuple[Path, Path], run: TwoPhaseItems) -> None:
    doc = certified(*map(str, ridge_run))
    rows = {row["name"]: row for row in doc["certificates"]}
    assert list(rows) == NAMES
    m = doc["measured"]["m_sigma"]
    assert m == len(run.freeze)
    assert doc["measured"]["test_items"] == 32
    errors = rows["hold-out"]["terms"]["errors"]
    assert rows["hold-out"]["risk"] == pytest.approx(binomial_upper_end(errors, m, math.log(20)))
    for name in ("pac-bayes-drawn", "pac-bayes-mean"):
        terms = rows[name]["terms"]
        price = Shares().price(terms["scale"], terms.get("margin_factor"))
        assert terms["price_nats"] == pytest.approx(price)
        nats = terms["divergence_nats"] + price + math.log(20)
        risk = terms["factor"] * catoni_risk(terms["empirical"], nats, m)
        assert rows[name]["risk"] == pytest.approx(risk, rel=1e-12)
    for row in rows.values():
        assert 0 <= row["test_error"] <= row["risk"]
        assert row["error"] <= row["risk"]
    assert doc["verdict"]["name"] == "pac-bayes-mean"
    assert doc["verdict"]["risk"] == rows["pac-bayes-mean"]["risk"]


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("landmarks", ["5", "50"])
def test_the_margin_row_is_what_data_indep_says(
    ridge_run: tuple[Path, Path], few: bool, landmarks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the table's own kernels, by columns of its own, and by products with all of the kernel."""
    monkeypatch.setattr(run_solution, "_few", lambda *_: few)
    alone = measured_certificate(*ridge_run, delta=0.05)
    doc = certified(*map(str, ridge_run), "--landmarks", landmarks)
    (row,) = (row for row in doc["certificates"] if row["name"] == "margin")
    assert row["risk"] == pytest.approx(alone.certified.risk, rel=1e-9)
    assert row["error"] == alone.error
    monkeypatch.setattr(run_solution, "_few", lambda *_: not few)
    other = measured_certificate(*ridge_run, delta=0.05)
    assert other.certified.risk == pytest.approx(alone.certified.risk, rel=1e-9)
    for one, two in zip(other.weights, alone.weights, strict=True):
        for kind, norm in one.norms.items():
            assert float(norm) == pytest.approx(float(two.norms[kind]), rel=1e-5)


def test_runs_verdict_and_gate(ridge_run: tuple[Path, Path]) -> None:
    base = tuple(map(str, ridge_run))
    doc = certified(*base, "--runs", "5", "--verdict", "hold-out", "--max-risk", "0.9")
    assert doc["gate"]["passed"]
    row = doc["certificates"][0]
    errors, m = row["terms"]["errors"], doc["measured"]["m_sigma"]
    assert doc["verdict"]["risk"] == pytest.approx(binomial_upper_end(errors, m, math.log(100)))
    assert any("at most 5 runs" in text for text in row["assumes"])
    failed = certified(*base, "--max-risk", "0.001", code=1)
    assert not failed["gate"]["passed"]


def test_the_certified_classifier_can_be_held(
    ridge_run: tuple[Path, Path], run: TwoPhaseItems, tmp_path: Path
) -> None:
    """What was certified gives the errors that the table says, on items it is asked about."""
    assert run.test is not None
    folder, data = map(str, ridge_run)
    for verdict in ("pac-bayes-mean", "pac-bayes-drawn"):
        file = tmp_path / f"{verdict}.npz"
        doc = certified(folder, data, "--verdict", verdict, "--save", str(file))
        (row,) = (row for row in doc["certificates"] if row["name"] == verdict)
        classifier = gencheck.DrawnClassifier.load(folder, file)
        if verdict == "pac-bayes-mean":
            wrong = (classifier.predict(run.test.items) != run.test.labels).mean()
            assert wrong == pytest.approx(row["test_error"])
        else:
            rates = [
                (classifier.predict(run.test.items, seed=seed) != run.test.labels).mean()
                for seed in range(40)
            ]
            deviation = np.std(rates) / math.sqrt(40) + 0.002
            assert abs(np.mean(rates) - row["test_error"]) < 4 * deviation
            first, again = (classifier.predict(run.test.items, seed=1) for _ in range(2))
            assert (first == again).all()
    with pytest.raises(InputError, match=r"items of shape \(5,\)"):
        classifier.predict(torch.zeros((2, 5)))
    with pytest.raises(InputError, match=r"no gates\.pt2"):
        gencheck.DrawnClassifier.load(tmp_path, file)
    file.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="certify RUN DATA --save"):
        gencheck.DrawnClassifier.load(folder, file)


def test_a_run_by_gradient_descent(tmp_path: Path) -> None:
    folder, data = finished_run(tmp_path, "sgd", 100)
    doc = certified(str(folder), str(data))
    assert [row["name"] for row in doc["certificates"]] == NAMES
    report = CliRunner().invoke(app, ["certify", str(folder), str(data), "--runs", "3"])
    assert report.exit_code == 0
    for part in (*NAMES, "over 3 for each run", "Verdict:", "assumes: ", "divergence nats"):
        assert part in report.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--save", "x.npz", "--verdict", "margin"), "--save with --verdict margin"),
        (("--save", "missing/x.npz"), "--save missing/x.npz: found no folder"),
        (("--save", "x.txt"), "--save x.txt: found suffix '.txt'"),
        (("--save", "run/x.npz"), "a file in the run's folder"),
        (("--runs", "0"), "--runs: found '0'"),
        (("--delta", "1"), "--delta: found 1"),
        (("--max-risk", "nan"), "--max-risk: found nan"),
        ((), "a folder without a sound run.json"),
    ],
)
def test_refusals(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["certify", "run", "data.npz", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert result.stdout == ""
