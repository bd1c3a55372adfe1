"""β1, what each item adds to it, and ‖v_k‖₂: from the whole Gram matrix, or from landmarks."""

import math
from dataclasses import dataclass

from torch import Tensor

from gencheck.audit.result import Beta1
from gencheck.bounds.magnitude import Magnitude
from gencheck.network.algebra import log2_path_count
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta1.lanczos import TopEigenvalue, has_kernel
from gencheck.spectral.beta1.landmarks import landmark_intervals
from gencheck.spectral.difference import Difference, squared_norms
from gencheck.spectral.kernel.cross_kernel import CrossKernel
from gencheck.spectral.kernel.gram import Gram


@dataclass(frozen=True)
class Moments:
    """What the second moments of z say about sample and reference.

    Attributes
    ----------
    products
        z_i·u of the pooled items with the direction u, ‖u‖ = 1, that attains β1's value. Shape (N,).
    exponent
        ``2**(exponent / 2)`` times `products` are the true ones.
    v_l2, v_l2_lower
        ‖v_k‖₂ of each output, its upper end where it is an interval, and then its lower end.
    pairs, nbytes
        Kernels that were evaluated, and the memory that they are kept in.
    """

    beta1: Beta1
    products: Tensor
    exponent: int
    v_l2: list[Magnitude]
    v_l2_lower: list[Magnitude] | None
    pairs: float
    nbytes: float


def moments_of_gram(
    gram: Gram, network: Network, difference: Difference, top: TopEigenvalue
) -> Moments:
    """From the whole Gram matrix and its top eigenpair: exact up to the solver's residual."""
    squares = squared_norms(gram, difference.target_weights()).tolist()
    return Moments(
        beta1=_beta1(top, gram, network),
        # u = Σ_i a_i z_i, so that z_i·u = (K a)_i
        products=gram.matmul(top.vector[:, None])[:, 0].cpu(),
        exponent=gram.exponent,
        v_l2=[Magnitude.of(square, gram.exponent).sqrt() for square in squares],
        v_l2_lower=None,
        pairs=gram.count * (gram.count + 1) / 2,
        nbytes=float(gram.nbytes),
    )


def moments_of_landmarks(
    kernel: CrossKernel,
    network: Network,
    difference: Difference,
    count: int,
    *,
    seed: int,
    progress: Progress = SILENT,
) -> Moments:
    """From `count` landmark items, in time and memory linear in N: two-sided intervals.

    β1's value is its lower end, which a direction of the landmarks' span attains.
    """
    found = landmark_intervals(
        kernel,
        difference.weights(),
        difference.target_weights(),
        count,
        seed=seed,
        progress=progress,
    )
    total = len(difference.targets)
    lower = found.lower
    if log2_path_count(network) > math.log2(total) + 0.5:
        # some direction of path space is orthogonal to all items
        lower = max(lower, 0.0)
    upper = max(found.upper, lower)
    ends = [
        [Magnitude.of(max(square, 0.0), found.exponent).sqrt() for square in squares.tolist()]
        for squares in (found.squares_lower, found.squares_upper)
    ]
    beta1 = Beta1(
        value=Magnitude.of(lower, found.exponent),
        lower=Magnitude.of(lower, found.exponent),
        upper=Magnitude.of(upper, found.exponent),
        residual=Magnitude.of(upper - lower, found.exponent),
        iterations=min(count, total),
        method="landmarks",
    )
    return Moments(
        beta1=beta1,
        products=found.products,
        exponent=found.exponent,
        v_l2=ends[1],
        v_l2_lower=ends[0],
        pairs=found.pairs,
        nbytes=found.nbytes,
    )


def _beta1(top: TopEigenvalue, gram: Gram, network: Network) -> Beta1:
    """β1 from the span of the items' path features to all of path space."""
    value, lower, upper = top.value, top.value, top.value + top.residual
    if value < 0 and has_kernel(gram, network):
        # outside the span of the items' features the operator is zero
        value, lower, upper = 0.0, 0.0, 0.0
    elif value < 0 and has_kernel(gram, network) is None:
        value = upper = 0.0
    return Beta1(
        value=Magnitude.of(value, top.exponent),
        lower=Magnitude.of(lower, top.exponent),
        upper=Magnitude.of(upper, top.exponent),
        residual=Magnitude.of(top.residual, top.exponent),
        iterations=top.iterations,
        method="lanczos",
    )
