"""The maximum mean discrepancy with a Gaussian kernel: what others compare two sets of items by."""

import torch
from torch import Tensor

from gencheck.audit.question import Labelled


def mean_discrepancies(sample: Labelled, reference: Labelled) -> tuple[float, float]:
    """‖μ_S − μ_T‖ in the space of a Gaussian kernel: of the items alone, and of items with targets.

    √(dᵀKd) and √(Σ_k c_kᵀKc_k), K_ij = exp(−‖x_i − x_j‖² / s), s the median of all squared distances
    that are not 0, d = 1/m on S and −1/n on T, c_k = d ⊙ y_k. Both are the distances of the empirical
    means themselves (V-statistics), as ‖V‖_F is with the path kernel: a small set is further away by
    noise.
    Gretton et al., *A Kernel Two-Sample Test*, JMLR 2012 (cited from memory).

    Parameters
    ----------
    sample, reference
        Items of one shape, flattened; what a network makes of items will do as well.
    """
    items = torch.cat([sample.items, reference.items]).flatten(1)
    counts = (len(sample.items), -len(reference.items))
    weights = torch.cat([torch.full((abs(n),), 1 / n, dtype=torch.float64) for n in counts])
    targets = torch.cat([sample.targets, reference.targets]).cpu().double()
    coefficients = weights[:, None] * targets
    kernel = _gaussian(items).double().cpu()
    # rounding can leave a tiny negative number where the means agree
    alone = (weights @ kernel @ weights).clamp(min=0)
    joint = (coefficients * (kernel @ coefficients)).sum().clamp(min=0)
    return float(alone.sqrt()), float(joint.sqrt())


def _gaussian(items: Tensor) -> Tensor:
    squares = items.square().sum(1)
    distances = (squares[:, None] + squares - 2 * items @ items.T).clamp(min=0)
    distances.fill_diagonal_(0)
    apart = distances[distances > 0]
    # where all items are one, every scale gives the same kernel
    scale = apart.median() if len(apart) else distances.new_ones(())
    return torch.exp(-distances / scale)
