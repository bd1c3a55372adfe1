"""What each theory certifies for one model and its data, side by side."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gencheck.audit.certificate_request import require_input_range
from gencheck.audit.model import AuditedModel, load_model
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.result import ConcentrationResult, DataFacts
from gencheck.audit.run import audit
from gencheck.audit.selection import ModelSelection
from gencheck.audit.self_check import output_deviation, require_finite_outputs
from gencheck.audit.summary import model_facts
from gencheck.audit.two_classes import as_two_classes
from gencheck.comparison.algorithm_rows import (
    pac_bayes_row,
    robustness_row,
    sharpness_row,
    stability_row,
)
from gencheck.comparison.data_rows import (
    certified_concentration_row,
    concentration_row,
    independent_row,
    validation_row,
    vc_row,
)
from gencheck.comparison.measures.weights import batched_outputs, weights_of
from gencheck.comparison.norm_rows import chain_rademacher_row, graph_row, spectral_row
from gencheck.comparison.result import ComparisonResult, TheoryRow
from gencheck.comparison.study import Study
from gencheck.errors import InputError, SolverError
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress


@dataclass(frozen=True)
class ComparisonOptions:
    """How a comparison is run.

    Attributes
    ----------
    delta
        Each row holds with probability 1 − δ on its own, not all of them together.
    log_models
        ln|F|: how many models the reference chose among.
    input_range
        The ends of the interval that every coordinate of every input lies in; None where nothing
        is declared, and no row is certified that needs it.
    estimates
        Rows of stability, robustness and sharpness too, which bound nothing.
    posterior_steps, posterior_draws
        Steps of the posterior's fitting, and draws that sample its error.
    audit
        Device, dtype and seed, and how the path kernel is formed.
    """

    delta: float = 0.05
    log_models: float = 0.0
    posterior_steps: int = 500
    posterior_draws: int = 1000
    audit: AuditOptions = field(default_factory=AuditOptions)
    input_range: tuple[float, float] | None = None
    estimates: bool = False


def compare(
    model: AuditedModel,
    sample: Labelled,
    reference: Labelled,
    options: ComparisonOptions | None = None,
    prior: Network | None = None,
    progress: Progress = SILENT,
) -> ComparisonResult:
    """One row for each theory: its bound on the 0-1 risk, or why it gives none.

    Parameters
    ----------
    sample, reference
        S, which trained the model, and T, which did not; targets one-hot.
    prior
        The network whose weights are the mean of the PAC-Bayes prior; zero without it.

    Raises
    ------
    InputError
        Outputs are not finite, an item lies outside the declared range, the prior has other weights
        than the model, or gates are another's.
    SelfCheckError
        The network is not the model: a defect of ours.
    """
    if model.gates is not None:
        raise InputError(
            where="compare",
            found="a two-phase network",
            required="a network that decides its own gates, which is what most theories are about",
            remedy="Compare one of its checkpoints (weights.pt2); gencheck data-indep --checkpoint and "
            "gencheck concentrate --certify say what holds for both phases.",
        )
    options = options or ComparisonOptions()
    run = options.audit
    study = _study(model, sample, reference, options)
    mean = None if prior is None else _prior_mean(model.network, prior, study.sample)
    seconds: dict[str, float] = {}
    rows: list[TheoryRow] = []

    def timed(make: Callable[[], TheoryRow]) -> None:
        started = time.perf_counter()
        row = make()
        seconds[row.name] = time.perf_counter() - started
        rows.append(row)

    def concentration() -> TheoryRow:
        audited, reason = _audited(model, sample, reference, run, progress)
        return concentration_row(study, audited, reason)

    timed(lambda: validation_row(study, options.log_models))
    timed(concentration)
    timed(lambda: certified_concentration_row(study))
    timed(lambda: independent_row(study))
    timed(lambda: chain_rademacher_row(study))
    timed(lambda: vc_row(study))
    timed(lambda: spectral_row(study))
    steps, draws = options.posterior_steps, options.posterior_draws
    timed(lambda: pac_bayes_row(study, mean, steps, draws, progress))
    timed(lambda: graph_row(study))
    if options.estimates:
        timed(lambda: stability_row(study))
        timed(lambda: robustness_row(study))
        timed(lambda: sharpness_row(study, progress))
    return ComparisonResult(
        model=model_facts(model),
        data=DataFacts(len(sample.items), len(reference.items), "classification"),
        delta=options.delta,
        sample_error=study.sample_error,
        reference_error=study.reference_error,
        rows=tuple(rows),
        seconds=seconds,
    )


def prior_network(path: Path, chosen: ModelSelection, model: AuditedModel) -> Network:
    """The network of the checkpoint that gives the PAC-Bayes prior its mean, read as `model` was.

    Raises
    ------
    InputError, UnsupportedModel
        As the reader raises them.
    """
    prior = load_model(
        path, chosen.factory, [model.item_shape], key=chosen.key, output=chosen.output
    )
    if prior.network.output_count == 1 and model.network.output_count == 2:
        prior = as_two_classes(prior)
    return prior.network


def _study(
    model: AuditedModel, sample: Labelled, reference: Labelled, options: ComparisonOptions
) -> Study:
    run = options.audit
    items = [part.items.to(run.device, run.dtype) for part in (sample, reference)]
    if options.input_range is not None:
        require_input_range(torch.cat(items), options.input_range)
    outputs = [batched_outputs(model.network, part, run.batch_size) for part in items]
    require_finite_outputs(torch.cat(outputs), run.dtype)
    output_deviation(model, torch.cat(items), torch.cat(outputs))
    labels = [part.targets.argmax(1).to(run.device) for part in (sample, reference)]
    return Study(
        network=model.network,
        sample=items[0],
        sample_labels=labels[0],
        sample_outputs=outputs[0].double().cpu(),
        reference=items[1],
        reference_labels=labels[1],
        reference_outputs=outputs[1].double().cpu(),
        delta=options.delta,
        seed=run.seed,
        batch_size=run.batch_size,
        input_range=options.input_range,
    )


def _audited(
    model: AuditedModel,
    sample: Labelled,
    reference: Labelled,
    run: AuditOptions,
    progress: Progress,
) -> tuple[ConcentrationResult | None, str | None]:
    """The audit, or why there is none: the other theories do not need its Gram matrix."""
    try:
        return audit(model, sample, reference, "classification", run, progress=progress), None
    except (InputError, SolverError) as error:
        return None, str(error)


def _prior_mean(network: Network, prior: Network, like: Tensor) -> list[Tensor]:
    own, theirs = (weights_of(n, like) for n in (network, prior))
    shapes = [[tuple(w.shape) for w in weights] for weights in (own, theirs)]
    if shapes[0] != shapes[1]:
        raise InputError(
            where="--prior",
            found=f"weights of shapes {shapes[1]}",
            required=f"those of the model: {shapes[0]}",
        )
    return theirs
