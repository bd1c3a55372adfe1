"""Small learnable data for tests of training."""

import torch
from torch import Tensor


def blobs(
    count: int, seed: int = 0, shape: tuple[int, ...] = (6,), classes: int = 3
) -> tuple[Tensor, Tensor]:
    """Items around one centre for each class, and one-hot targets."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn((classes, *shape), generator=torch.Generator().manual_seed(99)) * 1.5
    labels = torch.randint(classes, (count,), generator=generator)
    items = centres[labels] + torch.randn((count, *shape), generator=generator)
    return items, torch.eye(classes)[labels]
