"""How many items of each class there are in both sets, and on how many of them the model errs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassPart:
    """One class in one set.

    Attributes
    ----------
    count
        How many items of the set are of the class.
    share
        count over the size of the set.
    errors
        How many of these the model takes for another class.
    """

    count: int
    share: float
    errors: int


@dataclass(frozen=True)
class ClassErrors:
    """One class in the sample and in the reference; `class_name` is None where it has none."""

    label: int
    class_name: str | None
    sample: ClassPart
    reference: ClassPart


def class_errors(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    sample_count: int,
    name_of: Callable[[int], str | None],
) -> tuple[ClassErrors, ...]:
    """The classes that either set has, by their labels.

    Parameters
    ----------
    labels, predicted
        Of the pooled items, shape (N,), those of the sample first.
    """
    classes = int(labels.max()) + 1
    sets = slice(0, sample_count), slice(sample_count, None)
    counts, errors = (
        [np.bincount(labels[part][chosen[part]], minlength=classes) for part in sets]
        for chosen in (np.ones(len(labels), bool), labels != predicted)
    )
    parts = [
        [
            ClassPart(count, count / int(counted.sum()), wrong)
            for count, wrong in zip(counted.tolist(), missed.tolist(), strict=True)
        ]
        for counted, missed in zip(counts, errors, strict=True)
    ]
    return tuple(
        ClassErrors(label, name_of(label), sample, reference)
        for label, (sample, reference) in enumerate(zip(*parts, strict=True))
        if sample.count or reference.count
    )
