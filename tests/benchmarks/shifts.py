"""Kinds of shift for the study of level and power: how a set is spoilt that is drawn from a pool."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IN_REFERENCE = " in T"


@dataclass(frozen=True)
class Chosen:
    """Items of a set: rows of a pool, the same items spoilt after all clean ones, and labels."""

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Draw:
    """Items of the pool that a set of `count` may be made of, in random order, and their labels."""

    rows: Tensor
    labels: Tensor
    count: int
    pool: int
    classes: int
    generator: torch.Generator

    def plain(self) -> Chosen:
        return Chosen(self.rows[: self.count], self.labels[: self.count].clone())

    def weighted(self, odds: Tensor) -> Chosen:
        """n items without repetition, class k with those odds."""
        chosen = torch.multinomial(
            odds[self.labels], self.count, replacement=False, generator=self.generator
        )
        return Chosen(self.rows[chosen], self.labels[chosen])


def changed(draw: Draw) -> Chosen:
    """Every picture spoilt."""
    plain = draw.plain()
    return Chosen(plain.rows + draw.pool, plain.labels)


def foreign(draw: Draw) -> Chosen:
    """5 % of the pictures spoilt, labels kept."""
    plain = draw.plain()
    some = max(1, draw.count // 20)
    return Chosen(torch.cat([plain.rows[:some] + draw.pool, plain.rows[some:]]), plain.labels)


def label_noise(draw: Draw) -> Chosen:
    """10 % of the labels replaced by another class."""
    plain, wrong = draw.plain(), draw.count // 10
    shift = torch.randint(1, draw.classes, (wrong,), generator=draw.generator)
    plain.labels[:wrong] = (plain.labels[:wrong] + shift) % draw.classes
    return plain


def imbalance(draw: Draw) -> Chosen:
    """Every second half of the classes a third as likely."""
    odds = torch.ones(draw.classes)
    odds[draw.classes // 2 :] = 1 / 3
    return draw.weighted(odds)


def class_missing(draw: Draw) -> Chosen:
    return draw.weighted((torch.arange(draw.classes) != 3).float())


def duplicates(draw: Draw) -> Chosen:
    """Half of the items, each twice."""
    plain, half = draw.plain(), draw.count // 2
    return Chosen(plain.rows[:half].repeat(2), plain.labels[:half].repeat(2))


def dimmed(images: Tensor, _: torch.Generator) -> Tensor:
    return images * 0.8


def blurred(images: Tensor, _: torch.Generator) -> Tensor:
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    channels = images.shape[1]
    kernel = (line[:, None] * line).expand(channels, 1, 3, 3)
    return functional.conv2d(images, kernel, padding=1, groups=channels)


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def turned(images: Tensor, _: torch.Generator, degrees: float = 10.0) -> Tensor:
    angle = torch.tensor(degrees).deg2rad()
    cos, sin = float(angle.cos()), float(angle.sin())
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def scrambled(images: Tensor, generator: torch.Generator) -> Tensor:
    """The pixels of every picture in another order, the same for all."""
    order = torch.randperm(images[0, 0].numel(), generator=generator)
    return images.flatten(2)[:, :, order].view(images.shape)


@dataclass(frozen=True)
class Shift:
    """A way to spoil a set: which items it has, and what is done to the pictures of spoilt ones."""

    words: str
    choose: Callable[[Draw], Chosen]
    change: Callable[[Tensor, torch.Generator], Tensor] | None = None


# Strengths were fixed before the first row was computed.
KINDS = {
    "none": Shift("nothing: the level", Draw.plain),
    "label noise": Shift("10 % of labels wrong", label_noise),
    "imbalance": Shift("classes 5 to 9 a third as likely", imbalance),
    "class missing": Shift("no item of class 3", class_missing),
    "duplicates": Shift("half of the items, each twice", duplicates),
    "brightness": Shift("pixels × 0.8", changed, dimmed),
    "blur": Shift("3 × 3 binomial filter", changed, blurred),
    "noise": Shift("pixels + normal noise of 0.1, cut to [0, 1]", changed, noisy),
    "rotation": Shift("10°", changed, turned),
    "foreign": Shift("5 % of items with permuted pixels", foreign, scrambled),
}


def drawn_sets(
    kind: str, labels: Tensor, count: int, generator: torch.Generator
) -> tuple[Chosen, Chosen]:
    """S and T of `count` items each, with no item in both; S spoilt, or T where the kind's name says so.

    Parameters
    ----------
    labels
        Of the clean items of the pool.
    """
    pool = len(labels)
    order = torch.randperm(pool, generator=generator)
    kept, spare = order[:count], order[count:]
    draw = Draw(
        rows=spare,
        labels=labels[spare],
        count=count,
        pool=pool,
        classes=int(labels.max()) + 1,
        generator=generator,
    )
    spoilt = KINDS[kind.removesuffix(IN_REFERENCE)].choose(draw)
    clean = Chosen(kept, labels[kept])
    return (clean, spoilt) if kind.endswith(IN_REFERENCE) else (spoilt, clean)
