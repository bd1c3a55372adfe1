"""The document of `train`: phases, fits, files, and the ridge solution's own figures."""

from dataclasses import asdict
from typing import Any

from gencheck.atomic import write_whole
from gencheck.load.run_folder import RECORD
from gencheck.report.concentrate import numbers
from gencheck.report.json import Document, document, to_json
from gencheck.report.limits import LimitReport
from gencheck.training.folder import release
from gencheck.training.request import TrainRequest, request_record
from gencheck.training.result import Phase, TrainResult
from gencheck.training.ridge import Convergence
from gencheck.training.ridge_facts import RidgeFacts, RidgeGap

_NEEDS_WHOLE_KERNEL = (
    "needs the Gram matrix of all items in memory; --landmarks at least the number of freeze items "
    "forms it, and --memory may allow it"
)
_ITERATION = (
    "conjugate gradients give neither the loss on items left out nor the rank; λ is --ridge, or "
    "leave-one-out's choice in the span of the items that precondition them"
)


def write_record(
    request: TrainRequest, result: TrainResult, more: dict[str, Any], gate: LimitReport | None
) -> Document:
    """The document of a run, which is also written into its folder: ``run.json``, last of all files.

    Parameters
    ----------
    more
        Inputs beyond those of the choice.
    """
    inputs = request_record(request) | {"identity": result.identity} | more
    doc = document("train", inputs, train_body(result), gate)
    write_whole(request.out / RECORD, to_json(doc).encode(), "--out")
    release(request.out)
    return doc


def train_body(result: TrainResult) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    return {
        "certainty": "estimated",
        "model": {
            "parameters": result.parameters,
            "input_shape": list(result.item_shape),
            "outputs": result.outputs,
        },
        "data": {
            "train": result.train_count,
            "test": result.test_count,
            "preprocessing": result.preprocessing,
        },
        "standard": _phase(result.standard),
        "freeze": None if result.freeze is None else _phase(result.freeze),
        "ridge": None if result.ridge is None else _ridge(result.ridge),
        "files": list(result.digests),
        "digests": result.digests,
        "timing": {"seconds": {"total": result.seconds}},
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "losses": phase.losses,
        "train": asdict(phase.train),
        "test": None if phase.test is None else asdict(phase.test),
    }


def _ridge(facts: RidgeFacts) -> dict[str, Any]:
    magnitudes = {
        "penalty": facts.penalty,
        "distance_squared": list(facts.distance_squared),
        "w_l2_squared": list(facts.l2_squared),
    }
    return numbers(magnitudes) | {
        "penalty_share": facts.penalty_share,
        "leave_one_out": facts.leave_one_out,
        "landmarks": facts.landmarks,
        "rank": facts.rank,
        "centred": facts.centred,
        "solver": _solver(facts.convergence),
        "gap": None if facts.gap is None else _gap(facts.gap),
    }


def _solver(convergence: Convergence | None) -> dict[str, Any]:
    if convergence is None:
        return {"method": "eigenvectors"}
    return {"method": "conjugate-gradients", **asdict(convergence), "reason": _ITERATION}


def _gap(gap: RidgeGap) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "sample_risk": gap.sample_risk,
        "reference_risk": gap.reference_risk,
        "gap": gap.gap,
        "terms": list(gap.terms),
    }
    if gap.beta1 is None or gap.v_l2 is None or gap.bound is None:
        return plain | {
            "beta1": None,
            "v_l2": None,
            "bound": None,
            "reason": _NEEDS_WHOLE_KERNEL,
        }
    return plain | {
        "beta1": numbers({"value": gap.beta1}),
        "v_l2": numbers({"values": list(gap.v_l2)}),
        "bound": numbers({"value": gap.bound.value, "terms": list(gap.bound.terms)}),
    }
