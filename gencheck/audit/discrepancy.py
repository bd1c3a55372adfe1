"""The maximum mean discrepancy with a Gaussian kernel: what others compare two sets of items by."""

import torch
from torch import Tensor

from gencheck.audit.question import Labelled
from gencheck.spectral.kernel.tiles import upper_tiles

# Items that the kernel's scale is taken from at most, and the side of the blocks that are formed.
_SCALE_ITEMS = 2000
_TILE = 2048


def mean_discrepancies(
    sample: Labelled, reference: Labelled, device: str = "cpu"
) -> tuple[float, float]:
    """‖μ_S − μ_T‖ in the space of a Gaussian kernel: of the items alone, and of items with targets.

    √(dᵀKd) and √(Σ_k c_kᵀKc_k), K_ij = exp(−‖x_i − x_j‖² / s), s the median of the squared distances
    that are not 0, d = 1/m on S and −1/n on T, c_k = d ⊙ y_k. Both are the distances of the empirical
    means themselves (V-statistics), as ‖V‖_F is with the path kernel: a small set is further away by
    noise.
    Gretton et al., *A Kernel Two-Sample Test*, JMLR 2012 (cited from memory).

    K is formed block by block, 2,048 items a side, in the items' dtype, and summed in float64: beside
    the items themselves memory does not grow with their number, and time is that of (m + n)²/2 inner
    products. Of more than 2,000 items as many, at equal distances in S and then T, give the scale.

    Parameters
    ----------
    sample, reference
        Items of one shape, flattened; what a network makes of items will do as well.
    device
        Where blocks are formed.
    """
    items = torch.cat([sample.items, reference.items]).flatten(1).to(device)
    # what all items share only costs digits of the distances; in place, for this is a copy
    items -= items.mean(0)
    counts = (len(sample.items), -len(reference.items))
    weights = torch.cat([torch.full((abs(n),), 1 / n, dtype=torch.float64) for n in counts])
    targets = torch.cat([sample.targets, reference.targets]).cpu().double()
    coefficients = torch.cat([weights[:, None], weights[:, None] * targets], 1).to(device)
    scale = _scale(items)
    forms = coefficients.new_zeros(coefficients.shape[1])
    for tile in upper_tiles(len(items), _TILE):
        block = torch.exp(-_distances(items[tile.rows], items[tile.columns]) / scale).double()
        if tile.on_diagonal:
            block.fill_diagonal_(1)
        part = (coefficients[tile.rows] * (block @ coefficients[tile.columns])).sum(0)
        forms += part * (1 if tile.on_diagonal else 2)
    # rounding can leave a tiny negative number where the means agree
    alone, joint = forms[0].clamp(min=0), forms[1:].sum().clamp(min=0)
    return float(alone.sqrt()), float(joint.sqrt())


def _distances(rows: Tensor, columns: Tensor) -> Tensor:
    """‖x − x′‖² of every pair, at least 0."""
    squares = rows.square().sum(1)[:, None] + columns.square().sum(1)
    return (squares - 2 * rows @ columns.T).clamp(min=0)


def _scale(items: Tensor) -> Tensor:
    """The median of the squared distances that are not 0, between some items where there are many."""
    step = -(-len(items) // _SCALE_ITEMS)
    distances = _distances(items[::step], items[::step]).fill_diagonal_(0)
    apart = distances[distances > 0]
    # where all items are one, every scale gives the same kernel
    return apart.median() if len(apart) else distances.new_ones(())
