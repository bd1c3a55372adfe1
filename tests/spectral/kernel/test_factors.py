"""Gates kept as bits, in memory or in mapped files; grids; windows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gencheck.audit.memory_plan import MemoryBudget, memory_plan, require_memory
from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.errors import InputError
from gencheck.network.windows import adaptive_sources, sliding
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.grid import common_grid
from gencheck.spectral.kernel.path_kernel import PathKernel
from tests.cases import random_case
from tests.networks import ZOO


@pytest.mark.parametrize("name", ["conv_pool", "residual", "silu", "steep_prelu", "conv1d_dilated"])
def test_gates_in_mapped_files_are_the_same(name: str, tmp_path: Path) -> None:
    case = random_case(name)
    items = torch.cat([case.sample.items, case.reference.items])
    inside, outputs = forward(case.subject.network, items, 5)
    mapped, same = forward(case.subject.network, items, 5, folder=tmp_path)
    assert torch.equal(outputs, same)
    assert len(list(tmp_path.iterdir())) == len(mapped.planes) > 0
    for key, plane in inside.planes.items():
        assert torch.equal(plane.stored, mapped.planes[key].stored)


@pytest.mark.parametrize("name", ZOO)
def test_two_valued_gates_take_one_bit(name: str) -> None:
    case = random_case(name)
    factors, _ = forward(case.subject.network, case.sample.items, 9)
    for plane in factors.planes.values():
        if plane.stored.dtype == torch.uint8:
            assert plane.stored.shape == (9, -(-plane.width // 8))


def test_gates_go_to_disk_where_memory_is_short_and_the_result_stays() -> None:
    case = random_case("conv_pool")
    network = case.subject.network
    options = AuditOptions(dtype=torch.float64, tile=6, batch_size=4)
    laid_out = PathKernel.of(network, options=replace(options.kernel, layout_bytes=2**26))
    plan = memory_plan(laid_out, 22, options)
    tight = plan.total - 1

    def allowed(memory: int) -> MemoryBudget:
        kernel = PathKernel.of(network, options=options.kernel)
        return require_memory(kernel, 22, replace(options, memory=memory))

    assert not allowed(plan.total * 2).gates_on_disk
    assert allowed(tight).gates_on_disk
    with pytest.raises(InputError, match=r"required: .* for 22 items"):
        allowed(plan.total - plan.gates - plan.gram)
    results = [
        audit(
            case.subject,
            case.sample,
            case.reference,
            "classification",
            AuditOptions(dtype=torch.float64, tile=6, batch_size=4, memory=memory),
        )
        for memory in (None, tight)
    ]
    assert float(results[0].beta1.value) == float(results[1].beta1.value)
    assert results[0].beta2 == results[1].beta2


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
    st.integers(0, 20),
)
def test_a_grid_views_what_its_index_chooses(
    sizes: list[int], strides: list[int], start: int
) -> None:
    axes = np.indices(sizes).reshape(len(sizes), -1)
    index = start + np.array(strides[: len(sizes)]) @ axes
    second = np.arange(len(index))
    grid = common_grid(index, second)
    values = torch.randn(3, int(index.max()) + 1, 2)
    if grid is not None:
        for number, chosen in enumerate((index, second)):
            wide = torch.randn(3, int(chosen.max()) + 1, 2)
            view = grid.view(number, wide, axis=1).reshape(3, -1, 2)
            assert torch.equal(view, wide[:, torch.from_numpy(chosen)])
    assert values.shape[0] == 3


@settings(max_examples=60)
@given(st.data())
def test_windows_read_what_torch_reads(data: st.DataObject) -> None:
    draw = data.draw
    extent = (draw(st.integers(3, 8)), draw(st.integers(3, 8)))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    ceil_mode = draw(st.booleans())
    windows = sliding(extent, kernel, stride, padding, (1, 1), ceil_mode)
    items = torch.randn(1, 1, *extent, dtype=torch.float64)
    expected = functional.max_pool2d(items, kernel, stride, padding, ceil_mode=ceil_mode)
    assert windows.out == tuple(expected.shape[2:])
    padded = np.append(items.numpy().ravel(), -np.inf)
    np.testing.assert_array_equal(padded[windows.sources].max(0), expected.numpy().ravel())
    sums = functional.conv2d(
        functional.pad(items, windows.pads),
        torch.ones(1, 1, *kernel, dtype=torch.float64),
        stride=stride,
    )
    zeros = np.append(items.numpy().ravel(), 0.0)
    np.testing.assert_allclose(zeros[windows.sources].sum(0), sums.numpy().ravel(), atol=1e-12)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_adaptive_bins_are_torchs(height: int, width: int, rows: int, columns: int) -> None:
    items = torch.randn(1, 1, height, width, dtype=torch.float64)
    expected = functional.adaptive_avg_pool2d(items, (rows, columns)).numpy().ravel()
    reads = adaptive_sources((height, width), (rows, columns))
    padded = np.append(items.numpy().ravel(), 0.0)
    means = padded[reads].sum(0) / (reads >= 0).sum(0)
    np.testing.assert_allclose(means, expected, atol=1e-12)
