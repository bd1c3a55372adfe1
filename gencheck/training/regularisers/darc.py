"""Directly approximately regularising complexity: loss terms on a mini-batch of outputs."""

import math

import torch
from torch import Tensor, nn

from gencheck.arguments import require_between
from gencheck.errors import InputError

SOURCE = (
    "Kawaguchi, Kaelbling & Bengio, Generalization in Deep Learning (arXiv 1710.05468), the section "
    "on directly approximately regularizing complexity (DARC)"
)


class DARC1(nn.Module):
    """(λ/m) max_k Σ_i |h_k(x_i)|: what DARC is at most, since no sign makes a term larger than |h|.

    A loss term: ``loss = cross_entropy(logits, labels) + DARC1(lam)(logits)``.

    Parameters
    ----------
    lam
        λ ≥ 0, in units of the loss per unit of the outputs.

    Raises
    ------
    InputError
        λ is negative or not finite.

    Notes
    -----
    ``forward`` takes the outputs h of one mini-batch, of shape (m, K), before any softmax, and
    returns a scalar, differentiable in them. Half-precision outputs are summed in float32, and the
    scalar is float32 then. Where several outputs k attain the maximum the gradient is shared equally
    among them, which is a subgradient. Source: Kawaguchi, Kaelbling & Bengio, arXiv 1710.05468, the
    section on DARC.
    """

    def __init__(self, lam: float) -> None:
        super().__init__()
        self.lam = require_between("lam of DARC1", lam, 0)

    def extra_repr(self) -> str:
        """λ, for the printed form of the module."""
        return f"lam={self.lam:g}"

    def forward(self, logits: Tensor) -> Tensor:
        """The term for one mini-batch: (m, K) to a scalar.

        Raises
        ------
        InputError
            The outputs are not floating-point numbers of shape (m, K) with m, K ≥ 1.
        """
        return self.lam * largest_mean_magnitude(logits, "logits given to DARC1")


class DARC(nn.Module):
    """(λ/m) E_ξ[max_k Σ_i ξ_i h_k(x_i)], ξ_i independent signs, the mean over `draws` draws of ξ.

    An unbiased estimate of the empirical Rademacher complexity of the outputs' class {h_1, …, h_K}
    on the mini-batch, times λ; its standard deviation falls with √draws.

    Parameters
    ----------
    lam
        λ ≥ 0, in units of the loss per unit of the outputs.
    draws
        How many vectors of m signs are drawn in each call.
    generator
        Draws the signs, on its own device; None for torch's global generator.

    Raises
    ------
    InputError
        λ is negative or not finite, or `draws` is not a whole number of at least 1.

    Notes
    -----
    ``forward`` as for `DARC1`. Never more than `DARC1` with the same λ. Automatic mixed precision
    does not reach the sums: they are float32 or wider. Source: as for `DARC1`.
    """

    def __init__(
        self, lam: float, draws: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.lam = require_between("lam of DARC", lam, 0)
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise InputError(
                where="draws of DARC", found=repr(draws), required="a whole number of at least 1"
            )
        self.draws, self.generator = draws, generator

    def extra_repr(self) -> str:
        """λ and the draws, for the printed form of the module."""
        return f"lam={self.lam:g}, draws={self.draws}"

    def forward(self, logits: Tensor) -> Tensor:
        """The term for one mini-batch: (m, K) to a scalar.

        Raises
        ------
        InputError
            The outputs are not floating-point numbers of shape (m, K) with m, K ≥ 1.
        """
        outputs = _wide(logits, "logits given to DARC")
        device = outputs.device if self.generator is None else self.generator.device
        shape = (self.draws, len(outputs))
        bits = torch.randint(2, shape, generator=self.generator, device=device)
        signs = (2 * bits - 1).to(outputs)
        # an autocast region would multiply in half precision, where sums of m outputs overflow
        with torch.autocast(outputs.device.type, enabled=False):
            suprema = (signs @ outputs).amax(1)
        return self.lam * suprema.mean() / len(outputs)


def largest_mean_magnitude(logits: Tensor, where: str = "logits") -> Tensor:
    """(1/m) max_k Σ_i |h_k(x_i)| of outputs of shape (m, K), a scalar: DARC1 at λ = 1.

    Raises
    ------
    InputError
        The outputs are not floating-point numbers of shape (m, K) with m, K ≥ 1.
    """
    outputs = _wide(logits, where)
    return outputs.abs().sum(0).amax() / len(outputs)


def _wide(logits: Tensor, where: str) -> Tensor:
    """The outputs, checked, in float32 where they are of half precision."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        found = str(logits.dtype) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(where=where, found=found, required="a tensor of floating-point numbers")
    if logits.ndim != 2 or math.prod(logits.shape) == 0:
        raise InputError(
            where=where,
            found=f"shape {tuple(logits.shape)}",
            required="shape (m, K): m items in the mini-batch and K outputs, both at least 1",
            remedy="Flatten other axes into the items: logits.flatten(0, -2).",
        )
    return logits.float() if logits.dtype in {torch.float16, torch.bfloat16} else logits
