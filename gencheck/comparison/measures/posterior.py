"""A Gaussian posterior around the weights, fitted to the PAC-Bayes bound, and its error, sampled."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gencheck.bounds.pac_bayes import gaussian_divergence, prior_index, prior_variance
from gencheck.comparison.measures.margins import margins_of
from gencheck.comparison.measures.weights import (
    batched_outputs,
    outputs_of,
    weights_of,
    with_weights,
)
from gencheck.network.ir import Network
from gencheck.progress import Progress

# The margin at which a softmax is sure.
_SHARP_MARGIN = 5.0
_BATCH, _LEARNING_RATE = 64, 0.05
# Variances are sought between these, times the square of the weights' root mean square.
_START, _FLOOR = 1e-2, 1e-12
# Items on which one draw's error is taken: a random part keeps it unbiased, and the bound counts draws.
_ITEMS_PER_DRAW = 32
# Items whose margins say how sharp the softmax of the fit has to be.
_MARGIN_ITEMS = 256


@dataclass(frozen=True)
class GibbsFacts:
    """What the bound needs of the posterior: KL(Q‖P), the prior's index, the sampled error."""

    divergence: float
    prior_index: int
    prior_variance: float
    sampled_error: float
    draws: int
    distance: float
    mean_deviation: float
    count: int


def gibbs_facts(
    network: Network,
    prior_mean: list[Tensor] | None,
    items: Tensor,
    labels: Tensor,
    steps: int,
    draws: int,
    delta: float,
    seed: int,
    progress: Progress,
) -> GibbsFacts:
    """The posterior N(w, diag s) that gradient descent on the bound finds, and its empirical error.

    The mean stays at the network's weights w; the variances s and the prior's variance λ descend on
    Ê_Q[cross-entropy / ln K] + √((KL + ln(2√m/δ)) / 2m), one draw of weights a step. λ is then
    rounded to the grid, and the error sampled with draws of a stream of its own.

    Parameters
    ----------
    prior_mean
        w₀ in the order of the weights; None for zero.
    """
    mean = weights_of(network, items)
    prior = [torch.zeros_like(w) for w in mean] if prior_mean is None else prior_mean
    distance = sum(float((w - p).double().square().sum()) for w, p in zip(mean, prior, strict=True))
    fitting, sampling = streams(seed, 2, items.device)
    logs = _fitted(
        network,
        mean,
        distance=distance,
        items=items,
        labels=labels,
        steps=steps,
        delta=delta,
        generator=fitting,
        progress=progress,
    )
    sums = [(float(s.double().exp().sum()), float(s.double().sum())) for s in logs]
    variance_sum, log_sum = (sum(part) for part in zip(*sums, strict=True))
    count = sum(w.numel() for w in mean)
    # the λ at which the divergence is least, rounded to the grid
    index = prior_index(max((variance_sum + distance) / count, 1e-300))
    variance = prior_variance(index)
    error = _sampled_error(
        network,
        mean,
        logs=logs,
        items=items,
        labels=labels,
        draws=draws,
        generator=sampling,
        progress=progress,
    )
    return GibbsFacts(
        divergence=gaussian_divergence(count, variance_sum, log_sum, distance, variance),
        prior_index=index,
        prior_variance=variance,
        sampled_error=error,
        draws=draws,
        distance=math.sqrt(distance),
        mean_deviation=math.sqrt(variance_sum / count),
        count=count,
    )


def streams(seed: int, count: int, device: torch.device | str) -> list[torch.Generator]:
    """So many generators whose numbers are independent of each other.

    The seeds are hashes, and differ in 32 bits: torch's generator on the CPU looks at no more, so that
    ``manual_seed(2**32 + s)`` is ``manual_seed(s)``.
    """
    found: dict[int, None] = {}
    for child in np.random.SeedSequence(seed).generate_state(2 * count + 16):
        found.setdefault(int(child))
    return [torch.Generator(device).manual_seed(own) for own in list(found)[:count]]


def _fitted(
    network: Network,
    mean: list[Tensor],
    distance: float,
    items: Tensor,
    labels: Tensor,
    steps: int,
    delta: float,
    generator: torch.Generator,
    progress: Progress,
) -> list[Tensor]:
    """Ln s for each weight."""
    logs = [_start(w).requires_grad_() for w in mean]
    optimiser = torch.optim.Adam(logs, lr=_LEARNING_RATE)
    count, m = sum(w.numel() for w in mean), len(items)
    constant = math.log(2 * math.sqrt(m) / delta)
    classes = network.output_count
    sharpening = _sharpening(network, mean, items, labels)
    progress.start("posterior", steps, "steps")
    for _ in range(steps):
        batch = torch.randint(m, (min(_BATCH, m),), generator=generator, device=items.device)
        drawn = list(_drawn(mean, logs, generator))
        outputs = outputs_of(with_weights(network, drawn), items[batch])
        surrogate = functional.cross_entropy(sharpening * outputs, labels[batch])
        surrogate = surrogate / math.log(classes)
        # with the prior variance at its best, λ = (Σs + ‖w − w₀‖²)/d, the divergence is this
        total = torch.stack([s.exp().sum() for s in logs]).sum() + distance
        log_total = torch.stack([s.sum() for s in logs]).sum()
        divergence = 0.5 * (count * torch.log(total / count) - log_total)
        loss = surrogate + torch.sqrt((divergence + constant) / (2 * m))
        optimiser.zero_grad()
        loss.backward()
        for s in logs:
            # outputs past the range of floats have no slope; the bound holds for any variances
            assert s.grad is not None
            s.grad.nan_to_num_(0.0, 0.0, 0.0)
        optimiser.step()
        progress.advance(1)
    progress.finish()
    return [s.detach() for s in logs]


def _sharpening(network: Network, mean: list[Tensor], items: Tensor, labels: Tensor) -> float:
    """A factor on the outputs that makes the median margin large enough for a softmax.

    A network that was trained with another loss may have margins around 1, where the cross-entropy
    is far above the error.
    """
    with torch.no_grad():
        outputs = outputs_of(with_weights(network, mean), items[:_MARGIN_ITEMS])
    median = float(margins_of(outputs, labels[:_MARGIN_ITEMS]).median())
    return max(1.0, _SHARP_MARGIN / median) if median > 0 else 1.0


def _start(weights: Tensor) -> Tensor:
    size = max(float(weights.double().square().mean()), _FLOOR)
    return torch.full_like(weights, math.log(_START * size))


def _drawn(mean: list[Tensor], logs: list[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
    for w, s in zip(mean, logs, strict=True):
        noise = torch.randn(w.shape, generator=generator, device=w.device, dtype=w.dtype)
        yield w + (s / 2).exp() * noise


def _sampled_error(
    network: Network,
    mean: list[Tensor],
    logs: list[Tensor],
    items: Tensor,
    labels: Tensor,
    draws: int,
    generator: torch.Generator,
    progress: Progress,
) -> float:
    """The mean over draws of the error on the items, or on a random part of them for each draw."""
    total, m = 0.0, len(items)
    progress.start("Gibbs error", draws, "draws")
    with torch.no_grad():
        for _ in range(draws):
            drawn = with_weights(network, list(_drawn(mean, logs, generator)))
            some, their = items, labels
            if m > _ITEMS_PER_DRAW:
                part = torch.randperm(m, generator=generator, device=items.device)
                some, their = items[part[:_ITEMS_PER_DRAW]], labels[part[:_ITEMS_PER_DRAW]]
            wrong = batched_outputs(drawn, some, _BATCH).argmax(1) != their
            total += float(wrong.double().mean())
            progress.advance(1)
    progress.finish()
    return total / draws
