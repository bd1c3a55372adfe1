"""Ridge regression in path space against brute force on explicit path features."""

import numpy as np
import pytest
import torch

from gencheck.errors import InputError
from gencheck.training.ridge import LOO_GRID, ridge
from tests.brute import enumerate_paths
from tests.cases import random_case


def features(name: str) -> tuple[np.ndarray, np.ndarray]:
    case = random_case(name, m=20, n=10)
    items = torch.cat([case.sample.items, case.reference.items])
    z, _ = enumerate_paths(case.subject.network, items.reshape(len(items), -1).numpy())
    return z, torch.cat([case.sample.targets, case.reference.targets]).numpy()


@pytest.mark.parametrize("name", ["one_hidden_bias", "three_hidden_batchnorm", "conv_pool", "silu"])
def test_exact_equals_ridge_on_explicit_features(name: str) -> None:
    z, y = features(name)
    kernel = torch.from_numpy(z @ z.T)
    n, lam = 20, 0.03
    fitted = ridge(kernel[:n, :n], torch.from_numpy(y[:n]), penalty=lam)
    u = np.linalg.solve(z[:n].T @ z[:n] / n + lam * np.eye(z.shape[1]), z[:n].T @ y[:n] / n)
    # the normal equations (K + nλI) b = y, on the features' span
    a = fitted.coefficients.numpy()
    k = kernel[:n, :n].numpy()
    np.testing.assert_allclose(k @ (k @ a + n * lam * a), k @ y[:n], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(fitted.outputs(kernel[:, :n]).numpy(), z @ u, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fitted.squared_norms.numpy(), (u**2).sum(0), rtol=1e-7)
    errors = []
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        # the penalty nλ stays that of all n items, as in the closed form
        left = z[rest].T @ z[rest] + n * lam * np.eye(z.shape[1])
        errors.append(((y[i] - z[i] @ np.linalg.solve(left, z[rest].T @ y[rest])) ** 2).sum())
    assert fitted.leave_one_out == pytest.approx(np.mean(errors), rel=1e-6)


@pytest.mark.parametrize("name", ["one_hidden_bias", "conv_pool"])
def test_landmarks_equal_ridge_in_their_span(name: str) -> None:
    z, y = features(name)
    kernel, n, marks, lam = torch.from_numpy(z @ z.T), 20, 6, 0.02
    fitted = ridge(kernel[:marks, :marks], torch.from_numpy(y[:n]), kernel[:n, :marks], penalty=lam)
    basis = np.linalg.qr(z[:marks].T)[0][:, : np.linalg.matrix_rank(z[:marks])]
    phi = z[:n] @ basis
    theta = np.linalg.solve(phi.T @ phi + n * lam * np.eye(phi.shape[1]), phi.T @ y[:n])
    u = basis @ theta
    np.testing.assert_allclose(fitted.outputs(kernel[:, :marks]).numpy(), z @ u, atol=1e-7)
    np.testing.assert_allclose(fitted.squared_norms.numpy(), (u**2).sum(0), rtol=1e-6)
    leverage = np.diag(phi @ np.linalg.solve(phi.T @ phi + n * lam * np.eye(phi.shape[1]), phi.T))
    expected = (((y[:n] - phi @ theta) / (1 - leverage)[:, None]) ** 2).sum(1).mean()
    assert fitted.leave_one_out == pytest.approx(expected, rel=1e-6)


def test_all_items_as_landmarks_are_the_exact_solution() -> None:
    z, y = features("two_hidden_leaky")
    kernel, targets = torch.from_numpy(z @ z.T)[:20, :20], torch.from_numpy(y[:20])
    exact = ridge(kernel, targets, penalty=0.1)
    spanned = ridge(kernel, targets, kernel, penalty=0.1)
    np.testing.assert_allclose(spanned.outputs(kernel), exact.outputs(kernel), atol=1e-8)
    np.testing.assert_allclose(spanned.squared_norms, exact.squared_norms, rtol=1e-6)


def test_leave_one_out_chooses_the_best_of_its_grid() -> None:
    z, y = features("one_hidden_bias")
    kernel, targets = torch.from_numpy(z @ z.T)[:20, :20], torch.from_numpy(y[:20])
    chosen = ridge(kernel, targets)
    mean = float(kernel.diagonal().mean())
    errors = [ridge(kernel, targets, penalty=s * mean).leave_one_out for s in LOO_GRID]
    assert chosen.leave_one_out == pytest.approx(min(errors), rel=1e-9)
    assert chosen.penalty == pytest.approx(LOO_GRID[int(np.argmin(errors))] * mean)


def test_refusals() -> None:
    kernel = torch.eye(3, dtype=torch.float64)
    with pytest.raises(InputError, match="a square kernel"):
        ridge(kernel[:2], torch.ones((2, 1), dtype=torch.float64))
    with pytest.raises(InputError, match="2 targets"):
        ridge(kernel, torch.ones((2, 1), dtype=torch.float64))
    with pytest.raises(InputError, match="--ridge"):
        ridge(kernel, torch.ones((3, 1), dtype=torch.float64), penalty=0.0)
    with pytest.raises(InputError, match="a kernel of zeros"):
        ridge(kernel * 0, torch.ones((3, 1), dtype=torch.float64))
