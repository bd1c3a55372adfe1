"""Scores that no bound on a mean applies to, by their names, and what can be bounded instead."""

import re

from gencheck.errors import InputError

# A score that is no mean over items; by a word of its name, what it is and what can be done.
_INSTEAD = {
    "a rank statistic over pairs of items": (
        ("auc", "auroc", "auprc", "roc", "gini", "concordance"),
        "bound the 0-1 error at a threshold fixed beforehand (--predictions), or a squared loss of "
        "the probabilities, which lies in [0, 1] (--losses … --loss bounded)",
    ),
    "a ratio of counts that are both random": (
        (
            *("f1", "f2", "fbeta", "precision", "recall", "sensitivity", "specificity", "ppv"),
            *("npv", "dice", "jaccard", "iou", "miou", "mcc", "matthews", "kappa", "balanced"),
            "macro",
        ),
        "bound the error among the items of one class (recall) or of one prediction (precision) by a "
        "file of those items alone, or the 0-1 error of all",
    ),
    "an average over ranks or thresholds": (
        ("map", "map50", "map75", "ap", "ap50", "ap75"),
        "bound the mean over images of a loss in [0, 1] of each image (--losses … --loss bounded)",
    ),
    "a score of a whole corpus": (
        ("bleu", "sacrebleu", "chrf", "ter", "wer", "cer", "perplexity", "ppl"),
        "bound the mean of the same score of each item, which is another figure "
        "(--losses … --loss bounded)",
    ),
    "a function of a mean, not a mean": (
        ("r2", "rmse", "pearson", "spearman", "correlation", "pearsonr", "spearmanr"),
        "bound the mean of a squared loss with a range fixed beforehand (--loss-range A B)",
    ),
}
# A mean over items, but of a loss without an upper limit.
_WITHOUT_LIMIT = frozenset(
    {"loss", "nll", "entropy", "logloss", "mse", "mae", "error2", "deviance", "elbo", "bpb", "bpc"}
)


def refuse_no_mean(name: str, where: str, ranged: bool) -> None:
    """Check that the score of a name is a mean over items of a loss with limits.

    Parameters
    ----------
    ranged
        True where the user stated the loss's range.

    Raises
    ------
    InputError
        By its name it is not; says what can be bounded instead.
    """
    words = _words(name)
    for kind, (names, instead) in _INSTEAD.items():
        if words & set(names):
            raise InputError(
                where=where,
                found=f"{name!r}, {kind}",
                required="a score that is a mean over the validation items",
                remedy=f"What can be done instead: {instead}.",
            )
    if words & _WITHOUT_LIMIT and not ranged and not words & {"zero", "01", "binary"}:
        raise InputError(
            where=where,
            found=f"{name!r}, a loss without an upper limit by its name",
            required="an error rate, or a loss with limits",
            remedy=(
                "State what it can be with --loss-range A B, fixed before the items were seen (or "
                "--loss bounded for [0, 1]); a loss without limits has to be clipped first."
            ),
        )


def _words(name: str) -> set[str]:
    """The words of a name, as it is written and split at its capitals, and of usual ones run together."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = set(re.split(r"[^a-z0-9]+", f"{name} {apart}".lower()))
    return words | {
        word for word, pattern in _JOINED.items() if any(re.fullmatch(pattern, w) for w in words)
    }


_PART = "(train|val|valid|test|dev|eval)"
_JOINED = {
    "auc": rf"({_PART}|pr|roc|macro|micro)auc|auc(roc|pr|score)",
    "f1": rf"({_PART}|macro|micro)f1|f1(score|macro|micro|weighted)",
    "loss": rf"{_PART}loss",
}
