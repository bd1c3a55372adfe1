"""Candidate training sets with one defect each, of one kind and one strength."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Labelled: TypeAlias = tuple[Tensor, Tensor]

# The strongest defects, at strength 1.
_WRONG_LABELS = 0.6
_FOREIGN_ITEMS = 0.6
_DEGREES = 60.0
_ODDS = math.exp(5)
_LEFT_OUT = 0.9


@dataclass(frozen=True)
class Pool:
    """Clean items that candidate sets are drawn from.

    Attributes
    ----------
    items, labels
        Shapes (N, C, H, W) and (N,).
    count
        m: how many items a candidate has.
    """

    items: Tensor
    labels: Tensor
    classes: int
    count: int

    def drawn(self, count: int, generator: torch.Generator) -> Labelled:
        """`count` items without repetition."""
        chosen = torch.randperm(len(self.items), generator=generator)[:count]
        return self.items[chosen], self.labels[chosen]


def imbalanced(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """Classes in random order, the odds of the last e^(5 strength) times less than those of the first.

    Items are drawn one after another without repetition, with those odds.
    """
    places = torch.randperm(pool.classes, generator=generator) / (pool.classes - 1)
    odds = _ODDS ** (-strength * places[pool.labels])
    chosen = torch.multinomial(odds, pool.count, replacement=False, generator=generator)
    return pool.items[chosen], pool.labels[chosen]


def with_wrong_labels(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """Of the labels a share 0.6 strength is replaced by another class."""
    items, labels = pool.drawn(pool.count, generator)
    wrong = round(_WRONG_LABELS * strength * pool.count)
    shift = torch.randint(1, pool.classes, (wrong,), generator=generator)
    labels[:wrong] = (labels[:wrong] + shift) % pool.classes
    return items, labels


def shifted(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """Every picture turned by 60° strength."""
    items, labels = pool.drawn(pool.count, generator)
    angle = math.radians(_DEGREES * strength)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(items), 2, 3)
    grid = functional.affine_grid(matrix, list(items.shape), align_corners=False)
    return functional.grid_sample(items, grid, align_corners=False), labels


def small(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """A share 1 − 0.9 strength of m items."""
    return pool.drawn(_kept(pool.count, strength), generator)


def repeated(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """Of m items a share 1 − 0.9 strength differ; those are repeated in turn."""
    items, labels = pool.drawn(_kept(pool.count, strength), generator)
    chosen = torch.arange(pool.count) % len(items)
    return items[chosen], labels[chosen]


def with_foreign_items(pool: Pool, strength: float, generator: torch.Generator) -> Labelled:
    """Of the items a share 0.6 strength are no pictures, with labels drawn uniformly.

    Their pixels are those of other items, in one random order for all: the same values, no shapes.
    """
    items, labels = pool.drawn(pool.count, generator)
    foreign = round(_FOREIGN_ITEMS * strength * pool.count)
    order = torch.randperm(items[0, 0].numel(), generator=generator)
    items[:foreign] = items[:foreign].flatten(2)[:, :, order].view(items[:foreign].shape)
    labels[:foreign] = torch.randint(pool.classes, (foreign,), generator=generator)
    return items, labels


def _kept(count: int, strength: float) -> int:
    return max(2, round(count * (1 - _LEFT_OUT * strength)))


KINDS: dict[str, Callable[[Pool, float, torch.Generator], Labelled]] = {
    "imbalance": imbalanced,
    "label_noise": with_wrong_labels,
    "shift": shifted,
    "size": small,
    "duplicates": repeated,
    "foreign": with_foreign_items,
}
