"""What an audit may say about the distribution itself: asked for, measured, put together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

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
from gencheck.checks import require_between
from gencheck.errors import InputError
from gencheck.network.algebra import log2_path_count
from gencheck.network.features import (
    require_unit_gates,
    squared_feature_norm,
    starts_at_constants,
)
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.result import Certified, PathNorms
from gencheck.spectral.eigen import top_eigenvalue
from gencheck.spectral.gram import Gram

# Rows that are widened to float64 at one time.
_ROWS = 4096


@dataclass(frozen=True)
class CertificateRequest:
    """The confidence asked for, and what was declared of every input and target there can be.

    Attributes
    ----------
    confidence
        The probability, over the draw of the sample, with which everything certified holds.
    input_range
        The ends A and B of the interval that every coordinate of every input lies in.
    target_range
        The same for targets that are values to regress; one-hot targets need none.
    """

    confidence: float
    input_range: tuple[float, float]
    target_range: tuple[float, float] | None = None


def certificate_request(
    certify: bool,
    confidence: float | None,
    input_range: tuple[float, float] | None,
    target_range: tuple[float, float] | None,
    gates_independent: bool,
) -> CertificateRequest | None:
    """What the options ask for; None without `certify`.

    Raises
    ------
    InputError
        The gates are not declared independent, a range is missing or empty, the confidence is no
        probability, or an option stands without `certify`.
    """
    if not certify:
        given = {
            "--confidence": confidence,
            "--input-range": input_range,
            "--target-range": target_range,
        }
        for name, value in given.items():
            if value is not None:
                raise InputError(
                    where=name, found="no --certify", required="both, since it is of no use alone"
                )
        return None
    if not gates_independent:
        raise InputError(
            where="--certify",
            found="gates that may have seen the sample",
            required="gates that are independent of it: gates that were trained on the sample have "
            "adapted to it, and no figure of it then says anything about the distribution",
            remedy="Train in two phases (the gates on one part of the data, the weights on another) "
            "and audit on items that the gates' part did not have; where that is so, declare it "
            "with --gates-independent.",
        )
    if input_range is None:
        raise InputError(
            where="--certify",
            found="no --input-range",
            required="--input-range A B, the interval that every coordinate of every input lies in",
            remedy="Images whose bytes were divided by 255 lie in 0 1.",
        )
    confidence = 0.95 if confidence is None else confidence
    require_between("--confidence", confidence, 0, 1, open_low=True, open_high=True)
    _require_interval("--input-range", input_range)
    if target_range is not None:
        _require_interval("--target-range", target_range)
    return CertificateRequest(confidence, input_range, target_range)


def _require_interval(name: str, ends: tuple[float, float]) -> None:
    # squares of what lies beyond leave the range of floats
    require_between(f"{name}, lower end", ends[0], -1e100, 1e100)
    require_between(f"{name}, upper end", ends[1], ends[0], 1e100, open_low=True)


def require_certifiable(
    network: Network, items: Tensor, targets: Tensor, task: str, request: CertificateRequest
) -> None:
    """Do nothing where the request fits the network, the pooled items and their targets.

    Raises
    ------
    InputError
        A gate leaves [0, 1], an item or a target lies outside the range declared, a regression has
        no range of targets, or a classification has one.
    """
    require_unit_gates(network)
    if task == "regression" and request.target_range is None:
        raise InputError(
            where="--certify",
            found="values to regress and no --target-range",
            required="--target-range A B, the interval that every target lies in",
        )
    if task != "regression" and request.target_range is not None:
        raise InputError(where="--target-range", found="class labels", required="values to regress")
    _require_within("--input-range", "input", items, request.input_range)
    if request.target_range is not None:
        _require_within("--target-range", "target", targets, request.target_range)


def _require_within(name: str, noun: str, rows: Tensor, ends: tuple[float, float]) -> None:
    low, high = (torch.tensor(end, dtype=torch.float64).to(rows) for end in ends)
    flat = rows.reshape(len(rows), -1)
    bad = ((flat < low) | (flat > high)).any(1)
    if bool(bad.any()):
        row = int(bad.int().argmax())
        wrong = flat[row][(flat[row] < low) | (flat[row] > high)]
        raise InputError(
            where=f"{name} {ends[0]:g} {ends[1]:g}",
            found=f"{noun} {row} of the pooled items with {float(wrong[0]):g}",
            required="a range that every item lies in, also those never seen",
        )


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
    moments = _moments(gram, len(items), log_paths, square_bound, seed, progress)
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
    largest = torch.zeros((), dtype=torch.float64)
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
