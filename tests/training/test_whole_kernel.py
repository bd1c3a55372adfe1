"""Ridge regression by conjugate gradients against its solution by eigenvectors."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.errors import InputError, SolverError
from gencheck.memory import memory_limit
from gencheck.report.schema import schema_text
from gencheck.training import conjugate_gradients, path_ridge, whole_kernel
from gencheck.training.conjugate_gradients import TOLERANCE, solve
from gencheck.training.path_ridge import PathRidge, RidgeOptions
from tests.cases import random_case
from tests.training.data import blobs


def problem(decay: float, count: int = 60) -> tuple[Tensor, Tensor]:
    """A kernel whose eigenvalues fall as k^−decay, and three right-hand sides of unlike sizes."""
    random = np.random.default_rng(0)
    vectors = np.linalg.qr(random.normal(size=(count, count)))[0]
    kernel = vectors @ np.diag(np.arange(1.0, count + 1) ** -decay) @ vectors.T
    right = random.normal(size=(count, 3)) * [1e-6, 1.0, 1e6]
    return torch.from_numpy(kernel), torch.from_numpy(right)


@pytest.mark.parametrize("decay", [0.5, 2.0, 4.0])
def test_the_system_is_solved_for_every_right_hand_side(decay: float) -> None:
    kernel, right = problem(decay)
    found = solve(lambda a: kernel @ a, right, 1e-3, lambda r: r, tolerance=1e-12)
    exact = torch.linalg.solve(kernel + 1e-3 * torch.eye(60, dtype=torch.float64), right)
    scale = exact.norm(dim=0)
    assert ((found.values - exact).norm(dim=0) <= 1e-8 * scale).all()
    torch.testing.assert_close(found.products, kernel @ found.values)
    left = right - kernel @ found.values - 1e-3 * found.values
    assert found.residual == pytest.approx(float((left.norm(dim=0) / right.norm(dim=0)).max()))
    assert found.residual <= 1e-12


def test_a_good_preconditioner_saves_steps() -> None:
    kernel, right = problem(2.0)
    values, vectors = torch.linalg.eigh(kernel)
    top, basis = values[-20:], vectors[:, -20:]

    def deflated(r: Tensor) -> Tensor:
        within = basis.T @ r
        return (r - basis @ ((top / (top + 1e-5))[:, None] * within)) / 1e-5

    plain = solve(lambda a: kernel @ a, right, 1e-5, lambda r: r)
    quick = solve(lambda a: kernel @ a, right, 1e-5, deflated)
    assert quick.steps < plain.steps / 2
    assert max(plain.residual, quick.residual) <= TOLERANCE


def test_zeros_are_solved_by_zeros() -> None:
    kernel, right = problem(1.0)
    found = solve(lambda a: kernel @ a, right * torch.tensor([1.0, 0.0, 1.0]), 0.1, lambda r: r)
    assert (found.values[:, 1] == 0).all()
    assert solve(lambda a: kernel @ a, right * 0, 0.1, lambda r: r).steps == 0


def test_what_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, right = problem(2.0)
    with pytest.raises(SolverError, match="not positive definite"):
        solve(lambda a: kernel @ a - a, right, 0.1, lambda r: r)
    monkeypatch.setattr(conjugate_gradients, "MOST_STEPS", 3)
    with pytest.raises(SolverError, match="in 3 steps, not 1e-09"):
        solve(lambda a: kernel @ a, right, 1e-6, lambda r: r)


def solved(name: str, plan: RidgeOptions) -> PathRidge:
    case = random_case(name, m=40, n=10)
    return path_ridge.path_ridge(
        case.subject.network,
        case.sample.items,
        targets=case.sample.targets.double(),
        test_items=case.reference.items,
        plan=plan,
    )


@pytest.mark.parametrize("name", ["one_hidden_bias", "three_hidden_batchnorm", "conv_pool", "silu"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("memory", [None, 2**27])
def test_it_is_the_solution_in_closed_form(
    name: str, centred: bool, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = RidgeOptions(penalty=0.01, centred=centred, tile=16)
    exact = solved(name, plan)
    monkeypatch.setattr(path_ridge, "EXACT_LIMIT", 20)
    monkeypatch.setattr(whole_kernel, "PRECONDITIONING", 8)
    if memory is not None:
        monkeypatch.setattr(whole_kernel, "_storage", lambda *_: "recompute")
    with memory_limit(memory):
        found = solved(name, RidgeOptions(0.01, 40, centred, tile=16))
    convergence = found.solution.convergence
    assert convergence is not None
    assert convergence.storage == ("memory" if memory is None else "recompute")
    assert (found.gram is None) == (memory is not None)
    assert convergence.residual <= convergence.tolerance == TOLERANCE
    scale = float(exact.outputs.abs().max())
    torch.testing.assert_close(found.outputs, exact.outputs, rtol=0, atol=1e-8 * scale)
    ratio = found.solution.squared_norms / exact.solution.squared_norms
    torch.testing.assert_close(
        torch.ldexp(ratio, torch.tensor(exact.exponent - found.exponent)),
        torch.ones_like(ratio),
        rtol=1e-6,
        atol=0,
    )


def test_memory_decides_where_the_kernel_is() -> None:
    said: list[str] = []

    class Heard:
        def report(self, message: str) -> None:
            said.append(message)

    with memory_limit(2**40):
        assert whole_kernel._storage(30_000, 1000, 2**20, Heard()) == "memory"  # type: ignore[arg-type]
    with memory_limit(2**30 + 2**29):
        assert whole_kernel._storage(30_000, 1000, 2**20, Heard()) == "recompute"  # type: ignore[arg-type]
    assert "takes 1.68 GiB, and 1.5 GiB may be taken" in said[0]
    with memory_limit(2**29), pytest.raises(InputError, match="a preconditioner for 30,000 items"):
        whole_kernel._storage(30_000, 1000, 2**20, Heard())  # type: ignore[arg-type]


def test_the_command_states_how_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_ridge, "EXACT_LIMIT", 20)
    items, targets = blobs(90, shape=(5,))
    labels = targets.argmax(1).numpy().astype(np.int64)
    np.savez(tmp_path / "d.npz", x=items.numpy(), y=labels)
    run = str(tmp_path / "run")
    arguments = ["train", "--data", str(tmp_path / "d.npz"), "--arch", "mlp:8", "--epochs", "2"]
    arguments += ["--two-phase", "--alpha", "0.3", "--solver", "ridge", "--landmarks", "1000"]
    arguments += ["--holdout", "0.2", "--memory", "4GiB", "--out", run, "--json"]
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    doc = json.loads(made.stdout)
    jsonschema.validate(doc, json.loads(schema_text("train")))
    ridge = doc["ridge"]
    assert (ridge["leave_one_out"], ridge["rank"], ridge["landmarks"]) == (None, None, 50)
    solver = ridge["solver"]
    assert solver["residual"] <= solver["tolerance"]
    assert (solver["method"], solver["storage"]) == ("conjugate-gradients", "memory")
    assert ridge["gap"]["gap"] <= ridge["gap"]["bound"]["value"]
    certified = CliRunner().invoke(app, ["certify", run, str(tmp_path / "d.npz"), "--json"])
    assert certified.exit_code == 0, certified.output
    rows = {row["name"]: row for row in json.loads(certified.stdout)["certificates"]}
    assert rows["margin"]["error"] == pytest.approx(doc["freeze"]["train"]["error"])
    shown = CliRunner().invoke(app, [a for a in arguments if a != "--json"], env={"COLUMNS": "80"})
    assert "conjugate gradients; at most 1e-09" in shown.stdout, shown.output
    assert max(map(len, shown.stdout.splitlines())) <= 80
