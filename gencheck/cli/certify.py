"""`gencheck certify`: what can be certified of a two-phase run, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gencheck.cli.deliver import deliver
from gencheck.cli.options import (
    AsJson,
    Confidence,
    Debug,
    Delta,
    Explain,
    Output,
    Report,
    XKey,
    YKey,
    delta_of,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from gencheck.report.json import Document


def certify(
    run: Annotated[Path, typer.Argument(help="The folder of gencheck train --two-phase.")],
    data: Annotated[Path, typer.Argument(help="The data that the run was trained on.")],
    x_key: XKey = None,
    y_key: YKey = None,
    delta: Delta = None,
    confidence: Confidence = None,
    runs: Annotated[
        str, typer.Option(metavar="N", help="Runs compared on these items, this one among them.")
    ] = "1",
    verdict: Annotated[
        Literal["hold-out", "margin", "pac-bayes-drawn", "pac-bayes-mean"],
        typer.Option(help="The row that is the verdict; name it before you look."),
    ] = "pac-bayes-mean",
    landmarks: Annotated[
        int, typer.Option(min=1, help="Freeze items that span the posterior.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Draws the landmarks.")] = 0,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the verdict's PAC-Bayes classifier there: an .npz."
        ),
    ] = None,
    max_risk: Annotated[
        float | None,
        typer.Option(metavar="X", parser=share, help="Fail (exit 1) above this risk: 0.03 or 3%."),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    report: Report = None,
    explain: Explain = False,
    debug: Debug = False,
) -> None:
    """Certify a two-phase run: hold-out, margin and PAC-Bayes bounds on its classifiers' 0-1 risk.

    Example: gencheck certify run mnist.npz --max-risk 0.03
    """
    from gencheck.arguments import require_between, whole_number
    from gencheck.cli.destination import require_destination
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.guarantees.drawn_classifier import require_classifier_file, save_classifier
    from gencheck.guarantees.two_phase_table import CertifyRequest
    from gencheck.guarantees.two_phase_table import certify as certified
    from gencheck.report.certify import certify_body, certify_inputs
    from gencheck.report.json import document
    from gencheck.report.limits import LimitReport, maximum_check

    level = delta_of(delta, confidence)
    compared = whole_number("--runs", runs)
    require_between("--delta over --runs", level / compared, 1e-300)
    maximum_check("max-risk", max_risk, None)
    if save is not None:
        require_classifier_file(save, verdict, run)
        require_destination("--save", save, {".npz"}, [("run", run), ("data", data)])
    request = CertifyRequest(
        run,
        data,
        x_key=x_key,
        y_key=y_key,
        delta=level,
        runs=compared,
        verdict=verdict,
        landmarks=landmarks,
        seed=seed,
    )
    result = certified(request, ProgressBars())
    inputs = certify_inputs(request) | {"max_risk": max_risk}
    if save is not None:
        save_classifier(result, save)
        inputs["save"] = str(save)
    checks = maximum_check("max-risk", max_risk, result.verdict.risk)
    gate = LimitReport(tuple(checks)) if checks else None
    deliver(
        document("certify", inputs, certify_body(result), gate),
        _report,
        as_json,
        output,
        report,
    )


def _report() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal.certify import render_certify

    return render_certify
