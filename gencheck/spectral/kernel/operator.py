"""What eigenvalue solvers need of a kernel between items, and the kernel of directions."""

from typing import Protocol

import torch
from torch import Tensor


class NormalisedGram:
    """D K D with D = diag(K)^(-1/2), carried out on a Gram matrix without a copy of it.

    An item with z = 0 has no direction: its row and column are 0.
    """

    exponent = 0

    def __init__(self, gram: "KernelOperator") -> None:
        self.gram, self.count, self.device = gram, gram.count, gram.device
        lengths = gram.diagonal().clamp(min=0).sqrt()
        self._scale = torch.where(lengths > 0, 1 / lengths, 0.0)

    def matmul(self, right: Tensor) -> Tensor:
        """The product with `right` of shape (N, k), in float64."""
        scale = self._scale.to(self.device)[:, None]
        return scale * self.gram.matmul(scale * right.to(self.device, torch.float64))

    def diagonal(self) -> Tensor:
        """1 where z ≠ 0. Shape (N,)."""
        return (self._scale > 0).double()


class KernelOperator(Protocol):
    """What eigenvalue solvers need of a kernel between N items."""

    @property
    def count(self) -> int:
        """N."""
        ...

    @property
    def exponent(self) -> int:
        """The power of two left out."""
        ...

    @property
    def device(self) -> torch.device:
        """Where products are formed."""
        ...

    def matmul(self, right: Tensor) -> Tensor:
        """``2**-exponent`` K A, float64."""
        ...

    def diagonal(self) -> Tensor:
        """``2**-exponent`` K(i, i), float64, on the CPU."""
        ...
