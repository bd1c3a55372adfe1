"""A validation guarantee from what the user has: numbers, losses or predictions."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencheck.arguments import log_of_count, require_between, whole_number
from gencheck.bounds.bound import Bound
from gencheck.bounds.solve import Solution, fewest_items, largest_class, smallest_delta
from gencheck.bounds.validation import (
    FIXED_CLASS,
    Evidence,
    certified_name,
    count_of,
    validation_bounds,
    with_items,
)
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.load.losses import Losses


@dataclass(frozen=True)
class ValidationRequest:
    """What the user asks; None where an option was not given. See the command's options."""

    m_val: str | None = None
    n_models: str | None = None
    log_n_models: float | None = None
    adaptive_rounds: int | None = None
    scores_per_round: float | None = None
    delta: float = 0.05
    val_error: float | None = None
    c: float | None = None
    gamma2: float | None = None
    loss: str | None = None
    loss_range: tuple[float, float] | None = None
    losses: Path | None = None
    predictions: Path | None = None
    seed: int = 0
    solve: str | None = None
    target: float | None = None


@dataclass(frozen=True)
class ValidationResult:
    """The bounds, which of them is certified, and the answer to `--solve`.

    Attributes
    ----------
    evidence
        What the bounds were computed from; after solving for m, the evidence at the solution.
    log_models
        ln|F|.
    bounds
        Empty where `--solve m-val` has no answer to evaluate them at.
    """

    evidence: Evidence
    log_models: float
    delta: float
    bounds: tuple[Bound, ...]
    solution: Solution | None
    record: dict[str, Any]

    @property
    def certified(self) -> Bound | None:
        """The bound to certify, by the rule fixed in advance."""
        name = certified_name(self.evidence)
        return next((bound for bound in self.bounds if bound.name == name), None)


def validation_result(request: ValidationRequest) -> ValidationResult:
    """The validation guarantee that a request asks for.

    Raises
    ------
    InputError
        An option is out of range, missing, or in conflict with another; a file cannot be used.
    """
    require_between("--delta", request.delta, 0, 1, open_low=True, open_high=True)
    log_models, class_assumption = _log_models(request)
    evidence, record = _evidence(request, class_assumption)
    solution = _solution(request, evidence, log_models)
    delta, evidence_at, log_at = request.delta, evidence, log_models
    if solution is not None and solution.value is not None:
        if solution.variable == "m-val":
            evidence_at = with_items(evidence, int(solution.value))
        elif solution.variable == "n-models":
            log_at = math.log(solution.value)
        else:
            delta = solution.value
    elif solution is not None and solution.log10 is not None and solution.variable == "n-models":
        log_at = solution.log10 * math.log(10)
    bounds: tuple[Bound, ...] = ()
    if evidence_at.m > 0:
        bounds = _finite(validation_bounds(evidence_at, log_at - math.log(delta)))
    return ValidationResult(evidence_at, log_at, delta, bounds, solution, record)


def _finite(bounds: tuple[Bound, ...]) -> tuple[Bound, ...]:
    for bound in bounds:
        if not math.isfinite(bound.risk):
            raise InputError(
                where=f"the number of models, --c, --gamma2 and --loss-range, by way of {bound.name}",
                found="a bound past 1e308",
                required="numbers that keep it in the range of floats",
            )
    return bounds


def _log_models(request: ValidationRequest) -> tuple[float, str]:
    """ln|F| and the assumption that makes it so."""
    rounds, scores = request.adaptive_rounds, request.scores_per_round
    given = _options_given(request)
    if (rounds is None) != (scores is None):
        raise InputError(
            where="--adaptive-rounds and --scores-per-round", found="one", required="both"
        )
    if request.solve == "n-models":
        for name in given:
            raise InputError(
                where=name, found="a value", required="nothing, since --solve n-models seeks it"
            )
        return 0.0, FIXED_CLASS
    if len(given) > 1:
        raise InputError(where=" and ".join(given), found="both", required="one of them")
    if rounds is not None and scores is not None:
        require_between("--adaptive-rounds", rounds, 1)
        require_between("--scores-per-round", scores, 2)
        return rounds * math.log(scores), (
            f"models were tried in {rounds} rounds, each of which revealed at most one of "
            f"{scores:g} distinguishable scores, and nothing else of the validation items"
        )
    if request.log_n_models is not None:
        return require_between("--log-n-models", request.log_n_models, 0), FIXED_CLASS
    if request.n_models is not None:
        return log_of_count("--n-models", request.n_models), FIXED_CLASS
    raise InputError(
        where="--n-models",
        found="nothing",
        required="the number of models tried, --log-n-models, or --adaptive-rounds",
        remedy="Count every model and setting that was compared on these items; 1 for a single one.",
    )


def _evidence(request: ValidationRequest, class_assumption: str) -> tuple[Evidence, dict[str, Any]]:
    low, high = _range(request)
    record: dict[str, Any] = {"loss": "zero-one" if _is_binary(request) else "bounded"}
    if request.losses is not None or request.predictions is not None:
        values = _losses_from_files(request, record)
        evidence = _evidence_of_losses(request, values, low, high)
    else:
        evidence = _evidence_of_numbers(request, low, high, record)
    for name, value in (("--c", request.c), ("--gamma2", request.gamma2)):
        if value is not None:
            require_between(name, value, 0, open_low=True)
    record |= {"m_val": evidence.m or None, "val_error": low + (high - low) * evidence.mean}
    if evidence.binary and evidence.m:
        record["errors"] = evidence.count
    changed = replace(
        evidence,
        c=request.c,
        gamma2=request.gamma2,
        seed=request.seed,
        class_assumption=class_assumption,
    )
    return changed, record


def _is_binary(request: ValidationRequest) -> bool:
    return request.loss != "bounded" and request.loss_range is None


def _range(request: ValidationRequest) -> tuple[float, float]:
    if request.loss_range is None:
        return 0.0, 1.0
    low, high = request.loss_range
    require_between("--loss-range, lower end", low, -math.inf)
    require_between("--loss-range, upper end", high, low, open_low=True)
    require_between("--loss-range, its width", high - low, 1e-300)
    if request.loss == "zero-one":
        raise InputError(
            where="--loss zero-one and --loss-range", found="both", required="one of them"
        )
    if request.predictions is not None:
        raise InputError(
            where="--loss-range and --predictions", found="both", required="one of them"
        )
    return low, high


def _losses_from_files(request: ValidationRequest, record: dict[str, Any]) -> "Losses":
    from gencheck.load.digest import sha256_of
    from gencheck.load.losses import load_losses, load_predictions

    if request.losses is not None and request.predictions is not None:
        raise InputError(where="--losses and --predictions", found="both", required="one of them")
    for name, value in (("--m-val", request.m_val), ("--val-error", request.val_error)):
        if value is not None:
            raise InputError(
                where=name,
                found=f"{value} beside a file",
                required="the file alone, which gives it",
            )
    if request.predictions is not None:
        if request.loss == "bounded":
            raise InputError(
                where="--loss bounded",
                found="--predictions, whose loss is 0 or 1",
                required="--loss zero-one",
            )
        predictions = load_predictions(request.predictions)
        record |= {"ties": predictions.ties}
        path, values = request.predictions, predictions.losses
    else:
        assert request.losses is not None
        path, values = request.losses, load_losses(request.losses)
    record["file"] = {"path": str(path), "sha256": sha256_of(path)}
    return values


def _evidence_of_losses(
    request: ValidationRequest, values: "Losses", low: float, high: float
) -> Evidence:
    binary = _is_binary(request)
    bad = (values != 0) & (values != 1) if binary else (values < low) | (values > high)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            where=f"{request.losses}, row {row}",
            found=f"loss {values[row]:g}",
            required="0 or 1" if binary else f"a loss from {low:g} to {high:g}",
            remedy=(
                "For losses between 0 and 1 pass --loss bounded."
                if binary
                else "State the loss's range with --loss-range LOW HIGH."
            ),
        )
    scaled = (values - low) / (high - low)
    return Evidence(len(scaled), float(scaled.mean()), binary, scaled, low, high)


def _evidence_of_numbers(
    request: ValidationRequest, low: float, high: float, record: dict[str, Any]
) -> Evidence:
    error = low if request.val_error is None else request.val_error
    require_between("--val-error", error, low, high)
    mean, binary = (error - low) / (high - low), _is_binary(request)
    if request.solve == "m-val":
        if request.m_val is not None:
            raise InputError(
                where="--m-val", found="a number", required="nothing, since --solve m-val seeks it"
            )
        # no items yet: the evidence at the solution follows
        return Evidence(0, mean, binary, None, low, high)
    if request.m_val is None:
        raise InputError(
            where="--m-val",
            found="nothing",
            required="the number of validation items, or --losses or --predictions",
        )
    m = whole_number("--m-val", request.m_val)
    if binary:
        count = count_of(m, mean)
        if abs(count - m * mean) > 1e-6 * max(1.0, m * mean):
            record["rounded"] = f"{m} · {error:g} = {m * mean:g} errors, rounded up to {count}"
        mean = count / m
    return Evidence(m, mean, binary, None, low, high)


def _solution(request: ValidationRequest, evidence: Evidence, log_models: float) -> Solution | None:
    if request.solve is None:
        if request.target is not None:
            raise InputError(where="--target", found="no --solve", required="both")
        return None
    if request.target is None:
        raise InputError(
            where="--solve", found="no --target", required="--target RISK, the risk to certify"
        )
    if request.solve == "m-val" and evidence.losses is not None:
        raise InputError(
            where="--solve m-val",
            found="a file, which fixes the number of items",
            required="--val-error",
        )
    require_between("--target", request.target, evidence.low, evidence.high)
    target = (request.target - evidence.low) / evidence.width
    if request.solve == "n-models":
        return largest_class(evidence, target, request.delta)
    if request.solve == "delta":
        return smallest_delta(evidence, target, log_models)
    level = log_models - math.log(request.delta)
    return fewest_items(evidence.mean, evidence.binary, target, level)


def _options_given(request: ValidationRequest) -> list[str]:
    """The options by which the number of models was given."""
    options = {
        "--n-models": request.n_models,
        "--log-n-models": request.log_n_models,
        "--adaptive-rounds": request.adaptive_rounds,
    }
    return [name for name, value in options.items() if value is not None]
