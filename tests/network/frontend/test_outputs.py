"""Which output is audited, and what is taken off behind the last dense layer."""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.model import AuditedModel, load_model, model_of_module
from gencheck.errors import InputError, UnsupportedModel

ITEMS = torch.linspace(-1, 1, 20).reshape(5, 4)


class Ending(nn.Module):
    """Two dense layers and whatever `end` makes of the logits."""

    def __init__(self, end: Callable[[Tensor], Any], outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, outputs)
        self.end = end

    def logits(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.first(x)))
        return out

    def forward(self, x: Tensor) -> Any:
        return self.end(self.logits(x))


def both(module: nn.Module, folder: Path, **how: str) -> list[AuditedModel]:
    """The model as it lives, and as a file has it."""
    torch.export.save(torch.export.export(module, (ITEMS,)), folder / "m.pt2")
    return [
        model_of_module(module, [(4,)], **how),
        load_model(folder / "m.pt2", None, [], **how),
    ]


TAKEN: dict[str, tuple[Callable[[Tensor], Any], int, str]] = {
    "softmax": (lambda h: h.softmax(-1), 3, "softmax"),
    "log_softmax": (lambda h: nn.functional.log_softmax(h, dim=1), 3, "log_softmax"),
    "sigmoid": (torch.sigmoid, 3, "sigmoid"),
    "in_place": (lambda h: h.sigmoid_(), 3, "sigmoid"),
    "argmax": (lambda h: h.argmax(1), 3, "argmax"),
    "class_of_probabilities": (lambda h: h.softmax(1).argmax(-1), 3, "softmax.*argmax"),
    "squeeze": (lambda h: h.squeeze(-1), 1, "squeeze"),
    "flat": (lambda h: h.view(-1), 1, "view|reshape"),
    "probability": (lambda h: h.squeeze(1).sigmoid().double(), 1, "squeeze.*sigmoid"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_logits_are_audited(name: str, tmp_path: Path) -> None:
    end, outputs, said = TAKEN[name]
    module = Ending(end, outputs)
    for subject in both(module, tmp_path):
        torch.testing.assert_close(subject.own_output(ITEMS), module.logits(ITEMS).detach())
        assert subject.network.output_count == outputs
        (note,) = subject.notes
        assert re.search(rf"taken off behind the last dense layer: .*({said})", note)


@pytest.mark.parametrize(
    "end", [lambda h: h.softmax(0), lambda h: h.exp(), lambda h: 1 - h.sigmoid()]
)
def test_what_is_no_such_step_stays_and_is_refused(
    end: Callable[[Tensor], Any], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModel):
        model_of_module(Ending(end), [(4,)])


def test_a_sigmoid_on_the_way_stays() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    with pytest.raises(UnsupportedModel, match="sigmoid"):
        model_of_module(module, [(4,)])


@dataclass
class Result:
    logits: Tensor
    hidden: Tensor


torch.export.register_dataclass(Result, serialized_type_name="gencheck.tests.Result")

SEVERAL: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "dict": (lambda h: {"logits": h, "more": h.exp()}, "logits, more", "logits"),
    "ordered": (lambda h: OrderedDict(b=h.exp(), a=h), "b, a", "a"),
    "two": (lambda h: (h.exp(), h), "0, 1", "1"),
    "nested": (lambda h: {"all": [h.exp(), h]}, r"all\.0, all\.1", "all.1"),
    "with_none": (lambda h: (None, h.exp(), h), "1, 2", "2"),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_the_output_is_named(name: str, tmp_path: Path) -> None:
    end, offered, right = SEVERAL[name]
    module = Ending(end)
    torch.export.save(torch.export.export(module, (ITEMS,)), tmp_path / "m.pt2")
    for load in (
        lambda **how: model_of_module(module, [(4,)], **how),
        lambda **how: load_model(tmp_path / "m.pt2", None, [], **how),
    ):
        with pytest.raises(InputError, match=f"with 2 outputs: {offered}.*--output-name"):
            load()
        with pytest.raises(InputError, match=f"--output-name absent.*one of {offered}"):
            load(output="absent")
        subject = load(output=right)
        torch.testing.assert_close(subject.own_output(ITEMS), module.logits(ITEMS).detach())


@pytest.mark.parametrize("end", [lambda h: {"logits": h}, lambda h: [h], lambda h: (h, None)])
def test_a_container_of_one_needs_no_name(end: Callable[[Tensor], Any], tmp_path: Path) -> None:
    module = Ending(end)
    for subject in both(module, tmp_path):
        torch.testing.assert_close(subject.own_output(ITEMS), module.logits(ITEMS).detach())


def test_an_output_object() -> None:
    module = Ending(lambda h: Result(h, h.exp()))
    with pytest.raises(InputError, match="with 2 outputs: logits, hidden"):
        model_of_module(module, [(4,)])
    subject = model_of_module(module, [(4,)], output="logits")
    torch.testing.assert_close(subject.own_output(ITEMS), module.logits(ITEMS).detach())


def test_a_forward_without_a_tensor() -> None:
    with pytest.raises(InputError, match="returns no tensor"):
        model_of_module(Ending(lambda h: [None][: len(h)]), [(4,)])
