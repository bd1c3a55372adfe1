"""Both executors give the kernel that enumeration gives, and agree where it is too long."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.errors import InputError, MissingDependency
from gencheck.network.terms import kernel_program
from gencheck.spectral.kernel import narrow, path_kernel
from gencheck.spectral.kernel.bits.plan import suits_bits
from gencheck.spectral.kernel.collapse import layout_of
from gencheck.spectral.kernel.cuts import bit_cuts, matrix_cuts
from gencheck.spectral.kernel.executors import compiled_loops_are_there
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.path_kernel import PathKernel
from tests.architectures import initialised, vit_tiny
from tests.cases import random_case
from tests.computed_networks import COMPUTED, build_computed
from tests.networks import ZOO

pytest.importorskip("numba")

SPATIAL = ["conv_pool", "residual", "depthwise_pointwise", "dense_block", "conv1d_dilated"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", ZOO)
def test_counted_bits_equal_enumeration(name: str, dtype: torch.dtype) -> None:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items]).to(dtype)
    program = kernel_program(case.subject.network, patches=False)
    factors, _ = forward(case.subject.network, items, 5)
    kernel = gram_matrix(program, factors, 7, executor="bits").dense().double().numpy()
    expected = case.truth().kernel
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose(kernel, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", ["conv_pool", "residual", "depthwise_pointwise", "dense_block"])
def test_every_figure_is_the_same_with_either_executor(name: str) -> None:
    case = random_case(name)
    results = [
        audit(
            case.subject,
            case.sample,
            case.reference,
            "classification",
            AuditOptions(dtype=torch.float64, tile=6, executor=executor),
        )
        for executor in ("matrix", "bits")
    ]
    assert [result.kernel.executor for result in results] == ["matrix", "bits"]
    for figure in ("beta1", "v_l2"):
        left, right = (getattr(result, figure) for result in results)
        numbers = [
            [float(v.value)] if figure == "beta1" else list(map(float, v)) for v in (left, right)
        ]
        np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-9)
    assert results[0].beta2 == results[1].beta2


def convolutional(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A random network of two convolutions with a pool between, and its item shape."""
    channels, groups = draw(st.sampled_from([(2, 1), (4, 2), (6, 3), (4, 4)]))
    kernel, stride = draw(st.sampled_from([1, 2, 3, 5])), draw(st.integers(1, 3))
    padding, dilation = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    side = draw(st.integers(9, 13))
    pool = draw(
        st.sampled_from(
            [
                nn.MaxPool2d(2),
                nn.MaxPool2d(3),
                nn.MaxPool2d(3, 2, 1),
                nn.MaxPool2d(2, 1, ceil_mode=True),
                nn.AvgPool2d(2),
                nn.Identity(),
            ]
        )
    )
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers: list[nn.Module] = [
        nn.Conv2d(2, channels, draw(st.sampled_from([3, 5])), padding=draw(st.integers(0, 2))),
        nn.ReLU6() if draw(st.booleans()) else nn.ReLU(),
        pool,
        nn.Conv2d(channels, 2 * channels, kernel, stride, padding, dilation, groups),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(70),
        nn.ReLU(),
        nn.Linear(70, 2),
    ]
    return nn.Sequential(*layers).double(), (2, side, side + draw(st.integers(-2, 2)))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_executors_agree_on_random_networks(data: st.DataObject) -> None:
    module, shape = convolutional(data.draw)
    try:
        with torch.no_grad():
            module(torch.zeros((2, *shape), dtype=torch.float64))
    except RuntimeError:
        # a window that does not fit
        return
    subject = model_of_module(module.eval(), [shape])
    items = torch.randn((11, *shape), dtype=torch.float64)
    kernels = []
    for executor in ("matrix", "bits"):
        program = kernel_program(subject.network, patches=executor == "matrix")
        factors, _ = forward(subject.network, items, 4)
        gram = gram_matrix(program, factors, 5, executor=executor)
        kernels.append(gram.dense() * 2.0**gram.exponent)
    torch.testing.assert_close(kernels[0], kernels[1], rtol=1e-11, atol=0)


def test_bits_are_counted_where_that_is_quicker() -> None:
    network = random_case("conv_pool").subject.network
    program = kernel_program(network, patches=False)
    assert suits_bits(program, network)
    kernel = PathKernel.of(network)
    assert kernel.executor(50) == "matrix"
    assert kernel.executor(10**6) == "bits"
    assert kernel.executor(10**6, "cuda:0") == "matrix"
    for name in ("four_hidden", "two_hidden_leaky", "silu", "tanh"):
        dense = random_case(name).subject.network
        assert not suits_bits(kernel_program(dense, patches=False), dense)


def test_without_numba_matrices_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    network = random_case("conv_pool").subject.network
    assert not compiled_loops_are_there()
    assert PathKernel.of(network).executor(10**6) == "matrix"


def test_bits_asked_for_in_vain_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case("silu")
    options = AuditOptions(executor="bits")
    with pytest.raises(InputError, match="--executor: found bits, for dense, silu on cpu"):
        audit(case.subject, case.sample, case.reference, "classification", options)
    monkeypatch.setattr(path_kernel, "compiled_loops_are_there", lambda: False)
    case = random_case("conv_pool")
    with pytest.raises(MissingDependency, match=r'needs numba.*"gencheck\[fast\]"'):
        audit(case.subject, case.sample, case.reference, "classification", options)


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("factor_bytes", [1, 10**4, 10**6, 2**30])
def test_how_items_are_cut_changes_nothing(name: str, factor_bytes: int) -> None:
    case = random_case(name)
    few = torch.cat([case.sample.items, case.reference.items])
    items = torch.cat([few, 0.5 * few, few - 0.3])[:50]
    program = kernel_program(case.subject.network)
    factors, _ = forward(case.subject.network, items, 64)
    whole = gram_matrix(program, factors, 64).dense()
    cut = gram_matrix(program, factors, 24, factor_bytes, kept_bytes=1).dense()
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=0)
    for cuts in (matrix_cuts, bit_cuts):
        made = cuts(program, torch.float64, 24, factor_bytes)
        assert 1 <= made.step <= made.strip <= 24
        assert made.keeping(0).kept == 4


@pytest.mark.parametrize("threads", [1, 2])
def test_counting_bits_leaves_torch_its_threads(threads: int) -> None:
    """Both share one OpenMP runtime; a torch told to use one thread must not find itself with more."""
    pytest.importorskip("numba")
    case = random_case("conv_pool")
    factors, _ = forward(case.subject.network, case.sample.items.float(), 8)
    program = kernel_program(case.subject.network, patches=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        gram_matrix(program, factors, 8, executor="bits")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("place", ["writable", "a file", "nowhere"])
def test_compiled_loops_are_kept_in_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    import numba
    from numba.core import caching

    from gencheck.spectral.kernel.bits import vector_loops

    (tmp_path / "file").touch()
    caches = tmp_path if place == "writable" else tmp_path / "file"
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    if place == "nowhere":
        monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    before = numba.config.CACHE_DIR

    def double(number):  # type: ignore[no-untyped-def]
        return 2 * number

    # as one of the module's own, which lies in a folder
    made = vector_loops.compiled(double)
    assert made(4) == 8
    assert before == numba.config.CACHE_DIR
    kept = list((tmp_path / "gencheck" / "numba").rglob("*.nbi"))
    assert len(kept) == (place == "writable")


@pytest.mark.slow  # the loops are compiled, unless they are in the cache on disk
@pytest.mark.parametrize("name", ["pre_norm_vision", "swin_windows", "attention_causal"])
def test_compiled_sums_of_few_factors_equal_matrix_products(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    shape = COMPUTED[name][1]
    network = model_of_module(build_computed(name), [shape]).network
    program = kernel_program(network)
    assert narrow.narrow_batches(program)
    # steps that are no multiples of the loops' rows and columns
    factors, _ = forward(network, torch.randn(37, *shape).double(), 16)
    found = {}
    for paying in (0.0, 1e30):
        monkeypatch.setattr(narrow, "_PAYING_FLOPS", paying)
        found[paying] = gram_matrix(program, factors, 30).dense().double().numpy()
    np.testing.assert_allclose(found[0.0], found[1e30], atol=1e-13 * np.abs(found[1e30]).max())


def test_convolutions_are_left_to_matrix_products() -> None:
    """Their blocks are one a cell: loops have no sum to keep from memory, and are slower."""
    program = kernel_program(model_of_module(initialised("lenet5"), [(3, 32, 32)]).network)
    pooled = [b for m, b, batch in program.batches() if program.maps[m].label == "3"]
    assert len(pooled) == 4
    assert not {program.maps[m].label for m, _ in narrow.narrow_batches(program)} & {"0", "3"}


def test_every_map_of_a_transformer_is_read_as_views() -> None:
    """Tokens keep one order through the residual stream, so that nothing is gathered by index."""
    program = kernel_program(model_of_module(vit_tiny().eval(), [(3, 32, 32)]).network)
    layouts = [layout_of(batch, program.maps[m].cells) for m, _, batch in program.batches()]
    assert len(layouts) > 50
    assert all(layout.grid is not None for layout in layouts)


@pytest.mark.parametrize("tile", [1024, 1000, 300, 7])
def test_steps_divide_tiles(tile: int) -> None:
    program = kernel_program(model_of_module(vit_tiny().eval(), [(3, 32, 32)]).network)
    step = matrix_cuts(program, torch.float32, tile, 2**30).step
    assert tile % step == 0
    assert step**2 * program.live_cells * 4 <= 1.5 * 2**24
