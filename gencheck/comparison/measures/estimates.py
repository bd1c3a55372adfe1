"""Estimates where a theory needs a supremum that no sample shows: stability, cells, sharpness."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gencheck.comparison.measures.margins import margins_of, ramp_losses
from gencheck.comparison.measures.weights import outputs_of, weights_of, with_weights
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress

# Items over which the stability of the refitted layer is measured, all pairs of them.
_STABILITY_ITEMS = 2000
# Items whose gradient is taken at once.
_ASCENT_BATCH = 128
# Ridge penalties, relative to the mean square of the features.
_RIDGES = tuple(10.0**k for k in range(-6, 2))


@dataclass(frozen=True)
class StabilityFacts:
    """The refitted last layer: the largest change of a loss, its ridge, its mean loss, its items."""

    beta: float
    ridge: float
    loss: float
    items: int


def last_layer_stability(features: Tensor, labels: Tensor, classes: int) -> StabilityFacts:
    """max_{i,j} |ℓ(A_S, z_j) − ℓ(A_{S∖i}, z_j)| for A the ridge regression on the last features.

    The ramp loss at margin 1 of a regression on one-hot labels. Leaving item i out changes the
    prediction of item j by H_ji e_i / (1 − H_ii), with H the hat matrix and e the residuals. The
    penalty is the one of the least leave-one-out squared error.

    Parameters
    ----------
    features
        Shape (N, d): what enters the last layer, a constant 1 is added; the first 2000 are used.
    """
    features, labels = features[:_STABILITY_ITEMS].double().cpu(), labels[:_STABILITY_ITEMS].cpu()
    design = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], 1)
    targets = functional.one_hot(labels, classes).double()
    left, values, _ = torch.linalg.svd(design, full_matrices=False)
    size = float(design.square().mean()) * len(design)
    best: tuple[float, float, Tensor] | None = None
    for relative in _RIDGES:
        ridge = relative * size
        hat = (left * (values.square() / (values.square() + ridge))) @ left.T
        residuals = (targets - hat @ targets) / (1 - hat.diagonal())[:, None]
        error = float(residuals.square().sum())
        if best is None or error < best[0]:
            best = (error, ridge, hat)
    assert best is not None
    _, ridge, hat = best
    fitted = hat @ targets
    residuals = (targets - fitted) / (1 - hat.diagonal())[:, None]
    losses = ramp_losses(margins_of(fitted, labels), 1.0)
    beta = 0.0
    for i in range(len(labels)):
        without = fitted - hat[:, i, None] * residuals[i]
        changed = ramp_losses(margins_of(without, labels), 1.0)
        beta = max(beta, float((changed - losses).abs().max()))
    return StabilityFacts(beta, ridge, float(losses.mean()), len(labels))


@dataclass(frozen=True)
class CellFacts:
    """Cells around items of the reference: how many, and the largest variation of a loss in one."""

    cells: int
    variation: float
    compared: int


def cell_variation(
    sample: Tensor,
    sample_keys: tuple[Tensor, Tensor],
    reference: Tensor,
    reference_keys: tuple[Tensor, Tensor],
    centres: int,
    classes: int,
    seed: int,
) -> CellFacts:
    """Max |ℓ(s) − ℓ(t)| over pairs of a sample's and a reference's item in one cell.

    Cells are those of the nearest of so many centres, drawn at random from one half of the
    reference and so fixed before the sample, times the classes; the other half is compared.

    Parameters
    ----------
    sample, reference
        Items, flat or not.
    sample_keys, reference_keys
        The labels and the losses of the items.
    """
    order = torch.randperm(len(reference), generator=torch.Generator().manual_seed(seed))
    centres = min(centres, max(1, len(reference) // 2))
    chosen, others = order[:centres], order[centres:]
    points = reference.flatten(1)[chosen]
    lows, highs = [], []
    kinds = ((sample, sample_keys, None), (reference, reference_keys, others))
    for items, (labels, losses), which in kinds:
        if which is not None:
            items, labels, losses = items[which], labels[which], losses[which]
        cells = torch.cdist(items.flatten(1), points).argmin(1) * classes + labels
        low = torch.full((centres * classes,), math.inf, dtype=losses.dtype)
        high = torch.full_like(low, -math.inf)
        lows.append(low.scatter_reduce(0, cells, losses, "amin"))
        highs.append(high.scatter_reduce(0, cells, losses, "amax"))
    both = torch.isfinite(lows[0]) & torch.isfinite(lows[1])
    spans = torch.maximum(highs[0] - lows[1], highs[1] - lows[0])[both]
    variation = float(spans.max()) if len(spans) else 0.0
    return CellFacts(centres * classes, max(variation, 0.0), int(both.sum()))


@dataclass(frozen=True)
class SharpnessFacts:
    """Losses and errors at the weights and at the worst neighbour found."""

    loss: float
    error: float
    worst_loss: float
    worst_error: float

    @property
    def percent(self) -> float:
        """100 (max L − L) / (1 + L)."""
        return 100 * (self.worst_loss - self.loss) / (1 + self.loss)


def sharpness(
    network: Network,
    items: Tensor,
    labels: Tensor,
    radius: float,
    steps: int,
    starts: int,
    seed: int,
    progress: Progress = SILENT,
) -> SharpnessFacts:
    """The largest cross-entropy within |Δw| ≤ ε (|w| + 1), by signed ascent from random corners.

    A lower end: the neighbourhood may hold worse. It changes where a unit's inputs are scaled by c
    and its outputs by 1/c, although the function does not.

    Source: Keskar et al., On Large-Batch Training for Deep Learning (2017); Dinh et al., Sharp
    Minima Can Generalize For Deep Nets (2017), for what it does not say.
    """
    weights = weights_of(network, items)
    radii = [radius * (w.abs() + 1) for w in weights]
    generator = torch.Generator(items.device).manual_seed(seed)
    loss, error, _ = _loss_at(network, weights, items, labels)
    worst_loss, worst_error = loss, error
    progress.start("sharpness", starts * steps, "steps")
    for start in range(starts):
        moved = list(weights)
        if start:
            moved = [w + r * _signs(w, generator) for w, r in zip(weights, radii, strict=True)]
        for _ in range(steps):
            value, wrong, gradients = _loss_at(network, moved, items, labels)
            worst_loss, worst_error = max(worst_loss, value), max(worst_error, wrong)
            stepped = []
            for w, now, r, g in zip(weights, moved, radii, gradients, strict=True):
                ahead = now + r * g.sign() / max(1, steps // 4)
                stepped.append(torch.minimum(torch.maximum(ahead, w - r), w + r))
            moved = stepped
            progress.advance(1)
        value, wrong, _ = _loss_at(network, moved, items, labels)
        worst_loss, worst_error = max(worst_loss, value), max(worst_error, wrong)
    progress.finish()
    return SharpnessFacts(loss, error, worst_loss, worst_error)


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    bits = torch.randint(2, like.shape, generator=generator, device=like.device)
    return 2 * bits.to(like) - 1


def _loss_at(
    network: Network, weights: list[Tensor], items: Tensor, labels: Tensor
) -> tuple[float, float, list[Tensor]]:
    """The mean cross-entropy, the 0-1 error and the gradient of the summed cross-entropy."""
    moving = [w.detach().requires_grad_() for w in weights]
    moved = with_weights(network, moving)
    totals = [torch.zeros_like(w) for w in weights]
    loss, wrong = 0.0, 0
    # a part at a time: the graph of all items at once would not fit for deep networks
    for part, their in zip(items.split(_ASCENT_BATCH), labels.split(_ASCENT_BATCH), strict=True):
        outputs = outputs_of(moved, part)
        value = functional.cross_entropy(outputs.double(), their, reduction="sum")
        gradients = torch.autograd.grad(value, moving, allow_unused=True)
        totals = [t if g is None else t + g for t, g in zip(totals, gradients, strict=True)]
        loss += float(value.detach())
        wrong += int((outputs.argmax(1) != their).sum())
    return loss / len(items), wrong / len(items), totals
