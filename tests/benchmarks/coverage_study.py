"""How often each validation bound misses, against the δ that it promises.

    python -m tests.benchmarks.coverage_study > docs/coverage.md

For each setting, |F| models with the same true risk are drawn and validated on items of their own,
which is the hardest case for the union over models; a replicate misses where any of the |F| bounds
lies below the true risk.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gencheck.bounds.betting import betting_rejects
from gencheck.bounds.validation import Evidence, validation_bounds

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
    missed = _missed_counts if setting.loss == "0-1" else _missed_losses
    totals: Counter[str] = Counter()
    for names in missed(setting, generator, replicates):
        totals.update(names)
    return Row(setting, {name: totals[name] / replicates for name in _names(setting)})


def _level(setting: Setting) -> float:
    return math.log(setting.models) - math.log(setting.delta)


def _names(setting: Setting) -> list[str]:
    one_by_one = setting.loss != "0-1"
    losses = np.zeros(setting.m) if one_by_one else None
    evidence = Evidence(setting.m, 0.0, not one_by_one, losses)
    return [bound.name for bound in validation_bounds(evidence, _level(setting))]


def _missed_counts(
    setting: Setting, generator: np.random.Generator, replicates: int
) -> Iterator[set[str]]:
    known: dict[int, set[str]] = {}

    def missed(count: int) -> set[str]:
        if count not in known:
            bounds = validation_bounds(
                Evidence(setting.m, count / setting.m, True), _level(setting)
            )
            known[count] = {b.name for b in bounds if b.risk < setting.risk}
        return known[count]

    for counts in generator.binomial(setting.m, setting.risk, (replicates, setting.models)):
        # every bound grows with the count
        yield missed(int(counts.min()))


def _missed_losses(
    setting: Setting, generator: np.random.Generator, replicates: int
) -> Iterator[set[str]]:
    draw: Callable[[], np.ndarray]
    if setting.loss in BETA:
        a, b = BETA[setting.loss]
        draw = lambda: generator.beta(a, b, setting.m)  # noqa: E731
    else:
        draw = lambda: (generator.random(setting.m) < setting.risk) * 1.0  # noqa: E731
    level = _level(setting)
    for _ in range(replicates):
        names: set[str] = set()
        for _ in range(setting.models):
            losses = draw()
            mean = float(losses.mean())
            for evidence in (
                Evidence(setting.m, mean, False),
                Evidence(setting.m, mean, False, losses),
            ):
                names |= missed(evidence, level, setting.risk)
        yield names


def missed(evidence: Evidence, level: float, risk: float) -> set[str]:
    """The bounds that lie below `risk`; with losses, only those that need them."""
    if evidence.losses is None:
        return {b.name for b in validation_bounds(evidence, level) if b.risk < risk}
    # the same comparison as risk < end, without searching for the end
    names = {"betting"} if betting_rejects(evidence.losses, risk, level) else set()
    doubled = level + math.log(2)
    spread = math.sqrt(2 * evidence.losses.var(ddof=1) * doubled / evidence.m)
    if evidence.mean + spread + 7 * doubled / (3 * (evidence.m - 1)) < risk:
        names.add("empirical-bernstein")
    return names


def main() -> None:
    """Print the page of the study."""
    print(__doc__.split("\n")[0].join(("# Coverage, measured\n\n", "\n")))
    print("    python -m tests.benchmarks.coverage_study > docs/coverage.md\n")
    print(f"{REPLICATES} replicates a row. A replicate draws |F| models of the same true risk and")
    print("misses where any of their bounds lies below it. `≤` is δ and three standard deviations")
    print("of a rate that is δ.\n")
    names = (
        *("bernstein", "hoeffding", "kl", "binomial", "empirical-bernstein", "betting"),
        "hoeffding-bentkus",
    )
    print(f"| loss | risk | m | δ | \\|F\\| | ≤ | {' | '.join(names)} |")
    print("|---|---|---|---|---|---|" + "---|" * len(names))
    for setting in settings():
        misses = study(setting).misses
        cells = [f"{misses[name]:.4f}" if name in misses else "" for name in names]
        s = setting
        head = [s.loss, f"{s.risk:.3g}", str(s.m), f"{s.delta:g}", str(s.models)]
        print(f"| {' | '.join([*head, f'{allowed(s.delta):.4f}', *cells])} |", flush=True)


if __name__ == "__main__":
    main()
