"""Shapes told without torch's own functions for them are those that the operators have."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gencheck.network.frontend.aten import operator_of
from gencheck.network.frontend.extents import _shapes_of

ONES: dict[str, tuple[Any, ...]] = {
    "1d": (torch.ones(2, 4, 13), torch.ones(6, 4, 3)),
    "2d": (torch.ones(2, 4, 13, 10), torch.ones(6, 4, 3, 2)),
    "3d": (torch.ones(2, 4, 7, 6, 5), torch.ones(6, 4, 3, 2, 3)),
    "grouped": (torch.ones(2, 4, 13, 10), torch.ones(6, 2, 3, 2)),
}
CALLS = [
    *[(f"aten.conv{rank}.default", ONES[rank]) for rank in ("1d", "2d", "3d")],
    ("aten.conv2d.default", (*ONES["2d"], None, [2, 3], [1, 0], [2, 1])),
    ("aten.conv2d.default", (*ONES["2d"], torch.ones(6), [2], [1])),
    ("aten.conv2d.default", (*ONES["grouped"], None, [1, 1], [0, 0], [1, 1], 2)),
    ("aten.conv2d.padding", (*ONES["2d"], None, [1, 1], "same", [2, 1])),
    ("aten.conv1d.padding", (*ONES["1d"], None, [2], "valid")),
    ("aten.max_pool2d.default", (ONES["2d"][0], [3])),
    ("aten.max_pool2d.default", (ONES["2d"][0], [3, 2], [2, 2], [1, 1], [2, 1])),
    ("aten.max_pool2d.default", (ONES["2d"][0], [3, 3], [2, 2], [0, 0], [1, 1], True)),
    ("aten.avg_pool2d.default", (ONES["2d"][0], [2, 3], [], [1, 1])),
    ("aten.avg_pool2d.default", (ONES["2d"][0], [2, 2], [2, 2], [0, 0], True, False)),
    ("aten.adaptive_avg_pool2d.default", (ONES["2d"][0], [2, 3])),
    ("aten.linear.default", (torch.ones(2, 5, 3), torch.ones(4, 3), torch.ones(4))),
    ("aten.add.Tensor", (torch.ones(2, 1, 3), torch.ones(4, 1))),
    ("aten.mul.Tensor", (torch.ones(2, 1, 3), 2.0)),
    ("aten.cat.default", ([torch.ones(2, 1, 3), torch.ones(2, 4, 3)], 1)),
    ("aten.relu.default", (torch.ones(2, 3),)),
]


def without_entries(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return [each.to("meta") for each in value]
    return value.to("meta") if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(("target", "arguments"), CALLS, ids=lambda value: str(value)[:24])
def test_shapes_are_those_of_the_operators(target: str, arguments: tuple[Any, ...]) -> None:
    expected = operator_of(target)(*arguments)
    made = _shapes_of(target)(*map(without_entries, arguments))
    assert made.shape == expected.shape
    assert made.dtype == expected.dtype
    assert made.is_meta


def test_a_convolutional_network_is_read_without_symbols(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    module.append(nn.Linear(8, 2))
    torch.export.save(torch.export.export(module, (torch.zeros(2, 1, 4, 4),)), tmp_path / "m.pt2")
    code = (
        "import sys, pathlib\n"
        "from gencheck.audit.model import load_model\n"
        "load_model(pathlib.Path('m.pt2'), None, [(1, 4, 4)])\n"
        "print([name for name in ('sympy', 'scipy.stats', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
