"""Ways to form overlaps of whole numbers: the same bits, and the quickest taken where it pays."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.network.program import Program
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel import calibrate, executors
from gencheck.spectral.kernel.calibrate import Calibration
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.overlaps import (
    Levels,
    has_int8_products,
    has_int8_units,
    levels_of,
)

WAYS = ["float32", "int8", "bits"]
PAIRS = [(a, b) for at, a in enumerate(WAYS) for b in WAYS[at + 1 :]]


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with units for 8-bit integers, whatever this one has."""
    monkeypatch.setattr(calibrate, "has_int8_units", lambda _: True)


def inputs(kind: str, count: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(256, (count, width), generator=generator)
    if kind == "pixels":
        return levels.float() / 255
    if kind == "whole":
        return (levels - 128).float()
    return torch.randn((count, width), generator=generator)


def dense(kind: str, width: int = 40, hidden: int = 70, count: int = 37) -> tuple[Program, Factors]:
    """A network whose widths are no multiple of a word, and its items."""
    torch.manual_seed(0)
    layers = (nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    network = lower(trace(nn.Sequential(*layers, nn.Linear(hidden, 3)), (width,)))
    factors, _ = forward(network, inputs(kind, count, width), 64)
    return kernel_program(network), factors


def formed(case: tuple[Program, Factors], way: str, **options: Any) -> Gram:
    return gram_matrix(*case, 16, overlaps=way, **options)


@pytest.mark.parametrize("kind", ["pixels", "whole", "real"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_any_two_ways_give_the_same_bits(kind: str, one: str, other: str) -> None:
    case = dense(kind)
    left, right = formed(case, one), formed(case, other)
    assert torch.equal(left.dense(), right.dense())
    for gram, way in ((left, one), (right, other)):
        # the gates have all ways; coordinates none that counts bits, and real ones no choice
        assert [choice.way for choice in gram.overlaps][-2:] == [way, way]
    wide = Factors(case[1].items.double(), case[1].planes)
    truth = gram_matrix(case[0], wide, 16).dense() * 2.0 ** (-left.exponent)
    close = 2e-6 * float(truth.abs().max())
    torch.testing.assert_close(left.dense().double(), truth, rtol=0, atol=close)


def test_what_is_made_in_passing_has_the_same_bits() -> None:
    case = dense("pixels")
    whole = formed(case, "float32").dense()
    for way in WAYS:
        passing = formed(case, way, factor_bytes=1)
        assert torch.equal(passing.dense(), whole)


@pytest.mark.parametrize("way", ["float32", "int8"])
def test_more_coordinates_than_one_exact_sum_are_cut(way: str) -> None:
    case = dense("pixels", width=2500, hidden=3, count=20)
    program, factors = case
    calibration = Calibration(program, factors)
    calibration.choose(way)
    (key,) = (k for k, made in calibration.ways.items() if hasattr(made, "levels"))
    batch = next(b for m, b_, b in program.batches() if (m, b_) == key)
    made, out = calibration.ways[key], torch.empty((1, 20, 20))
    prepared = made.prepared(factors.reader(slice(0, 20)), batch)
    made.into(prepared, prepared, out)
    levels = (factors.items * 255).round().long()
    assert torch.equal(out[0], (levels @ levels.T).float() * torch.tensor(1 / 255**2))


def test_whole_inputs_of_a_convolution_give_the_same_bits_by_counted_bits() -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9, 2))
    network = lower(trace(nn.Sequential(*layers), (1, 5, 5)))
    items = torch.randint(-4, 5, (23, 1, 5, 5)).float()
    factors, _ = forward(network, items, 23)
    cells, windows = kernel_program(network, patches=False), kernel_program(network)
    counted = gram_matrix(cells, factors, 8, executor="bits")
    for way in WAYS:
        assert torch.equal(formed((windows, factors), way).dense(), counted.dense())


def test_the_quickest_is_taken_where_the_work_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    case = dense("pixels")
    assert formed(case, "auto").overlaps == ()
    monkeypatch.setattr(executors, "_PAYING_FLOPS", 0)
    monkeypatch.setattr(executors, "_TRYING_FLOPS", 0)
    tried = formed(case, "auto")
    assert torch.equal(tried.dense(), formed(case, "float32").dense())
    first, *gates = tried.overlaps
    assert set(first.seconds) <= {"float32", "int8"}
    assert len(gates) == 2
    for choice in tried.overlaps:
        assert choice.way == min(choice.seconds, key=lambda way: choice.seconds[way])
        assert choice.reason == "the quickest here"


def test_what_is_hopeless_is_tried_once_and_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([5.0, 5.0, 1.0, 1.0, 9.0, 9.0, *[0.3, 0.2] * 3] * 3)
    monkeypatch.setattr(calibrate, "_HOPELESS", 6.0)
    monkeypatch.setattr(calibrate, "_seconds", lambda *_: next(taken))
    choices = Calibration(*dense("real")).choose()
    assert choices[0].reason == "the only way for such factors"
    assert dict(choices[1].seconds) == {"float32": 0.3, "int8": 0.2}
    assert choices[1].way == "int8"


@pytest.mark.parametrize("state", ["gone", "refusing", "wrong"])
def test_without_sound_integer_products_floats_are_taken(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    assert has_int8_products("cpu")
    if state == "gone":
        monkeypatch.delattr(torch, "_int_mm")
    elif state == "refusing":
        monkeypatch.setattr(torch, "_int_mm", lambda *_: torch.ones(2) @ torch.ones(3))
    else:
        monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.int() @ b.int()).clamp(-99, 99))
    assert not has_int8_products("cpu")
    case = dense("pixels")
    assert formed(case, "int8").overlaps == ()
    assert torch.equal(formed(case, "int8").dense(), formed(case, "float32").dense())


def test_which_coordinates_are_whole() -> None:
    assert levels_of(inputs("pixels", 9, 30)) == Levels(255, 128)
    assert levels_of(inputs("whole", 9, 30)) == Levels(1, 0)
    assert levels_of(torch.tensor([[0.0, 1.0]])) == Levels(1, 0)
    for spoilt in (128.0, 0.5, -129.0, float("nan"), float("inf")):
        items = inputs("whole", 9, 30)
        items[4, 7] = spoilt
        assert levels_of(items) is None


def test_without_units_for_integers_coordinates_stay_floats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibrate, "has_int8_units", lambda _: False)
    calibration = Calibration(*dense("pixels"))
    assert calibration.ways == {}
    assert calibration.choose("int8") == ()


def test_units_are_asked_of_torch_under_names_it_may_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert has_int8_units("cuda")
    for vnni, amx in ((True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda vnni=vnni: vnni, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        assert has_int8_units("cpu")
    for name in ("_is_vnni_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert not has_int8_units("cpu")
