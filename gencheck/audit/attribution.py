"""What is to blame for β1: the items that make it up, and where on the input its direction lies."""

from math import isqrt

import torch
from torch import Tensor

from gencheck.audit.beta1 import Moments
from gencheck.audit.image_grid import Picture, picture_of
from gencheck.audit.item_picture import ItemPicture, item_picture
from gencheck.audit.question import Question
from gencheck.audit.result import Direction, ItemShare
from gencheck.network.program import Program
from gencheck.spectral.beta1.energy import coordinate_energy
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.path_kernel import PathKernel

# The items that the direction is projected on: this share of all, at most so many. A pair of items
# takes a few times as long here as in the Gram matrix (float64, and a derivative), forty times where
# that counts bits, so that the direction costs less than the matrix did.
_SHARE, _MOST = 1 / 7, 1024
# More where their kernels take so few operations that it makes no difference, fewer beyond so many.
_CHEAP, _OPERATIONS = 2e8, 2e10


def largest_shares(question: Question, moments: Moments) -> tuple[ItemShare, ...]:
    """The items with the largest terms of β1, largest first; none where β1 is not positive.

    The terms are d_i (z_i·u)², and add up to β1.
    β1 = (1/n)Σ_T (z·u)² − (1/m)Σ_S (z·u)²: what the reference has and the sample lacks comes first,
    and items of the sample, whose terms are negative, come last.
    """
    difference = question.difference
    terms = difference.weights() * moments.products.square()
    whole = float(terms.sum())
    if not whole > 0:
        return ()
    found = []
    for position in terms.argsort(descending=True, stable=True)[: question.options.top].tolist():
        where, index = question.place(position)
        words = question.options.vocabulary
        label = _label(difference.targets[position], question.task)
        found.append(
            ItemShare(
                set=where,
                index=index,
                label=label,
                share=float(terms[position]) / whole,
                tokens=None if words is None else words.of(_item(question, position)),
                file=question.file_of(position),
                class_name=question.class_of(label) if isinstance(label, int) else None,
                picture=picture_of_item(question, position),
            )
        )
    return tuple(found)


def top_direction(
    question: Question,
    kernel: PathKernel,
    factors: Factors,
    moments: Moments,
    picture: Picture | None,
) -> Direction | None:
    """Where on the input the direction u lies that attains β1; None where β1 is not positive.

    u is projected on the span of a seventh of the items, at most 1024, all of them where they are few:
    half of them those that u is made of most, half at random.

    Parameters
    ----------
    picture
        How the coordinates lie in a picture, if they do.
    """
    weights, seed = question.difference.weights(), question.options.seed
    products = moments.products
    if not float(weights @ products.square()) > 0:
        return None
    # A u = β1 u says that u = Σ_i a_i z_i with a_i proportional to d_i (z_i·u)
    parts = (weights * products).abs()
    total = len(products)
    count = direction_items(kernel.windows, total)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    parts[order[: count // 2]] = torch.inf
    chosen = parts.argsort(descending=True, stable=True)[:count].sort().values
    found = coordinate_energy(
        kernel, factors.taken(chosen), products[chosen], moments.exponent, question.progress
    )
    return Direction(
        energy=tuple(found.coordinates.tolist()),
        elsewhere=found.elsewhere,
        captured=found.captured,
        items=found.items,
        picture=picture,
        mean=item_picture(factors.items.double().mean(0).cpu().numpy(), picture),
    )


def direction_items(program: Program, total: int) -> int:
    """How many of `total` items the direction is projected on."""
    cheap, affordable = (
        max(2, isqrt(int(2 * work / program.flops_per_pair))) for work in (_CHEAP, _OPERATIONS)
    )
    return min(total, affordable, _MOST, max(cheap, int(total * _SHARE)))


def _item(question: Question, position: int) -> list[float]:
    """The numbers of one of the pooled items, flat."""
    part, own = question.part_of(position)
    return list(part.items[own].flatten().tolist())


def picture_of_item(question: Question, position: int) -> ItemPicture | None:
    """What one of the pooled items looks like, as it is before any layer."""
    if question.model.whole_numbers:
        return None
    part, own = question.part_of(position)
    item = part.items[own].double().cpu()
    return item_picture(item.flatten().numpy(), picture_of(tuple(item.shape), part.stored_shape))


def _label(target: Tensor, task: str) -> int | float | tuple[float, ...]:
    if task == "classification":
        return int(target.argmax())
    return float(target[0]) if len(target) == 1 else tuple(target.tolist())
