"""The permutation test of the maximum mean discrepancy (MMD), and alibi-detect's beside it.

    python -m pip install alibi-detect
    python -m tests.benchmarks.mmd

Digits against digits that are made darker, sets of 50, as many relabellings for both: the p-values of
`mmd_p_value`, which the study of power uses, and of alibi-detect's `MMDDrift`, and how far they are apart
in standard errors of the relabelling.
"""

import math
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from gencheck.load.digits import load_digits
from gencheck.spectral.permutation import relabel

COUNT, PAIRS, ROUNDS = 50, 60, 2000


def squared_distances(items: Tensor) -> Tensor:
    flat = items.flatten(1)
    squares = flat.square().sum(1)
    return (squares[:, None] + squares - 2 * flat @ flat.T).clamp(min=0)


def mmd_p_value(distances: Tensor, rounds: int, seed: int) -> float:
    """(1 + #{permuted ≥ observed}) / (1 + B) of the unbiased MMD² of S and T, which are of one size.

    Gaussian kernel exp(−‖x − x'‖² / s), s the median of the squared distances within T, as
    alibi-detect's MMDDrift chooses it. For sets of one size MMD² is an increasing function of Σ_ij
    s_i s_j K_ij over i ≠ j, s = −1 on S and 1 on T.

    Parameters
    ----------
    distances
        Squared, between the pooled items, those of S first. Shape (2n, 2n).
    """
    count = len(distances) // 2
    pairs = torch.triu_indices(count, count, 1) + count
    kernel = torch.exp(-distances / distances[pairs[0], pairs[1]].median())
    kernel.fill_diagonal_(0)
    signs = torch.cat([-torch.ones(count), torch.ones(count)])
    labels = torch.cat([signs[:, None], relabel(signs, rounds, seed)], 1)
    values = (labels * (kernel @ labels)).sum(0)
    return (1 + int((values[1:] >= values[0]).sum())) / (1 + rounds)


def alibi_p_value(sample: Tensor, reference: Tensor, rounds: int, seed: int) -> float:
    """#{permuted ≥ observed} / B, as `MMDDrift` gives it."""
    torch.manual_seed(seed)
    detector = import_module("alibi_detect.cd").MMDDrift(
        reference.numpy(), backend="pytorch", n_permutations=rounds, device="cpu"
    )
    return float(detector.predict(sample.numpy())["data"]["p_val"])


def main() -> None:
    """Print both p-values of every pair of sets, and the distances between them."""
    images, _ = load_digits()
    items = torch.from_numpy(images.astype(np.float32)).flatten(1) / images.max()
    generator = torch.Generator().manual_seed(0)
    apart = []
    for pair in range(PAIRS):
        chosen = torch.randperm(len(items), generator=generator)[: 2 * COUNT]
        sets = items[chosen].split(COUNT)
        dark = sets[0] * (1 - 0.08 * pair / PAIRS)
        ours = mmd_p_value(squared_distances(torch.cat([dark, sets[1]])), ROUNDS, pair)
        theirs = alibi_p_value(dark, sets[1], ROUNDS, pair)
        share = max(1 / ROUNDS, (ours + theirs) / 2)
        error = math.sqrt(2 * share * max(1 / ROUNDS, 1 - share) / ROUNDS)
        apart.append((ours - theirs) / error)
        print(f"{ours:.4f} {theirs:.4f} {apart[-1]:+.2f}")
    print(f"standard errors apart: mean {np.mean(apart):+.2f}, root mean square ", end="")
    print(f"{np.sqrt(np.mean(np.square(apart))):.2f}, largest {np.abs(apart).max():.2f}")


if __name__ == "__main__":
    main()
