"""How often each validation bound misses, against the δ that it promises.

    python -m tests.benchmarks.coverage_study > docs/coverage.md

For each setting, |F| models with the same true risk are drawn and validated on items of their own,
which is the hardest case for the union over models; a replicate misses where any of the |F| bounds
lies below the true risk.
"""

import bisect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gencheck.bounds.betting import betting_rejects
from gencheck.bounds.evidence import Evidence
from gencheck.bounds.validation import validation_bounds
from tests.benchmarks.coverage_of_scores import rows

REPLICATES = 2000


@dataclass(frozen=True)
class Setting:
    """One row of the study."""

    loss: str
    risk: float
    m: int
    delta: float
    models: int


@dataclass(frozen=True)
class Row:
    """A setting with each bound's miss rate."""

    setting: Setting
    misses: dict[str, float]


def allowed(delta: float, replicates: int = REPLICATES) -> float:
    """δ and three standard deviations of a rate that is δ."""
    return delta + 3 * math.sqrt(delta * (1 - delta) / replicates)


BETA = {"Beta(0.2, 2)": (0.2, 2.0), "Beta(2, 2)": (2.0, 2.0)}


def settings() -> Iterator[Setting]:
    """All settings: Bernoulli losses counted, Bernoulli and Beta losses one by one."""
    grid = list(itertools.product((20, 200), (0.05, 0.2), (1, 5)))
    for risk, (m, delta, models) in itertools.product((0.02, 0.3), grid):
        yield Setting("0-1", risk, m, delta, models)
    yield Setting("0-1", 0.1, 5000, 0.1, 100)
    for m, delta, models in grid:
        yield Setting("Bernoulli, one by one", 0.1, m, delta, models)
        for name, (a, b) in BETA.items():
            yield Setting(name, a / (a + b), m, delta, models)


def study(setting: Setting, seed: int = 0, replicates: int = REPLICATES) -> Row:
    """The miss rates of one setting."""
    generator = np.random.default_rng([seed, setting.m, setting.models, len(setting.loss)])
    level, shape = _level(setting), (replicates, setting.models)
    if setting.loss == "0-1":
        means = generator.binomial(setting.m, setting.risk, shape) / setting.m
        misses = missed_by_mean(setting.m, means.min(1), True, level, setting.risk)
    else:
        losses = _losses(setting, generator, (*shape, setting.m))
        means = losses.mean(-1)
        misses = missed_by_mean(setting.m, means.min(1), False, level, setting.risk)
        for name, missed in missed_by_losses(losses, level, setting.risk).items():
            misses[name] = missed.any(1)
    return Row(setting, {name: float(misses[name].mean()) for name in _names(setting)})


def _level(setting: Setting) -> float:
    return math.log(setting.models) - math.log(setting.delta)


def _names(setting: Setting) -> list[str]:
    one_by_one = setting.loss != "0-1"
    losses = np.zeros(setting.m) if one_by_one else None
    evidence = Evidence(setting.m, 0.0, not one_by_one, losses)
    return [bound.name for bound in validation_bounds(evidence, _level(setting))]


def _losses(
    setting: Setting, generator: np.random.Generator, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if setting.loss in BETA:
        return generator.beta(*BETA[setting.loss], shape)
    return (generator.random(shape) < setting.risk) * 1.0


def missed_by_mean(
    m: int, means: NDArray[np.float64], binary: bool, level: float, risk: float
) -> dict[str, NDArray[np.bool_]]:
    """Where each bound that needs the mean alone lies below `risk`, by its name.

    Every bound grows with the mean (a test holds this), so of many models the smallest mean decides,
    and of many replicates those up to some mean miss: it is found by bisection.
    """
    known: dict[float, dict[str, bool]] = {}

    def missed(mean: float) -> dict[str, bool]:
        if mean not in known:
            bounds = validation_bounds(Evidence(m, mean, binary), level)
            known[mean] = {bound.name: bound.risk < risk for bound in bounds}
        return known[mean]

    distinct = np.unique(means)
    counts = {
        name: bisect.bisect_left(distinct, True, key=lambda mean: not missed(float(mean))[name])
        for name in missed(float(distinct[0]))
    }
    return {name: np.isin(means, distinct[:count]) for name, count in counts.items()}


def missed_by_losses(
    losses: NDArray[np.float64], level: float, risk: float
) -> dict[str, NDArray[np.bool_]]:
    """Where each bound that needs every loss lies below `risk`; losses are of shape (..., m).

    The same comparison as risk < end, without searching for the end.
    """
    m = losses.shape[-1]
    doubled = level + math.log(2)
    spread = np.sqrt(2 * losses.var(-1, ddof=1) * doubled / m)
    ends = losses.mean(-1) + spread + 7 * doubled / (3 * (m - 1))
    return {"betting": betting_rejects(losses, risk, level), "empirical-bernstein": ends < risk}


def main() -> None:
    """Print the page of the study."""
    print(__doc__.split("\n")[0].join(("# Coverage, measured\n\n", "\n")))
    print("    python -m tests.benchmarks.coverage_study > docs/coverage.md\n")
    print(f"{REPLICATES} replicates a row. A replicate draws |F| models of the same true risk and")
    print("misses where any of their bounds lies below it. `≤` is δ and three standard deviations")
    print("of a rate that is δ.\n")
    # a set would forget their order
    names = list(dict.fromkeys(name for setting in settings() for name in _names(setting)))
    print(f"| loss | risk | m | δ | \\|F\\| | ≤ | {' | '.join(names)} |")
    print("|---|---|---|---|---|---|" + "---|" * len(names))
    for setting in settings():
        misses = study(setting).misses
        cells = [f"{misses[name]:.4f}" if name in misses else "" for name in names]
        s = setting
        head = [s.loss, f"{s.risk:.3g}", str(s.m), f"{s.delta:g}", str(s.models)]
        print(f"| {' | '.join([*head, f'{allowed(s.delta):.4f}', *cells])} |", flush=True)
    _print_scores()


def _print_scores() -> None:
    print("\n## Clusters, weights, groups, intervals and pairs\n")
    print("By the same command; a replicate misses where the truth lies outside, or where a test")
    print("rejects what is true. `≤` as above.\n")
    print("| bound or test | case | δ | ≤ | missed |\n|---|---|---|---|---|")
    for bound, case, delta, rate in rows():
        print(f"| {bound} | {case} | {delta:g} | {allowed(delta):.4f} | {rate:.4f} |", flush=True)


if __name__ == "__main__":
    main()
