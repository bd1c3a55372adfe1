"""The words of theories, and of training in two phases."""

from gencheck.report.term import Term, term

_PHASES = ("train", "certify", "data-indep")

THEORY_TERMS: tuple[Term, ...] = (
    term(
        "validation",
        ("compare",),
        "The bound from the reference as a validation set: usually the tightest, whatever the network.",
    ),
    term(
        "data-dependent | data-dependent-certified",
        ("compare",),
        "The bound through β1, β2, β3 against the reference (estimated), or against the distribution "
        "(certified; needs gates that never saw the sample).",
    ),
    term(
        "data-independent | margin | rademacher | kuznetsov-mohri-syed | koltchinskii-panchenko",
        ("compare", *_PHASES),
        "Margin loss plus a complexity term 2 d_y² C_σ C_w/(ρ√m): for networks trained in two phases. "
        "The other names are other constants for the same term.",
    ),
    term("rademacher-path-norm | path-norm-margin", ("compare",), "Bounds through Σ|w| of paths."),
    term(
        "vc", ("compare",), "A bound from the number of weights alone, which data cannot improve."
    ),
    term("spectral-margin", ("compare",), "A margin bound through the layers' spectral norms."),
    term(
        "pac-bayes | pac-bayes-drawn | pac-bayes-mean",
        ("compare", "certify"),
        "A bound on a network drawn from a distribution over weights (drawn), or on the mean of such "
        "networks (mean); it pays for how far that distribution moved from one fixed beforehand.",
    ),
    term(
        "uniform-stability | robustness | sharpness",
        ("compare",),
        "Three estimates that bound nothing here (--estimates): how much one item changes the network, "
        "how the loss varies within small regions, how it rises as weights are perturbed.",
    ),
    term(
        "hold-out | hold-out-moved",
        ("certify",),
        "The binomial bound from items that a network never saw: on the gates' network, or (moved) on "
        "ridge regression fitted to a share of the freeze items, tested by the others.",
    ),
    term(
        "target | surrogate",
        ("certify",),
        "A network trained elsewhere, on anything: it errs at most as often as the certified classifier "
        "(its surrogate) does and as the two disagree, which items without labels bound.",
    ),
    term(
        "two-phase | standard phase | freeze phase | ridge",
        _PHASES,
        "The standard phase trains a network on one part of the data; the freeze phase keeps its gates "
        "and moves the weights on the other part, by mini-batches or as kernel ridge regression on "
        "path features. So the gates are independent of those items.",
    ),
    term("ρ | rho", _PHASES, "The margin: outputs must win by so much to count as right."),
)
