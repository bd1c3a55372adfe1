"""Each warning comes where it should, names the items, and stays away where there is no reason."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor

from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled, Question
from gencheck.audit.summary import gap_facts
from gencheck.audit.warned import Warned
from gencheck.audit.warnings import pearson_p_value, warnings_of

SAMPLE, REFERENCE, CLASSES = 120, 100, 4


class Sets:
    """Two sets drawn alike, with outputs that are right: nothing to warn of until a test spoils them."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        count = SAMPLE + REFERENCE
        self.items = torch.randn(count, 6, generator=draw)
        self.labels = torch.arange(count) % CLASSES
        noise = torch.rand(count, CLASSES, generator=draw, dtype=torch.float64)
        self.outputs = torch.eye(CLASSES, dtype=torch.float64)[self.labels] + 0.2 * noise

    def question(self, **facts: Any) -> Question:
        targets = torch.eye(CLASSES, dtype=torch.float64)[self.labels]
        parts = [slice(0, SAMPLE), slice(SAMPLE, None)]
        # as a shuffled file would have them
        places = [range(1000, 1000 + SAMPLE), range(REFERENCE)]
        sample, reference = (
            Labelled(self.items[part], targets[part], indices=at)
            for part, at in zip(parts, places, strict=True)
        )
        model: Any = SimpleNamespace(whole_numbers=False)
        options = AuditOptions(top=facts.get("top", 10))
        return Question(model, sample, reference, facts.get("task", "classification"), options)

    def found(self, **facts: Any) -> dict[str, Warned]:
        return {each.name: each for each in warnings_of(self.question(**facts), self.outputs)}


def test_two_sets_drawn_alike_give_no_warning() -> None:
    assert Sets().found() == {}


def test_error_at_chance_on_both_sets() -> None:
    sets = Sets()
    draw = torch.Generator().manual_seed(1)
    sets.outputs = torch.rand(SAMPLE + REFERENCE, CLASSES, generator=draw, dtype=torch.float64)
    assert "error_at_chance" in sets.found()
    # right on the sample: the preprocessing is not to blame
    sets.outputs[:SAMPLE] = torch.eye(CLASSES, dtype=torch.float64)[sets.labels[:SAMPLE]]
    assert "error_at_chance" not in sets.found()


def test_who_always_names_the_most_frequent_class_is_at_chance() -> None:
    sets = Sets()
    sets.labels = torch.where(torch.arange(SAMPLE + REFERENCE) % 10 > 0, 1, 2)
    sets.outputs = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64).expand(220, 4)
    assert "(90.0%, 90.0%)" in sets.found()["error_at_chance"].message


def test_logits_of_a_network_that_is_right_are_told_from_fitted_outputs() -> None:
    sets = Sets()
    assert "squared_loss_of_logits" not in sets.found()
    sets.outputs = 20 * sets.outputs
    message = sets.found()["squared_loss_of_logits"].message
    assert "cross-entropy" in message
    assert "--softmax" in message


def test_the_loss_of_probabilities_stands_beside() -> None:
    sets = Sets()
    sets.outputs = 20 * sets.outputs
    question = sets.question()
    found = gap_facts(question.difference, sets.outputs, "classification", softmax=True)
    loss = (sets.outputs.softmax(1) - question.difference.targets).square().sum(1)
    assert found.softmax is not None
    assert found.softmax[0] == pytest.approx(float(loss[:SAMPLE].mean()))
    assert found.softmax[1] == pytest.approx(float(loss[SAMPLE:].mean()))
    assert gap_facts(question.difference, sets.outputs, "classification").softmax is None


def test_class_shares_that_differ_are_named() -> None:
    sets = Sets()
    sets.labels[:60] = 3
    message = sets.found()["class_shares_differ"].message
    assert message.startswith(
        "The classes' shares differ: class 3 is 62.5% of the sample and 25.0%"
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_test_of_class_counts_is_that_of_scipy(classes: int) -> None:
    draw = np.random.default_rng(classes)
    for _ in range(50):
        table = draw.integers(1, draw.choice([3, 30, 300]), (2, classes))
        assert pearson_p_value(table) == pytest.approx(chi2_contingency(table).pvalue, rel=1e-9)


def test_a_label_that_the_model_contradicts_with_confidence() -> None:
    sets = Sets()
    wrong = SAMPLE + 7
    sets.labels[wrong] = (sets.labels[wrong] + 1) % CLASSES
    warned = sets.found()["labels_contradicted"]
    assert warned.count == 1
    (item,) = warned.items
    assert (item.set, item.index, item.label) == ("reference", 7, int(sets.labels[wrong]))
    assert item.detail == f"predicted {wrong % CLASSES}"
    # another class ahead by a hair is no contradiction
    sets.outputs[wrong] = 0.5
    sets.outputs[wrong, 0 if sets.labels[wrong] else 1] = 0.501
    assert "labels_contradicted" not in sets.found()


def test_as_many_items_are_named_as_are_asked_for() -> None:
    sets = Sets()
    sets.labels[:25] = (sets.labels[:25] + 1) % CLASSES
    sets.items[100:115] = sets.items[60:75]
    for top, most in ((0, 10), (10, 10), (12, 12), (100, 100)):
        found = sets.found(top=top)
        count = found["labels_contradicted"].count
        assert count is not None
        assert 12 < count <= 25
        assert len(found["labels_contradicted"].items) == min(count, most)
        assert len(found["duplicates"].items) == min(15, most)


def test_duplicates_within_and_across_by_their_places_in_the_files() -> None:
    sets = Sets()
    sets.items[4] = sets.items[2]
    sets.items[SAMPLE + 3] = sets.items[9]
    sets.items[SAMPLE + 6] = sets.items[SAMPLE + 10]
    warned = sets.found()["duplicates"]
    assert warned.count == 3
    assert "1 of the sample repeat" in warned.message
    assert "1 of the reference repeat" in warned.message
    assert "1 of the reference stand in the sample too" in warned.message
    assert "2 stand under more than one label" in warned.message
    assert [(i.set, i.index, i.detail) for i in warned.items] == [
        ("sample", 1002, "the same as sample item 1004"),
        ("sample", 1009, "the same as reference item 3"),
        ("reference", 6, "the same as reference item 10"),
    ]


def test_a_regression_has_duplicates_alone() -> None:
    sets = Sets()
    sets.items[4] = sets.items[2]
    sets.outputs = 20 * Tensor.clone(sets.outputs)
    assert list(sets.found(task="regression")) == ["duplicates"]
