"""The items that make up β1: their terms, their places in the user's files, and planted ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.cli.app import app
from tests.brute import enumerate_paths
from tests.cases import random_case
from tests.networks import ZOO

runner = CliRunner()


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ZOO)
def test_shares_are_those_of_the_top_path_direction(name: str, task: str) -> None:
    case = random_case(name, seed=1, m=6, n=8, task=task)
    items = torch.cat([case.sample.items, case.reference.items])
    z, _ = enumerate_paths(case.subject.network, items.reshape(14, -1).numpy())
    weights = np.r_[np.full(6, -1 / 6), np.full(8, 1 / 8)]
    # the top eigenvector, on the span of the rows of z
    base, triangle = np.linalg.qr(z.T)
    values, vectors = np.linalg.eigh(triangle @ (weights[:, None] * triangle.T))
    terms = weights * (z @ (base @ vectors[:, -1])) ** 2
    options = AuditOptions(dtype=torch.float64, top=14)
    result = audit(case.subject, case.sample, case.reference, task, options)
    if values[-1] < 1e-9:
        assert result.attribution == ()
        return
    assert len(result.attribution) == 14
    assert sum(item.share for item in result.attribution) == pytest.approx(1, abs=1e-9)
    shares = np.zeros(14)
    for item in result.attribution:
        place = item.index + (6 if item.set == "reference" else 0)
        shares[place] = item.share
        target = torch.cat([case.sample.targets, case.reference.targets])[place]
        if task == "classification":
            assert item.label == int(target.argmax())
        else:
            assert item.label == (float(target[0]) if len(target) == 1 else tuple(target.tolist()))
    if values[-1] - values[-2] > 1e-3 * values[-1]:
        np.testing.assert_allclose(shares, terms / values[-1], atol=1e-4)
    assert [item.share for item in result.attribution] == sorted(shares, reverse=True)


def attribution(*arguments: object) -> list[dict[str, object]]:
    result = runner.invoke(app, ["concentrate", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["attribution"]
    return found


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, list[int]]:
    """A network and two files; the reference holds 20 items of another kind at known places."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU())
    torch.save(nn.Sequential(*module, nn.Linear(20, 4)).state_dict(), tmp_path / "m.pt")

    def items(count: int) -> np.ndarray:
        return np.clip(random.normal(0.2, 0.2, (count, 30)), 0, 1)

    places = sorted(random.permutation(300)[:20].tolist())
    x = items(300)
    x[places] = 1 - x[places]
    y = random.integers(0, 4, 300)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.savez(tmp_path / "s.npz", x=items(400), y=random.integers(0, 4, 400))
    return tmp_path, places


def test_planted_items_come_out_on_top(planted: tuple[Path, list[int]]) -> None:
    folder, places = planted
    arguments = (folder / "m.pt", folder / "s.npz", "--reference", folder / "t.npz", "--top", "20")
    found = attribution(*arguments)
    assert {item["set"] for item in found} == {"reference"}
    assert sorted(int(str(item["index"])) for item in found) == places
    labels = np.load(folder / "t.npz")["y"]
    assert all(item["label"] == labels[item["index"]] for item in found)
    assert attribution(*arguments[:-2], "--top", "0") == []
    assert len(attribution(*arguments[:-2])) == 10


def test_the_index_is_that_of_the_file(planted: tuple[Path, list[int]]) -> None:
    folder, places = planted
    with np.load(folder / "t.npz") as file:
        labels = file["y"]
    arguments = (folder / "m.pt", folder / "s.npz", "--reference", folder / "t.npz")
    shuffled = attribution(*arguments, "--limit", "250", "--top", "12", "--seed", "5")
    assert {item["index"] for item in shuffled} <= set(places)
    assert all(item["label"] == labels[item["index"]] for item in shuffled)
    held_out = attribution(folder / "m.pt", folder / "t.npz", "--holdout", "0.4", "--top", "300")
    assert len(held_out) == 300
    indices = {
        name: {item["index"] for item in held_out if item["set"] == name}
        for name in ("sample", "reference")
    }
    assert len(indices["reference"]) == 120
    assert indices["sample"] | indices["reference"] == set(range(300))
    assert all(item["label"] == labels[item["index"]] for item in held_out)


@pytest.mark.slow
def test_inverted_images_among_mnist_come_out_on_top(mnist: Path, tmp_path: Path) -> None:
    from gencheck.training.loop import Training, fit

    with np.load(mnist) as archive:
        x, y = archive["x_train"][:8000], archive["y_train"][:8000]
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    first = torch.from_numpy(x[:4000].reshape(-1, 784) / 255).float()
    fit(module, first, torch.eye(10)[torch.from_numpy(y[:4000]).long()], Training(2, 32), 0)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    places = np.random.default_rng(0).permutation(2000)[:20]
    reference = x[6000:].copy()
    reference[places] = 255 - reference[places]
    np.savez(tmp_path / "t.npz", x=reference, y=y[6000:])
    np.savez(tmp_path / "s.npz", x=x[4000:6000], y=y[4000:6000])
    found = attribution(
        *(tmp_path / "m.pt", tmp_path / "s.npz", "--reference", tmp_path / "t.npz", "--top", 20)
    )
    assert sorted(int(str(item["index"])) for item in found) == sorted(places.tolist())
    assert all(item["set"] == "reference" for item in found)
