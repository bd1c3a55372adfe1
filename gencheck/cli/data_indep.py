"""`gencheck data-indep`: the data-independent margin bound, from numbers or measured."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from gencheck.cli.deliver import deliver
from gencheck.cli.options import (
    AsJson,
    Confidence,
    Debug,
    Delta,
    Explain,
    LabelKey,
    Output,
    Report,
    XKey,
    delta_of,
    share,
)
from gencheck.errors import InputError


def data_indep(
    d_y: Annotated[int | None, typer.Option(metavar="K", help="Classes.")] = None,
    c_sigma: Annotated[
        float | None, typer.Option(metavar="C", help="C_σ ≥ √E‖z‖² of the path features.")
    ] = None,
    c_w: Annotated[
        float | None, typer.Option(metavar="C", help="C_w ≥ ‖w_k‖₂ of the path weights.")
    ] = None,
    margin_loss: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            parser=share,
            help="The ramp loss at margin ρ on the m_σ items; default: 0.",
        ),
    ] = None,
    rho: Annotated[
        float | None, typer.Option(metavar="R", help="The margin ρ; default: 1.")
    ] = None,
    m_sigma: Annotated[
        str | None, typer.Option(metavar="N", help="Items of the freeze phase.")
    ] = None,
    m: Annotated[
        str | None,
        typer.Option("--m", metavar="N", help="Instead: all training items, with --alpha."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="A",
            parser=share,
            help="The share of them that trained the gates; m_σ = (1 − A) m.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead: measure all of it on this two-phase run."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data that the run was trained on.")] = None,
    x_key: XKey = None,
    y_key: LabelKey = None,
    runs: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="With --checkpoint: runs compared on these items; default: 1.",
        ),
    ] = None,
    delta: Delta = None,
    confidence: Confidence = None,
    max_risk: Annotated[
        float | None,
        typer.Option(metavar="X", parser=share, help="Fail (exit 1) above this risk: 0.05 or 5%."),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Bound the true risk of a two-phase network by its margin and norms, whatever the data.

    Example: gencheck data-indep --m 50000 --alpha 0.1 --d-y 10 --c-sigma 0.1 --c-w 0.1 --delta 0.1
    """
    from gencheck.report.json import document
    from gencheck.report.limits import maximum_check, report_of

    level = delta_of(delta, confidence)
    maximum_check("max-risk", max_risk, None)
    given = {
        "d_y": d_y,
        "c_sigma": c_sigma,
        "c_w": c_w,
        "margin_loss": margin_loss,
        "rho": rho,
        "m_sigma": m_sigma,
        "m": m,
        "alpha": alpha,
    }
    if checkpoint is not None or data is not None or x_key or y_key:
        _refuse_numbers(given, checkpoint, data)
        assert checkpoint is not None
        assert data is not None
        inputs, body, risk = _measured(checkpoint, data, (x_key, y_key), level, runs)
    else:
        _refuse_runs(runs)
        inputs, body, risk = _from_numbers(given, level)
    checks = maximum_check("max-risk", max_risk, risk)
    inputs |= {"delta": level, "max_risk": max_risk}
    gate = report_of(checks)
    deliver(document("data-indep", inputs, body, gate), as_json, output, report)


def _refuse_numbers(given: dict[str, Any], checkpoint: Path | None, data: Path | None) -> None:
    """What is measured cannot be given too; the run and its data come together."""
    for name, value in given.items():
        if value is not None:
            raise InputError(
                where=f"--{name.replace('_', '-')}",
                found="it beside --checkpoint",
                required="numbers, or --checkpoint and --data to measure them",
            )
    if checkpoint is None or data is None:
        missing = "--checkpoint" if checkpoint is None else "--data"
        raise InputError(
            where=missing, found="nothing", required="--checkpoint DIR and --data FILE together"
        )


def _refuse_runs(runs: str | None) -> None:
    """Numbers that were fixed before the items were seen were not chosen among runs on them."""
    if runs is not None:
        raise InputError(
            where="--runs",
            found="it without --checkpoint",
            required="--checkpoint and --data, whose run may be the best of several",
            remedy="For numbers of your own, divide --delta by the number of runs compared.",
        )


def _measured(
    checkpoint: Path,
    data: Path,
    keys: tuple[str | None, str | None],
    delta: float,
    runs: str | None,
) -> tuple[dict[str, Any], dict[str, Any], float]:
    from gencheck.arguments import require_between, whole_number
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.guarantees.two_phase_margin import measured_certificate
    from gencheck.load.digest import sha256_of
    from gencheck.report.data_indep import measured_body

    compared = 1 if runs is None else whole_number("--runs", runs)
    share = require_between("--delta over --runs", delta / compared, 1e-300)
    certificate = measured_certificate(checkpoint, data, share, *keys, ProgressBars())
    inputs = {
        "checkpoint": {"path": str(checkpoint), "sha256": sha256_of(checkpoint)},
        "data": {"path": str(data), "sha256": sha256_of(data)},
        "x_key": keys[0],
        "y_key": keys[1],
        "runs": compared,
    }
    return inputs, measured_body(certificate, compared), certificate.certified.risk


def _from_numbers(
    given: dict[str, Any], delta: float
) -> tuple[dict[str, Any], dict[str, Any], float]:
    from gencheck.arguments import require_between
    from gencheck.bounds.margin import ASSUMES, SOURCE, independent_bound

    for name in ("d_y", "c_sigma", "c_w"):
        if given[name] is None:
            raise InputError(
                where=f"--{name.replace('_', '-')}",
                found="nothing",
                required="a number; or --checkpoint and --data, which measure it",
            )
    rho = 1.0 if given["rho"] is None else given["rho"]
    loss = 0.0 if given["margin_loss"] is None else given["margin_loss"]
    require_between("--d-y", given["d_y"], 2, 1e9)
    for name, value in (("--rho", rho), ("--c-sigma", given["c_sigma"]), ("--c-w", given["c_w"])):
        require_between(name, value, 0, open_low=True)
    require_between("--margin-loss", loss, 0, 1)
    items = _freeze_items(given["m_sigma"], given["m"], given["alpha"])
    bound = independent_bound(
        items,
        rho,
        d_y=given["d_y"],
        c_sigma=given["c_sigma"],
        c_w=given["c_w"],
        delta=delta,
        margin_loss=loss,
    )
    if bound.risk == math.inf:
        raise InputError(
            where="--c-sigma, --c-w and --rho",
            found="a bound past 1e308",
            required="numbers that keep it in the range of floats",
        )
    body = {
        "certainty": "certified",
        "bound": {
            "risk": bound.risk,
            "slack": bound.slack,
            "terms": {"rademacher": bound.rademacher, "confidence": bound.confidence},
            "vacuous": bound.vacuous,
            "assumes": ASSUMES,
            "source": SOURCE,
        },
    }
    return given | {"margin_loss": loss, "rho": rho, "m_sigma": items}, body, bound.risk


def _freeze_items(m_sigma: str | None, m: str | None, alpha: float | None) -> int:
    """m_σ as given, or ⌊(1 − α) m⌋, a product that is whole up to rounding taken as whole."""
    from gencheck.arguments import require_between, whole_number
    from gencheck.bounds.evidence import count_of

    if m_sigma is not None:
        if m is not None or alpha is not None:
            raise InputError(
                where="--m-sigma",
                found="--m or --alpha beside it",
                required="either --m-sigma, or --m and --alpha",
            )
        return whole_number("--m-sigma", m_sigma)
    if m is None or alpha is None:
        raise InputError(
            where="--m-sigma",
            found="nothing",
            required="the items of the freeze phase, or --m and --alpha",
        )
    require_between("--alpha", alpha, 0, 1, open_high=True)
    total = whole_number("--m", m)
    items = total - count_of(total, alpha)
    if items < 1:
        raise InputError(
            where="--m and --alpha", found=f"{items} items left", required="at least one"
        )
    return items
