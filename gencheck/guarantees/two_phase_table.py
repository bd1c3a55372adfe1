"""What can be certified of a two-phase run, side by side: the table of `gencheck certify`."""

import math
import time
from dataclasses import dataclass, replace

from gencheck.bounds.binomial import binomial_upper_end
from gencheck.bounds.multiclass import assumptions, margins_of
from gencheck.bounds.path_space_choice import Chosen
from gencheck.bounds.path_space_grid import MARGIN_FACTORS, RATES, SCALE_POWERS
from gencheck.bounds.split_ridge import SOURCE as SPLIT_SOURCE
from gencheck.bounds.split_ridge import SplitRidge
from gencheck.guarantees.certificate import (
    HOLD_OUT,
    MARGIN,
    MOVED,
    TARGET,
    CertifiedRow,
    CertifyRequest,
)
from gencheck.guarantees.path_space import (
    KernelBlocks,
    PathSpaceCertificate,
    kernel_blocks,
    path_space_certificate,
)
from gencheck.guarantees.run_solution import own_landmarks
from gencheck.guarantees.target import read_target, target_row
from gencheck.guarantees.two_phase_margin import margin_certificate
from gencheck.guarantees.two_phase_run import TwoPhaseRun, read_two_phase_run, repeated_items
from gencheck.load.split import Array
from gencheck.progress import SILENT, Progress

_COMMON = (
    "the gates are independent of the freeze phase's items (two-phase training)",
    "the freeze phase's items are independent draws from the distribution that the risk is over",
)
_REPEATED = (
    "{repeated:,} of the {items:,} items of the freeze phase equal an item of the standard phase or one "
    "before them: they are draws that came out the same, not copies that were made"
)
_PRIOR = (
    f"one union over {len(SCALE_POWERS)} scales of the prior, in units of the standard phase's mean "
    f"absolute margin over its feature norm, half of δ for the smallest, times one over {len(RATES)} "
    "rates β"
)
_FREE = "the posterior's mean, covariance and span may depend on the items in any way"


@dataclass(frozen=True)
class CertifyResult:
    """The table, and what it was made from."""

    request: CertifyRequest
    items: int
    classes: int
    test_items: int
    rank: int
    rows: tuple[CertifiedRow, ...]
    certificate: PathSpaceCertificate
    run: TwoPhaseRun
    seconds: dict[str, float]

    @property
    def verdict(self) -> CertifiedRow:
        """The target's row where there is one; otherwise the one that was named beforehand."""
        named = TARGET if self.request.target is not None else self.request.verdict
        return row_of(self.rows, named)


def row_of(rows: tuple[CertifiedRow, ...], name: str) -> CertifiedRow:
    """The row of that name."""
    (row,) = (row for row in rows if row.name == name)
    return row


def certify(request: CertifyRequest, progress: Progress = SILENT) -> CertifyResult:
    """Every certificate for a two-phase run, each with probability 1 − δ by itself.

    With a target each has 1 − δ/2, and the target's, which adds a disagreement to one of them, 1 − δ.

    Raises
    ------
    InputError
        The folder is none of a finished two-phase run, the data are not its own, no landmark was
        asked for, or as `read_target` raises it.
    """
    marks = [time.perf_counter()]
    run = read_two_phase_run(request.folder, request.data, request.x_key, request.y_key)
    delta, asked = request.row_delta, request.target
    target = None if asked is None else read_target(asked, run, request.x_key)
    marks.append(time.perf_counter())
    # the run's own landmarks first: the margin bound needs their columns as well
    first = own_landmarks(run)
    blocks = kernel_blocks(run.items, request.landmarks, request.seed, progress, first)
    marks.append(time.perf_counter())
    labels = None if run.items.test is None else run.items.test.labels
    found = path_space_certificate(blocks, labels, delta, request.prior_share)
    rows: tuple[CertifiedRow, ...] = (
        _hold_out(run, blocks, delta, request.runs),
        _margin(run, blocks, delta, request.runs, progress=progress),
        _path_space(found.drawn, found.drawn_test_error, request),
        _path_space(found.mean, found.mean_test_error, request),
    )
    if found.moved is not None:
        rows = (*rows, _moved(found.moved, blocks, labels, request))
    if target is not None:
        surrogate = row_of(rows, request.verdict)
        rows = (*rows, target_row(target, run, found, surrogate, request))
    repeated = repeated_items(run.items)
    if repeated:
        said = _REPEATED.format(repeated=repeated, items=len(run.items.freeze))
        rows = tuple(replace(row, assumes=(*row.assumes, said)) for row in rows)
    marks.append(time.perf_counter())
    names = ("load", "kernel", "bounds")
    return CertifyResult(
        request,
        items=len(run.items.freeze),
        classes=run.items.classes,
        test_items=0 if run.items.test is None else len(run.items.test),
        rank=blocks.problem.features.coordinates.shape[1],
        rows=rows,
        certificate=found,
        run=run,
        seconds={n: b - a for n, a, b in zip(names, marks[:-1], marks[1:], strict=True)},
    )


def _compared(runs: int) -> str:
    # the last of the margin bound's assumptions is this one
    return assumptions((), runs)[-1]


def _hold_out(run: TwoPhaseRun, blocks: KernelBlocks, delta: float, runs: int) -> CertifiedRow:
    problem = blocks.problem
    wrong = int((margins_of(problem.features.base, problem.labels) <= 0).sum())
    test_error = None
    if blocks.test is not None and run.items.test is not None:
        test_error = float((blocks.test.base.argmax(1) != run.items.test.labels).mean())
    items = len(problem.labels)
    return CertifiedRow(
        HOLD_OUT,
        "the standard phase's network, which no freeze item trained",
        risk=binomial_upper_end(wrong, items, -math.log(delta)),
        error=wrong / items,
        test_error=test_error,
        terms={"errors": wrong},
        assumes=(*_COMMON, _compared(runs)),
        source="Clopper & Pearson 1934; Langford 2005",
    )


def _moved(
    moved: SplitRidge, blocks: KernelBlocks, labels: Array | None, request: CertifyRequest
) -> CertifiedRow:
    test_error = None
    if blocks.test is not None and labels is not None:
        outputs = blocks.test.base + blocks.test.coordinates @ moved.mean
        test_error = float((outputs.argmax(1) != labels).mean())
    return CertifiedRow(
        MOVED,
        f"ridge regression on {moved.fitted} of the freeze phase's items, which the rest test",
        risk=moved.risk,
        error=moved.errors / moved.items,
        test_error=test_error,
        terms={
            "errors": moved.errors,
            "tested_items": moved.items,
            "fitted_items": moved.fitted,
            "penalty": None if math.isinf(moved.penalty) else moved.penalty,
        },
        assumes=(
            *_COMMON,
            "the share was named before the items were seen; the penalty was chosen on a fifth of it",
            _compared(request.runs),
        ),
        source=SPLIT_SOURCE,
    )


def _margin(
    run: TwoPhaseRun, blocks: KernelBlocks, delta: float, runs: int, progress: Progress
) -> CertifiedRow:
    found = margin_certificate(run, delta, progress, blocks.measured)
    bound = found.certified
    return CertifiedRow(
        MARGIN,
        "the run's own network, gates held and weights of the freeze phase",
        risk=bound.risk,
        error=found.error,
        test_error=found.test_error,
        terms={
            "margin_loss": bound.margin_loss,
            "rademacher": bound.rademacher,
            "confidence": bound.confidence,
            "price_nats": bound.price,
            "origin": found.origins[-1],
        },
        assumes=assumptions([weights.origin for weights in found.weights], runs),
        source=bound.source,
    )


def _path_space(chosen: Chosen, test_error: float | None, request: CertifyRequest) -> CertifiedRow:
    bound = chosen.bound
    origin = (
        "the standard phase's path weights" if math.isinf(chosen.penalty) else "ridge regression"
    )
    terms: dict[str, float | int | str | None] = {
        "empirical": bound.empirical,
        "divergence_nats": bound.divergence,
        "price_nats": bound.price,
        "confidence_nats": bound.confidence,
        "factor": bound.factor,
        "mean": origin,
        "penalty": None if math.isinf(chosen.penalty) else chosen.penalty,
        "sharpness": chosen.sharpness,
        "scale": chosen.scale_power,
    }
    assumes: tuple[str, ...] = (*_COMMON, _PRIOR, _FREE, _compared(request.runs))
    if bound.margin_factor is None:
        classifier = "draws its weights from the posterior anew for every item"
    else:
        classifier = "the posterior's mean"
        terms["margin_factor"] = bound.margin_factor
        assumes = (
            *assumes,
            f"one union over {len(MARGIN_FACTORS)} margins under the same Gaussian",
        )
    return CertifiedRow(
        name=bound.name,
        classifier=classifier,
        risk=bound.risk,
        error=chosen.error,
        test_error=test_error,
        terms=terms,
        assumes=assumes,
        source=bound.source,
    )
