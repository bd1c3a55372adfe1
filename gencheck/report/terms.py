"""The words of every report, and what they mean."""

from gencheck.report.term import Term, term
from gencheck.report.theory_terms import THEORY_TERMS

_SCORES = ("val-bound", "compare-scores")
_AUDITS = ("concentrate", "rank", "compare")


TERMS: tuple[Term, ...] = (
    term(
        "certified | certainty",
        (),
        "Holds for the distribution with the probability named, under the assumptions listed. Nothing "
        "else in a report is a guarantee.",
    ),
    term(
        "estimated",
        (),
        "Exact about the items at hand, and no more than an estimate of the distribution that they "
        "came from.",
    ),
    term(
        "vacuous",
        (),
        "A bound that holds and says nothing: it is larger than the loss can be. Usual for bounds that "
        "multiply differences of the data by the size of the weights.",
    ),
    term(
        "delta | confidence | δ",
        (),
        "A bound fails with probability δ at most; 1 − δ is its confidence. 0.05 unless said.",
    ),
    term(
        "gate",
        (),
        "In a report: a limit that you asked to hold; exit code 1 means that it did not. In a network: "
        "what an item decides about a unit, such as 1 or 0 of a ReLU.",
    ),
    term(
        "risk | loss | error",
        (),
        "The mean loss: on the items at hand (empirical) or on all that the distribution may bring "
        "(true). The 0-1 error is the share of items that are classified wrongly.",
    ),
    term(
        "p-value | p | adjusted | adjustment | holm | holm_p_value | max-t | westfall-young-max-t | "
        "noise",
        ("concentrate", "rank", "compare-scores", "reproduce"),
        "How often chance alone makes a figure as large. In an audit the pooled items are relabelled "
        "as sample and reference at random, and p is the share of relabellings with a figure at least "
        "as large. Adjusted: for asking several questions at once, in an audit by the largest of all "
        "standardised figures in each relabelling (Westfall and Young's step-down max-T), else by "
        "Holm's rule; below 0.05 counts as a difference.",
    ),
    term(
        "interval",
        ("val-bound", "compare-scores", "concentrate"),
        "A range that holds the true value in 95 of 100 repetitions (or as δ says): Clopper and "
        "Pearson's for errors.",
    ),
    # scores
    term(
        "n-models | number of models | |F|",
        _SCORES,
        "How many models the score was chosen among, with every trial that was looked at. The best of "
        "many looks better than it is; the bound pays ln |F| for that.",
    ),
    term(
        "m-val | items",
        _SCORES,
        "How many validation items there are, each an independent draw that trained nothing.",
    ),
    term("slack", _SCORES, "What a bound adds to the empirical risk."),
    term(
        "split",
        _SCORES,
        "What it would give to choose a model on half of the items and to confirm it on the other "
        "half, which pays for one model only.",
    ),
    term(
        "bernstein",
        _SCORES,
        "R̂ + 2CL/(3m) + √(2γ²L/m): the finite-class bound of the source, with C and γ² in the worst "
        "case unless given.",
    ),
    term("hoeffding", _SCORES, "R̂ + √(L/2m), L = ln(|F|/δ): for any loss in [0, 1]."),
    term(
        "kl | stratified-kl",
        _SCORES,
        "The largest r with m·kl(R̂‖r) ≤ L: tighter than Hoeffding's where the risk is small. Stratified: "
        "each stratum on its own share of δ.",
    ),
    term(
        "binomial | clopper-pearson",
        _SCORES,
        "The largest error rate under which so few wrong answers have probability δ/|F|: exact for 0-1 "
        "losses, so the tightest of all where it applies.",
    ),
    term(
        "empirical-bernstein",
        _SCORES,
        "Uses the losses' own variance: tight where they vary little (Maurer and Pontil).",
    ),
    term(
        "betting | hoeffding-bentkus",
        _SCORES,
        "For losses that are numbers in [0, 1]: a bettor against the claimed mean who never loses more "
        "than δ allows (Waudby-Smith and Ramdas), or the better of Hoeffding's and Bentkus' tails.",
    ),
    term(
        "mcnemar | wins | losses | discordant",
        ("compare-scores",),
        "Only items on which two models differ say which is better: McNemar's test asks whether the "
        "wins among them are more than half.",
    ),
    # audits
    term(
        "sample | S",
        _AUDITS,
        "The data set under audit: often the one that a model was or would be trained on.",
    ),
    term("reference | T", _AUDITS, "The items that stand in for what the model will meet."),
    term(
        "path | z | w | paths",
        _AUDITS,
        "A path runs from one input coordinate (or a bias) through one unit of each layer to an "
        "output. For a given item some paths are open and some are shut: that is z, the path's input "
        "times its gates. The product of the weights on it is w. The network's output is the sum of z "
        "times w over all its paths, so for fixed gates it is a linear model in z.",
    ),
    term(
        "path kernel | gram matrix",
        _AUDITS,
        "⟨z(x), z(x′)⟩, found layer by layer without writing a path down; the Gram matrix holds it for "
        "all pairs of items.",
    ),
    term(
        "β1 | beta1",
        _AUDITS,
        "Take the direction in path space along which the reference's items have more energy than "
        "the sample's, by the largest amount: that amount is β1. It is 0 where the sample covers "
        "every direction as well as the reference does. It does not look at labels.",
    ),
    term(
        "β1, normalised | beta1_normalised",
        _AUDITS,
        "The same for path features of length 1. A test only; no bound follows from it.",
    ),
    term(
        "mean path features | feature_means",
        _AUDITS,
        "How far the sets' mean path features are apart, each item's taken at length 1. Sees inputs "
        "that differ a little everywhere, in whichever set; a test only, no bound follows from it.",
    ),
    term(
        "β2 | beta2 | stopped_by_clock",
        _AUDITS,
        "How differently one path's feature goes with a target in the two sets, for the worst single "
        "path: exact where all paths could be seen, else between the best path found and an upper end. "
        "stopped_by_clock: --beta2-budget ended the search, and another run may find another interval.",
    ),
    term("‖v‖₂ | v_l2", _AUDITS, "The same over all paths together, for the worst output."),
    term(
        "‖V‖_F | v_frobenius",
        _AUDITS,
        "The same over all paths and all outputs together: the best single figure to rank data sets by.",
    ),
    term(
        "mmd | mmd_labels",
        ("rank",),
        "The maximum mean discrepancy: how far the means of both sets are apart under a Gaussian "
        "kernel of the items times the product of their targets. No model has a part in it.",
    ),
    term("β3 | beta3", _AUDITS, "The difference of the targets' mean square; 0 for class labels."),
    term(
        "gap | squared_gap | zero_one_gap | cross_entropy_gap | gap, squared loss | gap, 0-1 error | "
        "gap, cross-entropy",
        _AUDITS,
        "The mean loss on the reference less that on the sample, in one of three losses. Where the "
        "model was trained on the sample it is the generalization gap.",
    ),
    term(
        "class shares | label_means | class_shares_differ | classes",
        _AUDITS,
        "How far the mean targets of both sets are apart: for labels, the shares of the classes. The "
        "table of classes has their items, shares and errors in both sets.",
    ),
    term(
        "share of β1 | attribution | share",
        ("concentrate",),
        "β1 is a sum over items: what each reference item adds along that direction, less what each "
        "sample item does. Items with large shares are what the reference has and the sample lacks; "
        "look at them first.",
    ),
    term(
        "direction | where on the input | energy | captured",
        ("concentrate",),
        "The direction of β1 weighs every path, and every path starts at an input coordinate or at a "
        "bias. The picture shows how much of the direction starts where; captured is how much of it "
        "the items that were used can see.",
    ),
    term(
        "gap and bound | bound | tightest",
        _AUDITS,
        "A theorem on the gap in squared loss: β1 Σ‖w‖₂² + 2 β2 Σ‖w‖₁ + β3, one term for each way in "
        "which the two sets can differ. The tightest bound takes ‖v‖₂‖w‖₂ for an output where that is "
        "smaller.",
    ),
    term(
        "error_at_chance",
        ("concentrate",),
        "The model is right no more often than who always names the most frequent class, on both sets: "
        "the items are probably not prepared as in training.",
    ),
    term(
        "squared_loss_of_logits | softmax",
        ("concentrate",),
        "Bounds here are on the squared loss of the outputs. Logits of a network trained with "
        "cross-entropy are far from one-hot targets even where it is right; --softmax shows the loss "
        "of its probabilities beside.",
    ),
    term(
        "labels_contradicted",
        ("concentrate",),
        "Another class beats the label by more than the margin by which the model is usually right.",
    ),
    term(
        "duplicates",
        ("concentrate",),
        "Items that are the same in every number. They are no independent draws; an item in both sets "
        "hides a difference.",
    ),
    term(
        "landmarks",
        ("concentrate",),
        "Items that stand for all, where the Gram matrix of all would be too large: β1 and ‖v‖₂ become "
        "intervals.",
    ),
    term("executor", ("concentrate",), "How kernels are formed: matrix products, or counted bits."),
    term(
        "plan | cells | sent",
        ("concentrate",),
        "What `--plan` says before a run: pairs, operations, bytes and memory, and seconds by the stage. "
        "Cells are the entries of all maps over one pair; sent is what each of several processes sends.",
    ),
    # theories
    *THEORY_TERMS,
    term(
        "claim | constructed",
        ("reproduce",),
        "What the source states, beside the figure computed here; constructed: from a proof's own "
        "construction, not from training.",
    ),
)
