"""Regularisers that follow from the data-dependent bound: DARC and DARC1."""

import torch
from torch import Tensor, nn

from gencheck.errors import InputError


class DARC1(nn.Module):
    """(λ/m) · max_k Σ_i |h_k(x_i)|, from the logits h of a mini-batch of m items.

    The sum over items of each output's magnitude, at the largest output: an upper end of DARC, for a
    sign can do no better than agree. It adds to the loss of a plain training loop:
    ``loss = criterion(logits, labels) + darc1(logits)``.

    Parameters
    ----------
    lam
        λ, at least 0.

    Raises
    ------
    InputError
        λ is negative or not finite; at a call: logits are not of shape (m, K).

    Source: Kawaguchi, Kaelbling & Bengio, "Generalization in Deep Learning", section on DARC.
    """

    def __init__(self, lam: float) -> None:
        super().__init__()
        self.lam = _checked(lam)

    def forward(self, logits: Tensor) -> Tensor:
        """A scalar; float32 for logits of half precision, whose sums would overflow."""
        values = _matrix(logits)
        return self.lam / len(values) * values.abs().sum(0).max()


class DARC(nn.Module):
    """(λ/m) · E_ξ[ sup_k Σ_i ξ_i h_k(x_i) ] with signs ξ_i of ±1, the mean over some draws of ξ.

    The empirical Rademacher complexity of the outputs at hand, which the supremum over k alone makes.

    Parameters
    ----------
    lam
        λ, at least 0.
    draws
        How many draws of the signs the expectation is the mean of, at least 1.
    generator
        What the signs are drawn from; by default torch's own on the logits' device.

    Raises
    ------
    InputError
        λ is negative or not finite, no draws; at a call: logits are not of shape (m, K).

    Source: as for `DARC1`.
    """

    def __init__(
        self, lam: float, draws: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.lam = _checked(lam)
        if draws < 1:
            raise InputError(where="DARC, draws", found=str(draws), required="at least 1")
        self.draws, self.generator = draws, generator

    def forward(self, logits: Tensor) -> Tensor:
        """A scalar; float32 for logits of half precision."""
        values = _matrix(logits)
        device = values.device if self.generator is None else self.generator.device
        shape = (self.draws, len(values))
        bits = torch.randint(2, shape, generator=self.generator, device=device)
        signs = (2 * bits - 1).to(values)
        return self.lam / len(values) * (signs @ values).max(1).values.mean()


def _checked(lam: float) -> float:
    if not 0 <= lam < float("inf"):
        raise InputError(where="DARC, lam", found=f"{lam:g}", required="a finite number from 0 on")
    return float(lam)


def _matrix(logits: Tensor) -> Tensor:
    """The logits in a precision that sums of them fit into."""
    if logits.dim() != 2 or 0 in logits.shape or not logits.is_floating_point():
        raise InputError(
            where="DARC, logits",
            found=f"{logits.dtype} of shape {tuple(logits.shape)}",
            required="floating point of shape (m, K), one row an item",
        )
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
