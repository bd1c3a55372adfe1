"""A traced model has no calls in place, and computes what the module computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from gencheck.network.frontend.aten import run
from gencheck.network.frontend.trace import trace

ITEMS = torch.linspace(-1, 1, 28).reshape(7, 4).double()


class Forward(nn.Module):
    """A function of the input and of one dense layer."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.layer = nn.Linear(4, 4)
        self.register_buffer("kept", torch.linspace(1, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


def assert_equal(module: nn.Module, any_batch: bool = False) -> None:
    module = module.double()
    graph = trace(module, (4,), any_batch=any_batch)
    for call in graph.calls:
        library, name, overload = call.target.split(".")
        assert (library, name[-1] == "_", overload == "out") == ("aten", False, False), call
    with torch.no_grad():
        truth = module(ITEMS.clone())
        found = run(graph, ITEMS, lambda _: True)
    # a run keeps to one precision, whatever the module converts to
    torch.testing.assert_close(found, truth, rtol=1e-6, atol=1e-6)


def _read_before_and_after(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    before = hidden + 1
    relu(hidden, inplace=True)
    return before + layer(hidden)


def _written_twice(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    hidden += x
    other = hidden
    other *= 2
    hidden.relu_()
    return layer(other) + hidden


def _through_dropout(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    same = dropout(hidden, training=False)
    relu(same, inplace=True)
    return layer(hidden)


def _dropped_in_place(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.relu_(layer(x))
    return layer(dropout(hidden, training=False, inplace=True)) + hidden


def _viewed_afterwards(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x).relu_()
    flat = hidden.view(-1, 2, 2)
    return layer(flat.flatten(1)) + hidden


def _view_written(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    hidden[:, 1:3] += 1
    return layer(hidden)


def _written_under_a_view(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    flat = hidden.view(-1, 2, 2)
    hidden.relu_()
    return layer(flat.flatten(1))


def _input_written(layer: nn.Module, x: Tensor) -> Tensor:
    y = x * 1
    y.relu_()
    return layer(y) + x


def _single_precision(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    low = (hidden * 2).float() * 1
    low += hidden
    return layer(low.double())


def _added_to_itself(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    hidden += hidden
    hidden.add_(hidden, alpha=0.5)
    return layer(hidden)


def _written_out(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    other = hidden * 1
    before = other + 0
    torch.mul(hidden, 2.0, out=other)
    return layer(other) + before


def _with_gradients(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.enable_grad():
        hidden = torch.relu(layer(x)) * 2
    return layer(hidden)


def _in_full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = layer(x)
    with torch.autocast("cpu", enabled=False):
        hidden = torch.relu(hidden)
    return layer(hidden)


# By name; and whether the calls themselves say how to do without writes.
CASES: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], bool]] = {
    "read before and after": (_read_before_and_after, True),
    "written twice": (_written_twice, True),
    "through dropout": (_through_dropout, True),
    "dropped in place": (_dropped_in_place, True),
    "viewed afterwards": (_viewed_afterwards, True),
    "view written": (_view_written, False),
    "written under a view": (_written_under_a_view, False),
    "input written": (_input_written, True),
    "another dtype": (_single_precision, False),
    "added to itself": (_added_to_itself, True),
    "written out": (_written_out, False),
    "with gradients": (_with_gradients, False),
    "in full precision": (_in_full_precision, False),
}


@pytest.mark.parametrize("any_batch", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_computes_what_the_module_computes(
    name: str, any_batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, short = CASES[name]
    again = []
    rewritten = torch.export.ExportedProgram.run_decompositions

    def counted(program: Any, *args: Any) -> Any:
        again.append(program)
        return rewritten(program, *args)

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", counted)
    assert_equal(Forward(function), any_batch)
    assert bool(again) is not short


def _steps(words: list[tuple[str, int, int]]) -> Callable[[nn.Module, Tensor], Tensor]:
    """Values in order, each made of one or two of those before, in place or not."""

    def forward(layer: nn.Module, x: Tensor) -> Tensor:
        values = [layer(x)]
        for word, first, second in words:
            one, two = values[first % len(values)], values[second % len(values)]
            values.append(_STEPS[word](layer, one, two))
        return layer(sum(values[1:], values[0]))

    return forward


_STEPS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "relu": lambda _, a, __: a.relu(),
    "relu_": lambda _, a, __: a.relu_(),
    "add": lambda _, a, b: a + b,
    "add_": lambda _, a, b: a.add_(b),
    "mul_": lambda _, a, __: a.mul_(0.5),
    "clamp_": lambda _, a, __: a.clamp_(-0.5, 0.5),
    "layer": lambda layer, a, _: layer(a),
    "view": lambda _, a, __: a.view(-1, 2, 2).view(-1, 4),
}


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(_STEPS)), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=6,
    )
)
def test_any_steps_in_place_or_not(words: list[tuple[str, int, int]]) -> None:
    assert_equal(Forward(_steps(words)))
