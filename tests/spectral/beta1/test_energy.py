"""Where on the input the direction of β1 lies: against every path, its items and its picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit import attribution
from gencheck.audit.image_grid import Picture, picture_of
from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.cli.app import app
from gencheck.report.terminal.direction import shaded
from tests.brute import enumerate_paths, path_starts
from tests.cases import random_case
from tests.networks import ZOO

runner = CliRunner()


@pytest.mark.parametrize("landmarks", [None, 14])
@pytest.mark.parametrize("name", ZOO)
def test_energy_is_that_of_the_paths_by_their_starts(name: str, landmarks: int | None) -> None:
    case = random_case(name, seed=1, m=6, n=8)
    network = case.subject.network
    items = torch.cat([case.sample.items, case.reference.items]).reshape(14, -1).numpy()
    z, _ = enumerate_paths(network, items)
    starts = path_starts(network, items)
    weights = np.r_[np.full(6, -1 / 6), np.full(8, 1 / 8)]
    base, triangle = np.linalg.qr(z.T)
    values, vectors = np.linalg.eigh(triangle @ (weights[:, None] * triangle.T))
    options = AuditOptions(dtype=torch.float64, landmarks=landmarks)
    direction = audit(
        case.subject, case.sample, case.reference, "classification", options
    ).direction
    if values[-1] < 1e-9:
        assert direction is None
        return
    assert direction is not None
    assert direction.items == 14
    assert direction.captured == pytest.approx(1, abs=1e-6)
    assert sum(direction.energy) + direction.elsewhere == pytest.approx(direction.captured)
    if values[-1] - values[-2] > 1e-3 * values[-1]:
        squares = (base @ vectors[:, -1]) ** 2
        truth = np.bincount(starts[starts >= 0], squares[starts >= 0], items.shape[1])
        np.testing.assert_allclose(direction.energy, truth, atol=1e-4)
        assert direction.elsewhere == pytest.approx(squares[starts < 0].sum(), abs=1e-4)


@pytest.mark.parametrize("name", ["four_hidden", "conv_pool", "residual", "depthwise_pointwise"])
def test_fewer_items_give_the_projection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The energy of Pu, with P from an explicit basis of the chosen items' path features."""
    monkeypatch.setattr(attribution, "_CHEAP", 0.0)
    monkeypatch.setattr(attribution, "_SHARE", 1 / 4)
    case = random_case(name, seed=2, m=9, n=11)
    network = case.subject.network
    items = torch.cat([case.sample.items, case.reference.items]).reshape(20, -1).numpy()
    z, _ = enumerate_paths(network, items)
    starts = path_starts(network, items)
    weights = np.r_[np.full(9, -1 / 9), np.full(11, 1 / 11)]
    base, triangle = np.linalg.qr(z.T)
    values, vectors = np.linalg.eigh(triangle @ (weights[:, None] * triangle.T))
    u = base @ vectors[:, -1]
    assert values[-1] - values[-2] > 1e-3 * values[-1]
    result = audit(
        case.subject,
        case.sample,
        case.reference,
        "classification",
        AuditOptions(dtype=torch.float64),
    )
    direction = result.direction
    assert direction is not None
    assert direction.items == 5
    parts = np.abs(weights * (z @ u))
    at_random = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:2].numpy()
    parts[at_random] = np.inf
    chosen = np.argsort(-parts, kind="stable")[:5]
    span = np.linalg.qr(z[chosen].T)[0]
    squares = (span @ (span.T @ u)) ** 2
    assert direction.captured == pytest.approx(squares.sum(), abs=1e-6)
    truth = np.bincount(starts[starts >= 0], squares[starts >= 0], items.shape[1])
    np.testing.assert_allclose(direction.energy, truth, atol=1e-4)


@pytest.mark.parametrize(
    ("entering", "stored", "expected"),
    [
        ((784,), (28, 28), Picture((28, 28), None)),
        ((3072,), (32, 32, 3), Picture((32, 32, 3), 2)),
        ((3072,), (3, 32, 32), Picture((3, 32, 32), 0)),
        ((3, 32, 32), (32, 32, 3), Picture((3, 32, 32), 0)),
        ((1, 28, 28), None, Picture((1, 28, 28), 0)),
        ((784,), None, None),
        ((784,), (784,), None),
        ((4, 30), (4, 30), Picture((4, 30), None)),
    ],
)
def test_pictures(
    entering: tuple[int, ...], stored: tuple[int, ...] | None, expected: Picture | None
) -> None:
    assert picture_of(entering, stored) == expected


def test_channels_are_added_up() -> None:
    values = np.arange(24.0)
    np.testing.assert_array_equal(
        Picture((3, 2, 4), 0).grid(values), values.reshape(3, 2, 4).sum(0)
    )
    np.testing.assert_array_equal(
        Picture((2, 4, 3), 2).grid(values), values.reshape(8, 3).sum(1).reshape(2, 4)
    )


def test_shades() -> None:
    grid = np.zeros((20, 4))
    grid[0, 0] = grid[1, 0] = 16
    grid[2, 2] = grid[3, 2] = 4
    assert shaded(grid) == ["█", "  ▒", *[""] * 8]
    assert shaded(np.array([[4.0, 0, 1], [0, 4, 0]])) == ["██  ▒▒", "  ██"]
    assert shaded(np.array([[4.0, 0, 1]])) == ["█ ▒"]
    assert max(map(len, shaded(np.ones((224, 224))))) == 56
    assert len(shaded(np.ones((224, 224)))) == 28


def test_a_patch_that_changes_is_where_the_direction_lies(tmp_path: Path) -> None:
    """The reference has a bright square in a corner; the picture shows that corner."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(216, 3)
    )
    program = torch.export.export(module.eval(), (torch.zeros(2, 1, 12, 12),))
    torch.export.save(program, tmp_path / "m.pt2")
    x = np.clip(random.normal(0.2, 0.1, (300, 12, 12)), 0, 1)
    x[200:, :4, 8:] += 0.7
    y = random.integers(0, 3, 300)
    np.savez(tmp_path / "d.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    arguments = ["concentrate", str(tmp_path / "m.pt2"), str(tmp_path / "d.npz")]
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["direction"]
    assert found["shape"] == [1, 12, 12]
    energy = np.array(found["energy"]).reshape(12, 12)
    assert energy[:4, 8:].sum() > 0.8 * energy.sum()
    assert energy.sum() + found["elsewhere"] == pytest.approx(found["captured"])
    printed = runner.invoke(app, arguments).stdout
    assert "Where on the input that path direction lies" in printed
    silent = json.loads(runner.invoke(app, [*arguments, "--json", "--top", "0"]).stdout)
    assert silent["direction"]["items"] == 0
