"""Which file of a request is read item by item, and that nothing else speaks beside it."""

from pathlib import Path
from typing import TYPE_CHECKING

from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.guarantees.evidence import ValidationRequest


def source_of(request: "ValidationRequest") -> tuple[Path | None, str]:
    """The file to read item by item, and what it holds: scores, losses or predictions; None without any.

    Raises
    ------
    InputError
        Options conflict, or one lacks its file.
    """
    if (request.weight_key is None) != (request.max_weight is None):
        raise InputError(
            where="--weight-key and --max-weight",
            found="one",
            required="both: the column, and the largest weight that there can be",
        )
    grouped = {
        "--score-key": request.score_key,
        "--cluster-key": request.cluster_key,
        "--stratify-key": request.stratify_key,
        "--weight-key": request.weight_key,
    }
    asked = [name for name, value in grouped.items() if value is not None]
    files = {
        "scores": request.scores,
        "losses": request.losses,
        "predictions": request.predictions,
    }
    named = {holds: path for holds, path in files.items() if path is not None}
    if not asked and request.scores is None:
        return None, "scores"
    if not named:
        raise InputError(where=asked[0], found="no file of scores", required="--scores FILE")
    _refuse_other_sources(request, list(named))
    (holds, path), *_ = named.items()
    if holds == "predictions" and (request.score_key or request.loss == "bounded"):
        raise InputError(
            where="--predictions",
            found="--score-key" if request.score_key else "--loss bounded",
            required="neither: the loss is that the prediction is not the label",
        )
    return path, holds


def _refuse_other_sources(request: "ValidationRequest", files: list[str]) -> None:
    """Check that one file gives the items and their error, and nothing beside it does."""
    others = {
        **{f"--{name}": name for name in files},
        "--study": request.study if "scores" in files else None,
        "--m-val": request.m_val,
        "--val-error": request.val_error,
    }
    given = [name for name, value in others.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            where=given[0],
            found="another source of items or of their error beside it: " + ", ".join(given[1:]),
            required=f"{given[0]} alone, with --n-models where it holds one model",
        )
