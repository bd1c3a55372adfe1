"""What chose the trials of a study, where its store says so."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Of Optuna's samplers that leave a mark in a store: the mark, the name.
_LOOKS_AT_SCORES = {
    "tpe": "TPE",
    "cma": "CMA-ES",
    "NSGAIISampler": "NSGA-II",
    "NSGAIIISampler": "NSGA-III",
}
_FIXED_BEFOREHAND = {"grid_id": "grid", "qmc": "quasi-Monte Carlo"}
# Keras Tuner's oracles by the keys that their state has alone.
_KERAS_ORACLES = {"brackets": "Hyperband", "num_initial_points": "Bayesian optimisation"}


@dataclass(frozen=True)
class Sampler:
    """What chose the trials, as the store has it; `adaptive` where it looks at earlier scores."""

    name: str
    adaptive: bool


_RAY_SEARCH = Sampler("a search algorithm of Ray's", adaptive=True)
_PLAIN_SEARCH = Sampler("grid or random search", adaptive=False)
# By the beginning of the file in which Ray keeps its state.
_RAY = {
    "pbt_": Sampler("population based training", adaptive=True),
    "searcher-state-": _RAY_SEARCH,
    "search_gen_state-": _RAY_SEARCH,
    "basic-variant-state-": _PLAIN_SEARCH,
}


def optuna_sampler(marks: Iterable[str]) -> Sampler | None:
    """By the keys of the system attributes that it left; None where it left none.

    The random, brute-force and Gaussian process samplers leave none; before Optuna 5 nor does TPE.
    """
    names = {mark.partition(":")[0] for mark in marks}
    for known, adaptive in ((_LOOKS_AT_SCORES, True), (_FIXED_BEFOREHAND, False)):
        found = sorted(known[name] for name in names & known.keys())
        if found:
            return Sampler(" and ".join(found), adaptive)
    return None


def ray_sampler(files: list[str]) -> Sampler | None:
    """By the names of an experiment's files."""
    for beginning, sampler in _RAY.items():
        if any(name.startswith(beginning) for name in files):
            return sampler
    return None


def hydra_sampler(configuration: str) -> Sampler | None:
    """By `hydra.yaml`: Hydra's own sweeper takes values from the line, plugins ask Optuna or others."""
    _, found, rest = configuration.partition("\n  sweeper:")
    target = re.search(r"_target_: (\S+)", rest) if found else None
    if target is None:
        return None
    name = target[1].rpartition(".")[2]
    return Sampler(name, adaptive=name != "BasicSweeper")


def keras_sampler(state: dict[str, Any]) -> Sampler:
    """By `oracle.json`."""
    for key, name in _KERAS_ORACLES.items():
        if key in state:
            return Sampler(name, adaptive=True)
    return _PLAIN_SEARCH
