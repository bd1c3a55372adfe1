"""`gencheck certify`: what can be certified of a two-phase run, side by side."""

from dataclasses import dataclass
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
    Factory,
    Key,
    Output,
    Report,
    XKey,
    YKey,
    delta_of,
    share,
)
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.guarantees.certificate import TargetRequest
    from gencheck.guarantees.two_phase_table import CertifyResult


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
        Literal["hold-out", "margin", "pac-bayes-drawn", "pac-bayes-mean", "hold-out-moved"],
        typer.Option(help="The row that is the verdict; name it before you look."),
    ] = "pac-bayes-mean",
    landmarks: Annotated[
        int, typer.Option(min=1, help="Freeze items that span the posterior.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Draws the landmarks.")] = 0,
    prior_share: Annotated[
        float | None,
        typer.Option(
            metavar="Q",
            parser=share,
            help="Add hold-out-moved: ridge regression on this share of the freeze items, tested by "
            "the rest.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Certify this network through the verdict's classifier: a checkpoint, or a table with "
            "a column prediction.",
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA2",
            help="With --target: items that trained neither it nor the run, with or without labels.",
        ),
    ] = None,
    model: Factory = None,
    key: Key = None,
    drawn: Annotated[
        int,
        typer.Option(
            metavar="SEED", min=0, help="Draws the weights of pac-bayes-drawn for its predictions."
        ),
    ] = 0,
    save_predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the verdict's classifier's predictions on the test items there: a .csv.",
        ),
    ] = None,
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

    With --target, a network that was trained on everything is certified through one of them.

    Example: gencheck certify run mnist.npz --max-risk 0.03
    """
    from gencheck.arguments import require_between, whole_number
    from gencheck.cli.progress_bar import ProgressBars
    from gencheck.guarantees.certificate import CertifyRequest
    from gencheck.guarantees.two_phase_table import certify as certified
    from gencheck.report.certify import certify_body, certify_inputs
    from gencheck.report.json import document
    from gencheck.report.limits import maximum_check, report_of

    level = delta_of(delta, confidence)
    compared = whole_number("--runs", runs)
    require_between("--delta over --runs", level / compared, 1e-300)
    maximum_check("max-risk", max_risk, None)
    _require_share(prior_share, verdict)
    inputs_read = [("run", run), ("data", data), ("target", target), ("unlabelled", unlabelled)]
    files = _Files(save, save_predictions)
    files.require([(name, path) for name, path in inputs_read if path is not None], verdict)
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
        drawn=drawn,
        prior_share=prior_share,
        target=_target(target, unlabelled, model, key),
    )
    result = certified(request, ProgressBars())
    inputs = certify_inputs(request) | {"max_risk": max_risk} | files.written(result)
    checks = maximum_check("max-risk", max_risk, result.verdict.risk)
    gate = report_of(checks)
    deliver(document("certify", inputs, certify_body(result), gate), as_json, output, report)


def _require_share(prior_share: float | None, verdict: str) -> None:
    """Do nothing where the share is one, and is there if the verdict needs it.

    Raises
    ------
    InputError
        Otherwise.
    """
    from gencheck.arguments import require_between

    if prior_share is not None:
        require_between("--prior-share", prior_share, 0, 1, open_low=True, open_high=True)
    elif verdict == "hold-out-moved":
        raise InputError(
            where="--verdict hold-out-moved",
            found="no --prior-share",
            required="--prior-share Q, the share of the freeze items that the weights move on",
        )


@dataclass(frozen=True)
class _Files:
    """What else is written: the verdict's classifier, and its predictions."""

    classifier: Path | None
    predictions: Path | None

    def require(self, read: list[tuple[str, Path]], verdict: str) -> None:
        """Do nothing where both can be written, and are none of those read."""
        from gencheck.cli.destination import require_destination
        from gencheck.guarantees.certified_classifiers import (
            require_classifier_file,
            require_outside_run,
        )

        (_, run), *_ = read
        if self.classifier is not None:
            require_classifier_file(self.classifier, verdict, run)
            require_destination("--save", self.classifier, {".npz"}, read)
        if self.predictions is not None:
            require_outside_run("--save-predictions", self.predictions, run)
            require_destination("--save-predictions", self.predictions, {".csv"}, read)

    def written(self, result: "CertifyResult") -> dict[str, str]:
        """Write them; the files by option, for the record."""
        from gencheck.guarantees.certified_classifiers import (
            path_space_classifier,
            save_predictions,
        )

        request, found, record = result.request, result.certificate, {}
        path = self.classifier
        if path is not None:
            classifier = path_space_classifier(result.run, found, request.verdict)
            classifier.save(path, result.run.folder.gates)
            record["save"] = str(path)
        if self.predictions is not None:
            name, drawn = request.verdict, request.drawn
            save_predictions(result.run, found, name, self.predictions, drawn)
            record["save_predictions"] = str(self.predictions)
        return record


def _target(
    target: Path | None, unlabelled: Path | None, model: str | None, key: str | None
) -> "TargetRequest | None":
    """What `--target` asks for.

    Raises
    ------
    InputError
        One of `--target` and `--unlabelled` without the other, or an option of the target's alone.
    """
    from gencheck.guarantees.certificate import TargetRequest

    given = {"--unlabelled": unlabelled, "--model": model, "--key": key}
    if target is None:
        for name, value in given.items():
            if value is not None:
                raise InputError(
                    where=name, found="no --target", required="--target MODEL, which it is about"
                )
        return None
    if unlabelled is None:
        raise InputError(
            where="--target",
            found="no --unlabelled",
            required="--unlabelled DATA2, items that trained neither the target nor the run",
        )
    return TargetRequest(target, unlabelled, factory=model, key=key)
