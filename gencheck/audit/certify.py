"""What an audit may say about the distribution itself: measured, and put together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gencheck.audit.certificate_request import CertificateRequest
from gencheck.audit.result import Certified, PathNorms
from gencheck.bounds.bernstein import (
    CertifiedBeta1,
    CertifiedBeta2,
    FeatureMoments,
    certified_beta1,
    certified_beta2,
    certified_beta3,
)
from gencheck.bounds.concentrated import GapBound, data_dependent_bound
from gencheck.bounds.magnitude import Magnitude
from gencheck.errors import SelfCheckError
from gencheck.network.algebra import log2_path_count
from gencheck.network.features import squared_feature_norm, starts_at_constants
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.kernel.gram import Gram

# Rows that are widened to float64 at one time.
_ROWS = 4096
# How far rounding may carry an item's ‖z‖² past what it cannot exceed.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class CertifiedBetas:
    """Upper bounds on β1, β2 and β3 against the distribution, all of which hold at once."""

    request: CertificateRequest
    square_bound: Magnitude
    beta1: CertifiedBeta1
    beta2: CertifiedBeta2
    beta3: float


def certified_betas(
    network: Network,
    items: Tensor,
    targets: Tensor,
    gram: Gram,
    request: CertificateRequest,
    seed: int = 0,
    progress: Progress = SILENT,
) -> CertifiedBetas:
    """β1, β2 and β3 against the distribution, at the confidence asked for.

    One half of δ goes to each of β1 and β2 where targets are one-hot, for then β3 is 0 for sure; one
    third to each of the three otherwise.

    Parameters
    ----------
    items, targets
        The sample as it enters the network, shape (m, *input_shape), and y, shape (m, K).
    gram
        Of the pooled items, of which the sample is the first.

    Raises
    ------
    SelfCheckError
        An item's ‖z‖² exceeds what no input's in the range can: a defect of ours.
    """
    one_hot = request.target_range is None
    level = math.log(2 if one_hot else 3) - math.log1p(-request.confidence)
    low, high = request.target_range or (0.0, 1.0)
    constants = starts_at_constants(network)
    reach = max(abs(end) for end in request.input_range)
    square_bound = Magnitude.of(*squared_feature_norm(network, reach))
    log_paths = log2_path_count(network) * math.log(2)
    beta2 = certified_beta2(
        count=len(items),
        log_paths=log_paths,
        outputs=network.output_count,
        coordinates=network.widths[0] + constants,
        product_range=_product_range(request.input_range, constants, (low, high)),
        second=_largest_second_moment(items, targets, constants),
        level=level,
    )
    moments = _moments(
        gram,
        len(items),
        log_paths=log_paths,
        square_bound=square_bound,
        seed=seed,
        progress=progress,
    )
    squares = (0.0 if low <= 0 <= high else min(low**2, high**2), max(low**2, high**2))
    width = 0.0 if one_hot else network.output_count * (squares[1] - squares[0])
    beta3 = certified_beta3(len(items), width, level)
    return CertifiedBetas(request, square_bound, certified_beta1(moments, level), beta2, beta3)


def _product_range(
    inputs: tuple[float, float], constants: bool, targets: tuple[float, float]
) -> tuple[float, float]:
    """What y_k z_p lies within, for gates in [0, 1] and paths from inputs or constants."""
    low, high = min(0.0, inputs[0]), max(float(constants), inputs[1])
    products = [feature * target for feature in (low, high) for target in targets]
    # a gate may close
    return min(0.0, *products), max(0.0, *products)


def _largest_second_moment(items: Tensor, targets: Tensor, constants: bool) -> float:
    """The largest mean of y_k² x_i² over outputs k and coordinates i, x = 1 for the constants."""
    total = torch.zeros((targets.shape[1], items[0].numel()), dtype=torch.float64)
    squares = targets.double().square().cpu()
    for start in range(0, len(items), _ROWS):
        rows = items[start : start + _ROWS].reshape(-1, total.shape[1]).double().cpu().square()
        total += squares[start : start + _ROWS].T @ rows
    largest = total.max() / len(items)
    if constants:
        largest = torch.maximum(largest, squares.mean(0).max())
    return float(largest)


def _moments(
    gram: Gram,
    count: int,
    log_paths: float,
    square_bound: Magnitude,
    seed: int,
    progress: Progress,
) -> FeatureMoments:
    squares = gram.diagonal()
    largest = Magnitude.of(float(squares.max()), gram.exponent)
    if not largest <= square_bound * Magnitude.of(1 + _ROUNDING):
        raise SelfCheckError(
            f"self-check: an item has ‖z‖² = 10^{largest.log10():.3f}, above the "
            f"10^{square_bound.log10():.3f} that no input in the range can exceed. This is a defect "
            "of gencheck: please report it."
        )
    # of the order of 1, so that the solver's tolerances mean what they say
    scale = float(squares[:count].max()) or 1.0
    weights = torch.zeros_like(squares)
    weights[:count] = squares[:count] / (scale * count)
    top = top_eigenvalue(gram, weights, seed, progress=progress)
    size = Magnitude.of(scale, gram.exponent)
    return FeatureMoments(
        count=count,
        log_paths=log_paths,
        square_bound=square_bound,
        second=Magnitude.of(max(top.value, 0.0) + top.residual, top.exponent) * size,
        fourth=size * size * Magnitude.of(float((squares[:count] / scale).square().mean())),
    )


def certified(
    betas: CertifiedBetas, norms: PathNorms, sample_risk: float, largest_loss: float
) -> Certified:
    """The bound on the population risk, R ≤ R_S + β1 Σ_k‖w_k‖₂² + 2 β2 Σ_k‖w_k‖₁ + β3.

    It holds for all weights at once, also for those trained on the sample: the betas depend on the
    gates and the data alone.

    Parameters
    ----------
    sample_risk
        R_S, the mean squared loss on the sample.
    largest_loss
        Of any pooled item; a regression's bound from there on is called vacuous.
    """
    gap: GapBound = data_dependent_bound(
        betas.beta1.value,
        betas.beta2.value,
        betas.beta3,
        list(norms.l2_squared_per_output),
        list(norms.l1_per_output),
    )
    risk = gap.value + Magnitude.of(sample_risk)
    one_hot = betas.request.target_range is None
    # with one-hot targets a wrong arg-max costs at least ½ in squared loss
    error = Magnitude.of(2.0) * risk if one_hot else None
    limit = Magnitude.of(0.5 if one_hot else largest_loss)
    return Certified(
        confidence=betas.request.confidence,
        delta=1 - betas.request.confidence,
        beta1=betas.beta1.value,
        beta2=betas.beta2.value,
        beta3=betas.beta3,
        square_bound=betas.square_bound,
        bound=risk,
        zero_one=error,
        beta1_forms=betas.beta1.forms,
        forms={
            "beta1": betas.beta1.form,
            "beta2": betas.beta2.form,
            "beta3": "constant" if one_hot else "hoeffding",
        },
        assumptions=_assumptions(betas.request),
        vacuous=limit <= risk,
    )


def _assumptions(request: CertificateRequest) -> tuple[str, ...]:
    low, high = request.input_range
    target = "targets are one-hot, which those of S and T are"
    if request.target_range is not None:
        a, b = request.target_range
        target = f"every coordinate of every target lies in [{a:g}, {b:g}] (checked on S and T)"
    return (
        "the items of S are independent draws from the distribution that the risk is meant for",
        "the gates were fixed without sight of S; the weights need not be",
        f"every coordinate of every input lies in [{low:g}, {high:g}] (checked on S and T)",
        target,
        "floating-point sums stand for exact ones; the eigenvalue solver's residual is added",
    )
