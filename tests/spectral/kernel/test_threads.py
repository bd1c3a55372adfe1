"""Steps on several threads: in their order, one error ends all, and the bits are those of one thread."""

import threading
from collections.abc import Iterator

import pytest
import torch

from gencheck.audit.model import model_of_module
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel import executors, narrow
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.threads import in_parts, one_thread, side_by_side
from tests.computed_networks import COMPUTED, build_computed
from tests.networks import ZOO


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_calls(threads: int) -> None:
    own = threading.get_ident()

    def call(number: int) -> tuple[int, int, bool]:
        return number, torch.get_num_threads(), threading.get_ident() == own

    found = [*side_by_side((lambda n=n: call(n)) for n in range(50))]
    assert found == [(n, 1, threads == 1) for n in range(50)]


def test_parts_make_up_the_whole_also_within_a_step(threads: int) -> None:
    seen = [0] * 37

    def count(first: int, stop: int) -> None:
        for place in range(first, stop):
            seen[place] += 1

    in_parts(37, count)
    in_parts(0, count)
    # on threads that compute alone there is nothing to share, nor anything to wait for
    assert [*side_by_side(lambda: in_parts(37, count) for _ in range(2))] == [None, None]
    assert set(seen) == {3} if threads == 1 else min(seen) >= 2


def test_an_error_ends_all(threads: int) -> None:
    begun = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        for _ in side_by_side((lambda n=n: call(n)) for n in range(1000)):
            pass
    assert len(begun) < 20


def test_one_thread_is_given_back(threads: int) -> None:
    with one_thread():
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("four_hidden", "matrix"),
        ("conv_pool", "matrix"),
        ("conv_pool", "bits"),
        ("swin_windows", "matrix"),
    ],
)
def test_the_bits_are_those_of_one_thread(
    monkeypatch: pytest.MonkeyPatch, threads: int, name: str, executor: str
) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(executors, "_PAYING_FLOPS", 0)
    monkeypatch.setattr(narrow, "_PAYING_FLOPS", 0)
    module, shape = ZOO[name] if name in ZOO else COMPUTED[name]
    torch.manual_seed(0)
    made = build_computed(name) if name in COMPUTED else module().double().eval()
    network = model_of_module(made, [shape]).network
    # in float32 bits are counted, in float64 loops add few factors
    dtype = torch.float64 if name in COMPUTED else torch.float32
    program = kernel_program(network, patches=executor == "matrix")
    with one_thread():
        factors, _ = forward(network, torch.randn(41, *shape, dtype=dtype), 64)
        alone = gram_matrix(program, factors, 12, executor=executor, overlaps="bits").dense()
    for _ in range(5):
        beside = gram_matrix(program, factors, 12, executor=executor, overlaps="bits").dense()
        assert torch.equal(beside, alone)
