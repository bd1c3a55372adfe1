"""What a user has of her validation items: numbers, losses or predictions."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gencheck.arguments import require_between, whole_number
from gencheck.bounds.evidence import Evidence, count_of
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.load.item_scores import ScoreKeys
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
    id_key: str | None = None
    label_key: str | None = None
    prediction_key: str | None = None
    scores: Path | None = None
    score_key: str | None = None
    cluster_key: str | None = None
    stratify_key: str | None = None
    weight_key: str | None = None
    max_weight: float | None = None
    mean_over: str = "groups"
    max_group_risk: float | None = None
    study: Path | None = None
    name: str | None = None
    metric: str | None = None
    direction: str | None = None
    count: str | None = None
    seed: int = 0
    solve: str | None = None
    target: float | None = None


def evidence_of(
    request: ValidationRequest, class_assumption: str, seen: Evidence | None = None
) -> tuple[Evidence, dict[str, Any]]:
    """The evidence that a request holds, and what is worth recording of how it came about.

    Parameters
    ----------
    seen
        The evidence, where scores item by item gave it.

    Raises
    ------
    InputError
        A number is out of range or missing, options conflict, or a file cannot be used.
    """
    for option, key in (
        ("--label-key", request.label_key),
        ("--prediction-key", request.prediction_key),
    ):
        if key is not None and request.predictions is None:
            raise InputError(
                where=option, found="no --predictions", required="the file whose column it names"
            )
    low, high = _range(request)
    record: dict[str, Any] = {"loss": "zero-one" if _is_binary(request) else "bounded"}
    if seen is not None:
        evidence, low, high = seen, seen.low, seen.high
    elif request.losses is not None or request.predictions is not None:
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


def score_keys(
    loss: str | None,
    loss_range: tuple[float, float] | None,
    *,
    holds: str = "scores",
    **columns: str | None,
) -> "ScoreKeys":
    """How files of scores are read, by the options of the command line.

    Raises
    ------
    InputError
        The range is none, or contradicts the kind of loss.
    """
    from gencheck.load.item_scores import ScoreKeys

    request = ValidationRequest(loss=loss, loss_range=loss_range)
    low, high = _range(request)
    return ScoreKeys(low=low, high=high, bounded=not _is_binary(request), holds=holds, **columns)


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
        predictions = load_predictions(
            request.predictions,
            request.id_key,
            label_key=request.label_key,
            prediction_key=request.prediction_key,
        )
        record |= {"ties": predictions.ties}
        path, values = request.predictions, predictions.losses
    else:
        assert request.losses is not None
        path, values = request.losses, load_losses(request.losses, request.id_key)
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
                else "--loss-range A B is what the loss can be, known before the items were seen. "
                "The smallest and largest loss among them are not: losses there were none of can lie "
                "outside, and the bound would not hold. Clip a loss without limits at limits fixed in "
                "advance."
            ),
        )
    scaled = (values - low) / (high - low)
    return Evidence(
        m=len(scaled), mean=float(scaled.mean()), binary=binary, losses=scaled, low=low, high=high
    )


def _evidence_of_numbers(
    request: ValidationRequest, low: float, high: float, record: dict[str, Any]
) -> Evidence:
    if request.id_key is not None:
        raise InputError(where="--id-key", found="no file", required="--losses or --predictions")
    if request.val_error is None:
        raise InputError(
            where="--val-error",
            found="nothing",
            required="the error on the validation items, or --losses or --predictions",
            remedy=(
                "To plan for a model without errors say --val-error 0."
                if request.solve in {"m-val", "n-models"}
                else "An error is never assumed."
            ),
        )
    error = request.val_error
    require_between("--val-error", error, low, high)
    mean, binary = (error - low) / (high - low), _is_binary(request)
    if request.solve == "m-val":
        if request.m_val is not None:
            raise InputError(
                where="--m-val", found="a number", required="nothing, since --solve m-val seeks it"
            )
        # no items yet: the evidence at the solution follows
        return Evidence(m=0, mean=mean, binary=binary, losses=None, low=low, high=high)
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
    return Evidence(m=m, mean=mean, binary=binary, losses=None, low=low, high=high)
