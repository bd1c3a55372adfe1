"""Is it noise? Statistics of the pooled items under random relabelling, and their exact p-values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.tiles import Tile

# Values this close, relative to the sums that they are differences of, are ties: only rounding tells
# them apart, be it that of outputs in float32, which differ in the last digits with an item's place.
_TIE = 1e-6
# What varies by less, relative to itself, does not vary.
_STILL = 1e-12


@dataclass(frozen=True)
class NullDistribution:
    """A statistic on the observed labels and on B relabellings, evaluated alike.

    Attributes
    ----------
    observed
        The statistic as it is.
    values
        The statistic under each relabelling, shape (B,), float64; ties are equal to `observed`.
    """

    observed: float
    values: Tensor

    @classmethod
    def of(cls, observed: float, values: Tensor, reached: Tensor) -> "NullDistribution":
        """With ties made equal: `reached` says which values are at least `observed`, rounding aside."""
        return cls(observed, torch.where(reached, values.clamp(min=observed), values))

    @property
    def reached(self) -> int:
        """How many of `values` are at least `observed`, ties included."""
        return int((self.values >= self.observed).sum())

    @property
    def p_value(self) -> float:
        """(1 + #{null ≥ observed}) / (1 + B), a probability.

        Exact at every size: if S and T come from one distribution and the gates saw neither, the
        observed labels and the B relabellings are exchangeable, so P(p ≤ t) ≤ t for every t. Ties
        count against rejection. Phipson and Smyth, *Permutation P-values should never be zero*, 2010.
        """
        return (1 + self.reached) / (1 + len(self.values))

    def quantile(self, share: float) -> float:
        """The smallest null value that at least `share` of them do not exceed."""
        return float(np.quantile(self.values.numpy(), share, method="inverted_cdf"))


def relabel(weights: Tensor, rounds: int, seed: int) -> Tensor:
    """`weights` in random order, `rounds` times, independently. Shape (N, rounds), float64."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(weights), generator=generator) for _ in range(rounds)]
    return weights[torch.stack(orders, 1)] if orders else weights.new_empty((len(weights), 0))


def compared(values: Tensor, scale: float) -> NullDistribution:
    """The null distribution of the statistics `values`, of which the first is the observed one.

    Parameters
    ----------
    scale
        The size of the sums that the values are differences of.
    """
    observed, null = values[0], values[1:]
    return NullDistribution.of(float(observed), null, null >= observed - _TIE * scale)


def step_down_max_t(nulls: Sequence[NullDistribution]) -> list[float]:
    """Adjusted p-values of statistics under the same relabellings: Westfall and Young's step-down max-T.

    z = (t − mean)/standard deviation of each statistic t over all 1 + B labellings, the observed one
    among them. With the statistics in the order of their observed z, the p-value of the i-th is the
    share of labellings whose largest z over the i-th and all after it is at least the i-th's own, or the
    one before where that is larger.

    The labellings are treated alike, so where they are exchangeable the smallest is at most α with
    probability at most α, ties against rejection; it can be as small as 1/(1 + B), however many
    statistics there are, and what they have in common is paid for once. A statistic that is named
    wrongly beside right ones has the same limit where the items' parts in all statistics that see no
    difference are exchangeable together. No p-value is below the statistic's own.

    Source: Westfall and Young, *Resampling-Based Multiple Testing* (1993), algorithm 2.8 with the
    studentised maximum (cited from memory).
    """
    values = torch.stack([torch.cat([n.values.new_tensor([n.observed]), n.values]) for n in nulls])
    centred = values - values.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()
    # what no relabelling changes has z = 0 throughout, and so the p-value 1
    changes = spread > _STILL * values.abs().amax(1, keepdim=True)
    scores = torch.where(changes, centred / spread, 0.0)
    order = scores[:, 0].argsort(descending=True, stable=True)
    ordered = scores[order]
    largest = ordered.flip(0).cummax(0).values.flip(0)
    shares = (largest >= ordered[:, :1]).double().mean(1).cummax(0).values
    return shares[order.argsort()].tolist()


def mean_difference(sizes: Tensor, labels: Tensor) -> NullDistribution:
    """β3 = Σ_i d_i ‖y_i‖² under every column d of `labels`, of which the first is the observed one.

    Parameters
    ----------
    sizes
        ‖y_i‖², shape (N,).
    labels
        Shape (N, 1 + B).
    """
    # the weights add up to 0: centred, equal sizes such as those of one-hot rows give 0 and no rounding
    return compared(labels.T @ (sizes - sizes[0]), float(labels[:, 0].abs() @ sizes))


def norms_of_differences(
    gram: Gram, targets: Tensor, labels: Tensor
) -> tuple[NullDistribution, NullDistribution]:
    """max_k ‖v_k‖₂² and Σ_k ‖v_k‖₂² with v_k = −Σ_i d_i y_ik z_i under every column d of `labels`.

    Squared, and ``2**-exponent`` of the Gram matrix times that: the order is the same. Output k
    needs only the items with y_ik ≠ 0, which for class labels divides the work by their number.

    Parameters
    ----------
    targets
        Shape (N, K), float64.
    labels
        Shape (N, 1 + B); its first column is the observed one.
    """
    lengths = gram.diagonal().clamp(min=0).sqrt()
    groups = [(column.nonzero()[:, 0], column) for column in targets.T]
    forms = quadratic_forms(gram, groups, labels)
    sizes = torch.stack(
        [(labels[rows, 0] * column[rows]).abs() @ lengths[rows] for rows, column in groups]
    )
    largest = compared(forms.amax(0), float(sizes.max()) ** 2)
    return largest, compared(forms.sum(0), float(sizes.square().sum()))


def quadratic_forms(gram: Gram, groups: list[tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
    """``2**-exponent`` cᵀKc for each group and each column d of `labels`. Shape (groups, k), CPU.

    Tile by tile, all groups at once: no copy of K is made, and each block is read once.

    Parameters
    ----------
    groups
        Increasing positions of some items, shape (n,), and y, shape (N,): there c = d y, else 0.
    labels
        Shape (N, k), float64.
    """
    device, like = gram.device, labels.new_zeros((len(groups), labels.shape[1]))
    return gram.summed(lambda parts: _forms(parts, groups, labels, device), like).clamp(min=0).cpu()


def _forms(
    parts: Iterator[tuple[Tile, Tensor]],
    groups: list[tuple[Tensor, Tensor]],
    labels: Tensor,
    device: torch.device,
) -> Tensor:
    """What some tiles add."""
    total = labels.new_zeros((len(groups), labels.shape[1]), device=device)
    for tile, block in parts:
        for form, (rows, column) in zip(total, groups, strict=True):
            down, across = (_between(rows, part) for part in (tile.rows, tile.columns))
            if len(down) and len(across):
                top, side = (
                    (labels[chosen] * column[chosen, None]).to(device) for chosen in (down, across)
                )
                part = block.index_select(0, (down - tile.rows.start).to(device))
                part = part.index_select(1, (across - tile.columns.start).to(device)).double()
                form += (top * (part @ side)).sum(0) * (1 if tile.on_diagonal else 2)
    return total


def _between(rows: Tensor, part: slice) -> Tensor:
    """Those of the increasing `rows` that lie in `part`."""
    first, last = torch.searchsorted(rows, torch.tensor([part.start, part.stop])).tolist()
    return rows[first:last]
