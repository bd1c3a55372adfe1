"""Networks trained with and without DARC1, in pairs of one seed: what the comparison comes to."""

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from gencheck.errors import InputError
from gencheck.experiments.experiment import SOURCE, Comparison, ExperimentResult, Row

# The source's ratios of test errors, DARC1 over base.
PUBLISHED = {
    "MNIST without augmentation": 0.89,
    "MNIST": 0.95,
    "CIFAR-10": 0.97,
}
_LEVEL = 0.05
# Of fewer differences no test says anything.
FEWEST_SEEDS = 5
_EXACT_PAIRS = 16


@dataclass(frozen=True)
class Trained:
    """What one network came to: errors in [0, 1]; (1/m) max_k Σ_i |h_k(x_i)| on its own items."""

    train_error: float
    test_error: float
    magnitude: float


@dataclass(frozen=True)
class Pairs:
    """Networks with the same seed, items, initial weights and order, without and with the term.

    Attributes
    ----------
    first_seed
        The seed of the first pair; each next pair has the next.
    lam
        λ of the second of each pair.
    """

    first_seed: int
    lam: float
    base: tuple[Trained, ...]
    darc1: tuple[Trained, ...]

    @property
    def ratios(self) -> list[float | None]:
        """Test error DARC1/base of each pair; None where the base network makes no error."""
        return [
            with_term.test_error / base.test_error if base.test_error else None
            for base, with_term in zip(self.base, self.darc1, strict=True)
        ]

    @property
    def differences(self) -> list[float]:
        """Test error of DARC1 less that of its base, of each pair."""
        return [d.test_error - b.test_error for b, d in zip(self.base, self.darc1, strict=True)]

    @property
    def untested(self) -> str | None:
        """Why the differences are not tested; None where they are."""
        count = len(self.base)
        if count < FEWEST_SEEDS:
            return f"{count} seeds are too few for a test: at least {FEWEST_SEEDS} (--seeds)"
        if not any(self.differences):
            return "the errors of no pair differ"
        return None

    @property
    def t_test_p_value(self) -> float | None:
        """Two-sided, of Student's paired test, which takes the differences to be normal."""
        if self.untested is not None or len(set(self.differences)) == 1:
            return None
        return float(stats.ttest_1samp(self.differences, 0.0).pvalue)

    @property
    def sign_flip_p_value(self) -> float | None:
        """The share of all 2ⁿ choices of signs whose |Σ ± d_i| is at least |Σ d_i|.

        Exact at every n where, without an effect, the two networks of a pair are exchangeable: it is
        at least 2^{1−n}. Beyond 16 pairs, of 2¹⁶ choices drawn at random, the observed one counted in.
        """
        if self.untested is not None:
            return None
        found = np.array(self.differences)
        if len(found) <= _EXACT_PAIRS:
            signs = np.array(list(itertools.product((1, -1), repeat=len(found))))
        else:
            drawn = np.random.default_rng(0).choice((1, -1), (2**_EXACT_PAIRS, len(found)))
            signs = np.vstack([np.ones(len(found)), drawn])
        # equal sums in another order of terms round apart
        least = abs(found.sum()) - 1e-12 * np.abs(found).sum()
        return float((np.abs(signs @ found) >= least).mean())


def darc1_result(pairs: Pairs, settings: Mapping[str, Any]) -> ExperimentResult:
    """Mean and standard deviation of the ratio, the paired tests, and the outputs' magnitudes.

    Raises
    ------
    InputError
        Fewer than two base networks make an error on the test items: there is no ratio then.
    """
    known = [ratio for ratio in pairs.ratios if ratio is not None]
    if len(known) < 2:
        raise InputError(
            where="the test items",
            found="base networks without a single error on them",
            required="items hard enough for a ratio of errors",
        )
    mean, spread = statistics.fmean(known), statistics.stdev(known)
    return ExperimentResult(
        name="darc1",
        claim=(
            "DARC1 lowers the test error of its base model: ratio DARC1/base 0.89 on MNIST without "
            "augmentation, 0.95 on MNIST, 0.97 on CIFAR-10."
        ),
        certainty="estimated",
        rows=tuple(_rows(pairs)),
        comparisons=_comparisons(pairs, mean, spread, len(known)),
        settings={
            **settings,
            "seeds": len(pairs.base),
            "first_seed": pairs.first_seed,
            "ratio": {"mean": mean, "std": spread},
            "sign_flip_p_value": pairs.sign_flip_p_value,
            "paired_t_test_p_value": pairs.t_test_p_value,
            "untested": pairs.untested,
            "base_test_error": _summary(pairs.base),
            "darc1_test_error": _summary(pairs.darc1),
            "source": SOURCE,
        },
        differs=(
            "λ is chosen on held-out training items; the optimiser and its schedule are ours.",
            "No augmentation, so the source's 0.89 is the figure to compare on MNIST.",
            f"Here: {settings['network']} on {settings['items_per_seed']:,} items a seed of "
            f"{settings['data']}. The source trains convolutional networks on all of MNIST or CIFAR-10.",
        ),
        verdict=_verdict(pairs, mean, spread, len(known)),
        plot=partial(_plot, pairs),
    )


def _summary(networks: tuple[Trained, ...]) -> dict[str, float]:
    errors = [network.test_error for network in networks]
    return {"mean": statistics.fmean(errors), "std": statistics.stdev(errors)}


def _rows(pairs: Pairs) -> list[Row]:
    return [
        {
            "seed": pairs.first_seed + i,
            "base_test_error": base.test_error,
            "darc1_test_error": darc1.test_error,
            "ratio": pairs.ratios[i],
            "base_train_error": base.train_error,
            "darc1_train_error": darc1.train_error,
            "base_max_sum_h": base.magnitude,
            "darc1_max_sum_h": darc1.magnitude,
        }
        for i, (base, darc1) in enumerate(zip(pairs.base, pairs.darc1, strict=True))
    ]


def _comparisons(pairs: Pairs, mean: float, spread: float, count: int) -> tuple[Comparison, ...]:
    note = f"mean of {count} seeds, standard deviation {spread:.3f}"
    errors = [_summary(networks)["mean"] for networks in (pairs.base, pairs.darc1)]
    base, darc1 = (
        statistics.fmean(network.magnitude for network in networks)
        for networks in (pairs.base, pairs.darc1)
    )
    return (
        *(
            Comparison(f"test-error ratio; source on {name}", ratio, mean, note)
            for name, ratio in PUBLISHED.items()
        ),
        Comparison("ratio of the mean test errors", None, errors[1] / errors[0]),
        Comparison("(1/m) max_k Σ|h_k|, base", None, base),
        Comparison("(1/m) max_k Σ|h_k|, DARC1", None, darc1),
    )


def _verdict(pairs: Pairs, mean: float, spread: float, count: int) -> str:
    found = (
        f"The mean ratio is {mean:.3f} ± {spread / math.sqrt(count):.3f} (standard error, {count} "
        f"seeds) at λ = {pairs.lam:g}"
    )
    if pairs.sign_flip_p_value is None:
        return f"{found}; {pairs.untested}. Nothing is shown."
    found = f"{found}; sign-flip test on the errors: p = {pairs.sign_flip_p_value:.2g}"
    t_test = pairs.t_test_p_value
    found += "." if t_test is None else f" (paired t-test: {t_test:.2g})."
    if pairs.sign_flip_p_value >= _LEVEL:
        least = 2.0 ** (1 - len(pairs.base))
        few = (
            f" {len(pairs.base)} seeds can give no p below {least:.2g}." if least >= _LEVEL else ""
        )
        return f"{found}{few} No difference is shown at this scale."
    lower = sum(d.test_error for d in pairs.darc1) < sum(b.test_error for b in pairs.base)
    return f"{found} DARC1 {'lowers' if lower else 'raises'} the test error here."


def _plot(pairs: Pairs, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    for base, darc1 in zip(pairs.base, pairs.darc1, strict=True):
        left.plot([0, 1], [base.test_error, darc1.test_error], "o-", color="grey")
        right.plot([0, 1], [base.magnitude, darc1.magnitude], "o-", color="grey")
    for axes, label in ((left, "test error"), (right, "(1/m) max Σ|h|")):
        axes.set_xticks([0, 1], ["base", f"DARC1, λ = {pairs.lam:g}"])
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylabel(label)
    figure.suptitle("one line for each seed")
