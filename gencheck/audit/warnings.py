"""What a colleague would say on seeing the two sets and the model's outputs on them."""

from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import chdtrc
from torch import Tensor

from gencheck.audit.attribution import picture_of_item
from gencheck.audit.question import Question
from gencheck.audit.warned import NamedItem, Warned
from gencheck.bounds.binomial import binomial_interval

# How often a warning that rests on a test may come without a reason.
_LEVEL = 0.01

# Sets with fewer items than this say nothing about chance.
_FEWEST = 20

# Items and classes that a warning names, more of the items with a larger `top`; it counts all.
_NAMED = 10
_CLASSES_NAMED = 3

# Outputs that are 0 everywhere have this mean squared loss against one-hot targets.
_LOSS_OF_ZEROS = 1.0

# The share of rightly classified items that are won by less than what counts as confident.
_CONFIDENT = 0.5


def warnings_of(question: Question, outputs: Tensor) -> tuple[Warned, ...]:
    """The warnings that the items and the model's outputs on them give, the gravest first.

    Parameters
    ----------
    outputs
        h of the pooled items, shape (N, K), float64, those of the sample first.
    """
    found: list[Warned | None] = []
    if question.task == "classification":
        classes = _Classes(question, outputs)
        found += [_at_chance(classes), _cross_entropy(classes), _class_shares(classes)]
        found += [_contradicted(classes)]
    found += [_duplicates(question)]
    return tuple(each for each in found if each is not None)


class _Classes:
    """Labels and predictions of both sets."""

    def __init__(self, question: Question, outputs: Tensor) -> None:
        difference = question.difference
        self.question, self.outputs, self.targets = question, outputs, difference.targets
        self.labels, self.predicted = difference.targets.argmax(1), outputs.argmax(1)
        cut = difference.sample_count
        self.sets = (slice(0, cut), slice(cut, len(outputs)))
        self.right = self.labels == self.predicted

    def shares(self) -> list[NDArray[np.int64]]:
        """How many items of each class there are, by set."""
        count = self.targets.shape[1]
        return [np.bincount(self.labels[part].numpy(), minlength=count) for part in self.sets]


def _at_chance(classes: _Classes) -> Warned | None:
    """No set on which the model is right more often than its most frequent class would be."""
    rates, guesses = [], []
    for part, shares in zip(classes.sets, classes.shares(), strict=True):
        right, count = int(classes.right[part].sum()), len(classes.right[part])
        guess = int(shares.max()) / count
        if count < _FEWEST or binomial_interval(right, count, _LEVEL)[0] > guess:
            return None
        rates.append(right / count)
        guesses.append(guess)
    return Warned(
        "error_at_chance",
        f"The model is right on {rates[0]:.1%} of the sample and {rates[1]:.1%} of the reference, no "
        "more than who always names the most frequent class "
        f"({guesses[0]:.1%}, {guesses[1]:.1%}). Check that items are scaled and laid out as in "
        "training (--normalise, --transform), and that labels are numbered as there.",
    )


def _cross_entropy(classes: _Classes) -> Warned | None:
    """Outputs further from one-hot targets than zeros are, of a model that is mostly right."""
    loss = (classes.outputs - classes.targets).square().sum(1)
    risks = [float(loss[part].mean()) for part in classes.sets]
    rates = [float(classes.right[part].double().mean()) for part in classes.sets]
    if min(risks) <= _LOSS_OF_ZEROS or min(rates) <= 0.5:
        return None
    return Warned(
        "squared_loss_of_logits",
        f"The model is right on {rates[0]:.1%} of the sample, yet its squared loss is {risks[0]:.3g} "
        "there, more than outputs of 0 would have (1). So it was presumably trained with "
        "cross-entropy, and its outputs are logits. Gap and bound are in that loss and say nothing "
        "about how often it errs; --softmax shows the squared loss of its probabilities beside.",
    )


def pearson_p_value(table: NDArray[np.int64]) -> float:
    """P(χ² ≥ Σ(O − E)²/E) for counts in rows and columns of which none is empty.

    With one degree of freedom Yates' correction takes ½ off each |O − E|. That scipy.stats has it too
    would cost a second of every audit.
    """
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    difference, degrees = np.abs(table - expected), (table.shape[0] - 1) * (table.shape[1] - 1)
    if degrees == 1:
        difference = np.maximum(difference - 0.5, 0)
    return float(chdtrc(degrees, (difference**2 / expected).sum()))


def _class_shares(classes: _Classes) -> Warned | None:
    """Pearson's test of one distribution of classes; an approximation that only decides on a warning."""
    table = np.stack(classes.shares())
    present = np.flatnonzero(table.sum(0))
    if len(present) < 2 or pearson_p_value(table[:, present]) > _LEVEL:
        return None
    sample, reference = table / table.sum(1, keepdims=True)
    order = np.argsort(-np.abs(sample - reference), kind="stable")[:_CLASSES_NAMED]
    named = ", ".join(
        f"class {_class(classes.question, k)} is {sample[k]:.1%} of the sample and "
        f"{reference[k]:.1%} of the reference"
        for k in order.tolist()
        if sample[k] != reference[k]
    )
    return Warned(
        "class_shares_differ",
        f"The classes' shares differ: {named}. Whatever depends on the class differs with them: draw "
        "both sets alike, or compare class by class.",
    )


def _contradicted(classes: _Classes) -> Warned | None:
    """Items whose label loses by more than the margin by which half of the right ones win."""
    outputs = classes.outputs
    own = outputs.gather(1, classes.labels[:, None])[:, 0]
    others = outputs.scatter(1, classes.labels[:, None], -torch.inf).amax(1)
    margins = own - others
    winning = margins[classes.right]
    if len(winning) < _FEWEST:
        return None
    limit = float(winning.quantile(_CONFIDENT))
    worst = (-margins).argsort(descending=True, stable=True)
    count = int((margins < -limit).sum())
    if not count:
        return None
    items = tuple(
        _named(
            classes.question,
            at,
            f"predicted {_class(classes.question, int(classes.predicted[at]))}",
        )
        for at in worst[: min(count, _named_at_most(classes.question))].tolist()
    )
    return Warned(
        "labels_contradicted",
        f"{count} label{'s' * (count > 1)} contradicted by the model with confidence: another class "
        "wins there by more than the margin by which it is usually right. Look at these items: the "
        "label or the model is wrong.",
        count,
        items,
    )


def _duplicates(question: Question) -> Warned | None:
    """Items that stand more than once, bit by bit, within a set or in both."""
    keys = np.array([*_digests(question.sample.items), *_digests(question.reference.items)])
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if counts.max() == 1:
        return None
    cut = len(question.sample.items)
    groups = _groups(inverse.reshape(-1), counts)
    within = [
        sum(max(sum(low <= at < high for at in group) - 1, 0) for group in groups)
        for low, high in ((0, cut), (cut, len(keys)))
    ]
    across = sum(sum(at >= cut for at in g) for g in groups if g[0] < cut)
    places = question.task == "classification"
    labels = question.difference.targets.argmax(1)
    differing = sum(len({int(labels[at]) for at in g}) > 1 for g in groups) if places else 0
    parts = [
        f"{within[0]} of the sample repeat another of it" * (within[0] > 0),
        f"{within[1]} of the reference repeat another of it" * (within[1] > 0),
        f"{across} of the reference stand in the sample too" * (across > 0),
        f"{differing} stand under more than one label" * (differing > 0),
    ]
    items = tuple(
        _named(question, g[0], "the same as " + ", ".join(_place(question, at) for at in g[1:4]))
        for g in groups[: _named_at_most(question)]
    )
    return Warned(
        "duplicates",
        f"Items that are the same in every number: {'; '.join(part for part in parts if part)}. "
        "Every p-value, interval and bound takes items for independent draws, and an item in both "
        "sets hides a difference: keep one of each.",
        within[0] + within[1] + across,
        items,
    )


def _digests(items: Tensor) -> list[bytes]:
    """One digest an item: two items of one digest are the same, but for one chance in 2⁶⁴ or less."""
    rows = items.reshape(len(items), -1).cpu().numpy()
    # in hexadecimal, because arrays of bytes lose the zeros at their ends
    return [blake2b(row.tobytes(), digest_size=16).hexdigest().encode() for row in rows]


def _groups(inverse: NDArray[np.int64], counts: NDArray[np.int64]) -> list[list[int]]:
    """The positions of items that stand more than once, group by group, in the order of the first."""
    members: dict[int, list[int]] = {}
    for at in np.flatnonzero(counts[inverse] > 1).tolist():
        members.setdefault(int(inverse[at]), []).append(at)
    return list(members.values())


def _named_at_most(question: Question) -> int:
    return max(_NAMED, question.options.top)


def _named(question: Question, position: int, detail: str) -> NamedItem:
    label = None
    if question.task == "classification":
        label = int(question.difference.targets[position].argmax())
    where, index = question.place(position)
    return NamedItem(
        set=where,
        index=index,
        label=label,
        detail=detail,
        file=question.file_of(position),
        class_name=None if label is None else question.class_of(label),
        picture=picture_of_item(question, position),
    )


def _class(question: Question, label: int) -> str:
    """A class by its number, and by its name where it has one."""
    name = question.class_of(label)
    return str(label) if name is None else f"{label} ({name})"


def _place(question: Question, position: int) -> str:
    where, index = question.place(position)
    file = question.file_of(position)
    return f"{where} item {index}" + ("" if file is None else f" ({file})")
