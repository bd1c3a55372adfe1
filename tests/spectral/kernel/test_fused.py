"""Maps of one cell in one pass: the kernel that enumeration gives, and the same bits by every way."""

import numpy as np
import pytest
import torch

from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel import calibrate, executors
from gencheck.spectral.kernel.executors import MatrixExecutor
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.fused import is_one_cell_wide
from tests.cases import random_case
from tests.networks import ZOO
from tests.spectral.kernel.test_overlaps import WAYS, dense

pytest.importorskip("numba")

# whose items are vectors, or become one at once
ONE_CELL = [
    name for name, (_, shape) in ZOO.items() if len(shape) == 1 or name == "in_place_flatten"
]


@pytest.fixture(autouse=True)
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all work were long, on a processor with units for 8-bit integers."""
    monkeypatch.setattr(executors, "_PAYING_FLOPS", 0)
    monkeypatch.setattr(calibrate, "has_int8_units", lambda _: True)


@pytest.mark.parametrize("name", ZOO)
def test_dense_networks_have_such_maps(name: str) -> None:
    assert is_one_cell_wide(kernel_program(random_case(name).subject.network)) == (name in ONE_CELL)


@pytest.mark.parametrize("way", [*WAYS, "auto"])
@pytest.mark.parametrize("name", ONE_CELL)
def test_one_pass_equals_enumeration(name: str, way: str) -> None:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items]).float()
    program = kernel_program(case.subject.network)
    factors, _ = forward(case.subject.network, items, 5)
    gram = gram_matrix(program, factors, 7, overlaps=way)
    kernel = gram.dense().double().numpy() * 2.0**gram.exponent
    expected = case.truth().kernel
    np.testing.assert_allclose(kernel, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["pixels", "whole", "real"])
def test_every_way_and_every_cut_gives_the_same_bits(kind: str) -> None:
    # more columns than are in a cache at one time, and no whole number of anything
    case = dense(kind, count=541)
    assert "fused" in MatrixExecutor(*case, 300, 2**30).settings
    formed = {way: gram_matrix(*case, 300, overlaps=way).dense() for way in (*WAYS, "auto")}
    for other in formed.values():
        assert torch.equal(other, formed["float32"])
    if kind != "real":
        assert torch.equal(gram_matrix(*case, 64, overlaps="bits").dense(), formed["float32"])


def test_it_agrees_with_one_map_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    case = dense("pixels", count=90)
    fused = gram_matrix(*case, 40).dense()
    monkeypatch.setattr(executors, "_PAYING_FLOPS", 1e20)
    assert "fused" not in MatrixExecutor(*case, 40, 2**30).settings
    torch.testing.assert_close(gram_matrix(*case, 40).dense(), fused, rtol=5e-7, atol=0)


@pytest.mark.parametrize("harm", ["float64", "passing", "no numba"])
def test_where_it_cannot_be_one_pass_it_is_not(monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    program, factors = dense("real")
    if harm == "float64":
        factors = type(factors)(factors.items.double(), factors.planes)
    if harm == "no numba":
        monkeypatch.setattr(executors, "compiled_loops_are_there", lambda: False)
    work = MatrixExecutor(program, factors, 16, 1 if harm == "passing" else 2**30)
    assert "fused" not in work.settings
