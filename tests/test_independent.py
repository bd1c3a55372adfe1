"""The measured data-independent bound against brute force on explicit path features."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from gencheck.bounds.multiclass import constants_for, margin_bound
from gencheck.errors import InputError
from gencheck.independent import Certificate, measured_certificate
from gencheck.report.train import write_record
from gencheck.subject import load_subject
from gencheck.train.loop import Training
from gencheck.train.path_ridge import RidgePlan
from gencheck.trainrun.choice import TrainChoice
from gencheck.trainrun.run import train
from tests.brute import enumerate_paths
from tests.train_data import blobs


def run_folder(folder: Path, classes: int, solver: str, plan: RidgePlan) -> tuple[Path, Path]:
    """A finished run on small data, and the data."""
    data = folder / "d.npz"
    items, targets = blobs(70, shape=(4,), classes=classes)
    np.savez(data, x=items.numpy(), y=targets.argmax(1).numpy())
    choice = TrainChoice(
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
    folder: Path, data: Path, solver: str, plan: RidgePlan, delta: float
) -> dict[str, float]:
    """Every bound's risk from z and w themselves."""
    with np.load(data) as arrays, np.load(folder / "split.npz") as split:
        x, y = arrays["x"], arrays["y"]
        freeze, standard = split["freeze"], split["standard"]
    gates = load_subject(folder / "gates.pt2", None, [(4,)]).network
    z, w0 = enumerate_paths(gates, x.astype(np.float64))
    if solver == "sgd":
        _, w = enumerate_paths(load_subject(folder / "weights.pt2", None, [(4,)]).network, x[:1])
    else:
        with np.load(folder / "ridge.npz") as arrays:
            scale = 2.0 ** -float(arrays["exponent"])
            w = z[arrays["landmarks"]].T @ arrays["coefficients"] * scale
        w = w + w0 if plan.centred else w
    outputs = z[freeze] @ w
    rows = np.arange(len(freeze))
    own = outputs[rows, y[freeze]]
    rest = outputs.copy()
    rest[rows, y[freeze]] = -np.inf
    margins = own - rest.max(1)
    size = math.sqrt((z[freeze] ** 2).sum(1).mean())
    unit = math.sqrt((z[standard] ** 2).sum(1).mean())
    classes = outputs.shape[1]
    risks = {}
    for constant in constants_for(classes):
        origins = [w - w0, w] if solver == "sgd" or plan.centred else [w]
        risks[constant.name] = min(
            margin_bound(
                margins, constant, classes, norm(u, constant.norm) * unit, size / unit, delta / 2
            ).risk
            for u in origins
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
        ("sgd", RidgePlan()),
        ("ridge", RidgePlan(penalty=0.01)),
        ("ridge", RidgePlan(penalty=0.01, centred=True)),
        ("ridge", RidgePlan(penalty=0.01, landmarks=9)),
        ("ridge", RidgePlan(penalty=0.01, landmarks=9, centred=True)),
    ],
    ids=["sgd", "exact", "centred", "landmarks", "landmarks-centred"],
)
def test_equals_brute_force(
    tmp_path: Path,
    classes: int,
    solver: str,
    plan: RidgePlan,
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
    folder, data = run_folder(tmp_path, 2, "sgd", RidgePlan())
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
    bound = margin_bound(margins, constant, 3, 0.0, 1.0, 0.05)
    assert bound.margin_loss == pytest.approx((margins <= 0).mean(), abs=0.01)
