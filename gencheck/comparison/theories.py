"""The heads of the rows of `compare`: what each theory is about, what it assumes, where it is from."""

from dataclasses import dataclass, replace

from gencheck.bounds.classical import ROBUSTNESS_SOURCE, STABILITY_SOURCE
from gencheck.bounds.concentrated import SOURCE as CONCENTRATION_SOURCE
from gencheck.bounds.margin import SOURCE as MARGIN_SOURCE
from gencheck.bounds.pac_bayes import SOURCE as PAC_BAYES_SOURCE
from gencheck.bounds.path_norm_margin import CHAIN_SOURCE, GRAPH_SOURCE
from gencheck.bounds.spectral_margin import SOURCE as SPECTRAL_SOURCE
from gencheck.bounds.vc import SOURCE as VC_SOURCE
from gencheck.comparison.measures.capacity import has_trained_slope
from gencheck.comparison.result import Assumption, TheoryRow
from gencheck.comparison.study import Study

INDEPENDENT = Assumption("the items of the sample are independent draws", None)
_GATES = Assumption("the gates are independent of the sample (two-phase training)", False)


@dataclass(frozen=True)
class Theory:
    """What a theory says of itself, whatever the network; as in `TheoryRow`.

    Attributes
    ----------
    source
        Empty where the bound that is chosen brings its own.
    assumptions
        Those of every network. The last is the one that fails where a network is not covered.
    """

    source: str
    assumptions: tuple[Assumption, ...] = (INDEPENDENT,)
    subject: str = "0-1 risk"
    is_bound: bool = True


THEORIES = {
    "validation": Theory(
        "",
        (
            Assumption("the items of the reference are independent draws", None),
            Assumption(
                "they neither trained the model nor chose it among more than |F| models", None
            ),
        ),
    ),
    "data-dependent": Theory(
        CONCENTRATION_SOURCE,
        (Assumption("the reference is the distribution (it stands in for it)", False),),
        subject="0-1 error on the reference",
        is_bound=False,
    ),
    "data-dependent-certified": Theory(CONCENTRATION_SOURCE, (INDEPENDENT, _GATES)),
    "data-independent": Theory(
        MARGIN_SOURCE,
        (
            INDEPENDENT,
            Assumption("C_sigma ≥ √E‖z‖² (here its estimate on the sample)", False),
            _GATES,
        ),
    ),
    "rademacher-path-norm": Theory(
        CHAIN_SOURCE,
        (
            INDEPENDENT,
            Assumption(
                "a chain of layers and elementwise, positive homogeneous 1-Lipschitz units", True
            ),
        ),
    ),
    "vc": Theory(
        VC_SOURCE,
        (
            INDEPENDENT,
            Assumption("the architecture was fixed before the sample was seen", None),
            Assumption("piecewise linear units, each a function of one sum", True),
        ),
    ),
    "spectral-margin": Theory(
        SPECTRAL_SOURCE,
        (
            INDEPENDENT,
            Assumption(
                "the network is a chain of linear layers and maps that are Lipschitz with 0 at 0",
                True,
            ),
        ),
    ),
    "pac-bayes": Theory(PAC_BAYES_SOURCE, subject="0-1 risk of the randomised classifier"),
    "path-norm-margin": Theory(GRAPH_SOURCE),
    "uniform-stability": Theory(
        STABILITY_SOURCE,
        (
            INDEPENDENT,
            Assumption("β bounds every change (here the largest over pairs of the sample)", False),
            Assumption("the layers before the last do not depend on the sample", False),
        ),
        subject="0-1 risk of the refitted last layer",
        is_bound=False,
    ),
    "robustness": Theory(
        ROBUSTNESS_SOURCE,
        (
            INDEPENDENT,
            Assumption("ε bounds every variation in a cell (here the largest seen)", False),
            Assumption("the margin was fixed before (here the sample's median)", False),
        ),
        is_bound=False,
    ),
    "sharpness": Theory(
        "Keskar et al. 2017 (the measure); Dinh et al. 2017 (not invariant to rescaling)",
        (Assumption("the worst neighbour was found (here by ascent)", False),),
        subject="loss around the weights",
        is_bound=False,
    ),
}


def head_of(name: str, study: Study, *further: Assumption) -> TheoryRow:
    """The row of a theory without its figures; `further` is what it assumes of this network."""
    theory = THEORIES[name]
    return TheoryRow(
        name=name,
        subject=theory.subject,
        source=theory.source,
        assumptions=(*theory.assumptions, *further),
        sample_error=study.sample_error,
        is_bound=theory.is_bound,
    )


def graph_head(study: Study) -> TheoryRow:
    """That of the path-norm margin bound, which rests on the size of all inputs there can be."""
    declared = study.input_range is not None
    size = f"no input coordinate there can be exceeds {study.largest_input:.4g} in size"
    return head_of(
        "path-norm-margin",
        study,
        Assumption(
            size + (" (--input-range)" if declared else " (the largest seen: pass --input-range)"),
            None if declared else False,
        ),
        Assumption("a graph of ReLU, identity and max-pool units", True),
    )


def pac_bayes_head(study: Study, own_prior: bool) -> TheoryRow:
    """That of the PAC-Bayes bound, which rests on where the prior's mean is from."""
    mean = "the weights of --prior" if own_prior else "zero"
    return head_of(
        "pac-bayes",
        study,
        Assumption(
            f"the prior's mean ({mean}) was fixed before the sample was seen",
            None if own_prior else True,
        ),
        Assumption(
            "the draws that sample its error share no random number with those that fitted it",
            True,
        ),
        Assumption(
            "all trained numbers are drawn from the posterior (slopes of PReLU are not)",
            not has_trained_slope(study.network),
        ),
    )


def uncovered(row: TheoryRow, reason: str) -> TheoryRow:
    """The row of a theory that does not cover the network: its last assumption fails, and why."""
    *others, last = row.assumptions
    return replace(row, assumptions=(*others, replace(last, met=False)), reason=reason)
