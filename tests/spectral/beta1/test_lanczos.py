"""Lanczos on indefinite operators and singular kernels, and memory that is planned."""

import math

import numpy as np
import pytest
import torch

from gencheck.audit.memory_plan import memory_plan
from gencheck.audit.options import AuditOptions
from gencheck.errors import InputError, SolverError
from gencheck.memory import parse_bytes, shown_bytes
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.spectral.kernel.tiles import Tile, upper_tiles
from tests.cases import random_case


def gram_of(features: np.ndarray, tile: int = 7) -> Gram:
    kernel = torch.from_numpy(features @ features.T)
    tiles = upper_tiles(len(features), tile)
    return Gram(tiles, [kernel[t.rows, t.columns].clone() for t in tiles], len(features), 0)


@pytest.mark.parametrize("rank", [1, 3, 40])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_top_of_an_indefinite_operator(rank: int, sign: float) -> None:
    generator = np.random.default_rng(rank)
    features = generator.normal(size=(30, rank))
    weights = sign * np.r_[np.full(20, -1 / 20), np.full(10, 1 / 10)]
    top = top_eigenvalue(gram_of(features), torch.from_numpy(weights))
    operator = features.T @ (weights[:, None] * features)
    expected = np.linalg.eigvalsh(operator)[-1]
    if rank == 40:
        # more paths than items: outside their span the operator is zero
        expected = max(np.linalg.eigvalsh(operator)[-1], 0)
    assert top.value == pytest.approx(expected, rel=1e-9)
    assert top.residual <= 1e-7 * abs(expected) + 1e-12
    u = features.T @ top.vector.numpy()
    assert np.linalg.norm(u) == pytest.approx(1, rel=1e-9)
    np.testing.assert_allclose(operator @ u, top.value * u, atol=1e-6 * np.abs(operator).max())


def test_repeated_items_make_a_singular_kernel() -> None:
    features = np.repeat(np.random.default_rng(0).normal(size=(6, 50)), 5, axis=0)
    weights = np.r_[np.full(15, -1 / 15), np.full(15, 1 / 15)]
    top = top_eigenvalue(gram_of(features), torch.from_numpy(weights))
    expected = np.linalg.eigvalsh(features.T @ (weights[:, None] * features))[-1]
    assert top.value == pytest.approx(expected, rel=1e-9)


def test_too_few_iterations_are_an_error_and_not_a_smaller_number() -> None:
    features = np.random.default_rng(0).normal(size=(60, 60))
    weights = torch.from_numpy(np.r_[np.full(30, -1 / 30), np.full(30, 1 / 30)])
    with pytest.raises(SolverError, match="stopped after 3 products with residual"):
        top_eigenvalue(gram_of(features), weights, max_iterations=3)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (7, 3), (20, 8), (20, 100), (33, 16)])
def test_tiles_cover_every_pair_once(count: int, size: int) -> None:
    seen = np.zeros((count, count), int)
    tiles = upper_tiles(count, size)
    for tile in tiles:
        seen[tile.rows, tile.columns] += 1
    upper = np.triu(np.ones((count, count), bool))
    assert (seen[upper] == 1).all()
    assert all(max(tile.shape) <= size for tile in tiles)
    assert sum(rows * columns for rows, columns in (t.shape for t in tiles)) == seen.sum()
    assert Tile(slice(0, 3), slice(0, 3)).on_diagonal


def test_products_with_tiles_are_products_with_the_matrix() -> None:
    gram = gram_of(np.random.default_rng(0).normal(size=(23, 4)), tile=6)
    right = torch.randn(23, 3, dtype=torch.float64)
    torch.testing.assert_close(gram.matmul(right), gram.dense() @ right)
    torch.testing.assert_close(gram.diagonal(), gram.dense().diagonal())


def test_amounts_of_memory() -> None:
    assert parse_bytes("4GiB") == 4 * 2**30
    assert parse_bytes("500MB") == 500 * 10**6
    assert parse_bytes("1e9") == 10**9
    assert parse_bytes("1.5 kib") == 1536
    assert shown_bytes(1.5 * 2**30) == "1.5 GiB"
    for text in ("", "4 apples", "-1GB", "0", "1..2GB", "1e99"):
        with pytest.raises(InputError, match="--memory"):
            parse_bytes(text)


def test_the_plan_grows_as_the_square() -> None:
    network = random_case("skip").subject.network
    options = AuditOptions()
    kernel = PathKernel.of(network, options=options.kernel)
    sizes = [memory_plan(kernel, n, options).gram for n in (10**4, 10**5)]
    assert math.log10(sizes[1] / sizes[0]) == pytest.approx(2, abs=0.05)
