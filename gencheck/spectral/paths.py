"""Paths as products of columns: one column of a term's factor for each gathering that is passed."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gencheck.network.ir import Network
from gencheck.network.terms import Gathering, Term
from gencheck.spectral.factors import Factors

BIAS = -1


@dataclass(frozen=True)
class Step:
    """Unit `unit` of term `term` in gathering `gathering`; term BIAS is the gathering's bias path."""

    gathering: int
    term: int
    unit: int


# From the output back to where the path starts.
Path: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Columns:
    """A term's factor with equal columns merged and zero columns dropped.

    Attributes
    ----------
    values
        Shape (N, C'), one column for each distinct nonzero one.
    units
        For each, the first unit that has it.
    """

    values: Tensor
    units: Tensor


class PathSpace:
    """The paths of a network on some items, addressed by steps; merged where they cannot differ."""

    def __init__(self, gatherings: tuple[Gathering, ...], factors: Factors) -> None:
        self.gatherings = gatherings
        self.like = factors.items
        self.count = factors.count
        self.columns = {
            (g, t): _merged(factors.of(term), factors)
            for g, gathering in enumerate(gatherings)
            for t, term in enumerate(gathering.terms)
        }

    @property
    def last(self) -> int:
        """The position of the gathering that is the kernel itself."""
        return len(self.gatherings) - 1

    def terms(self, gathering: int) -> list[tuple[int, Term, Columns]]:
        """The terms of a gathering with their positions and columns."""
        return [
            (t, term, self.columns[gathering, t])
            for t, term in enumerate(self.gatherings[gathering].terms)
        ]

    def path_count(self, gathering: int | None = None) -> int:
        """The number of distinct paths that reach a gathering, by default the last."""
        counts: list[int] = []
        for g, gathered in enumerate(self.gatherings):
            total = int(gathered.bias)
            for _, term, columns in self.terms(g):
                before = 1 if term.carrier is None else counts[term.carrier]
                total += before * len(columns.units)
            counts.append(total)
        return counts[self.last if gathering is None else gathering]

    def ones(self) -> Tensor:
        """The column of a bias path, shape (N, 1)."""
        return self.like.new_ones((self.count, 1))

    def column(self, step: Step) -> Tensor:
        """The factor column of one step, shape (N,)."""
        if step.term == BIAS:
            return self.ones()[:, 0]
        columns = self.columns[step.gathering, step.term]
        at = int((columns.units == step.unit).nonzero()[0, 0])
        return columns.values[:, at]

    def feature(self, path: Path) -> Tensor:
        """z_p for every item, shape (N,)."""
        product = self.ones()[:, 0]
        for step in path:
            product = product * self.column(step)
        return product


def _merged(factor: Tensor | None, factors: Factors) -> Columns:
    if factors.count == 0:
        return Columns(factors.items.new_ones((0, 0)), torch.zeros(0, dtype=torch.long))
    if factor is None:
        ones = factors.items.new_ones((factors.count, 1))
        return Columns(ones, torch.zeros(1, dtype=torch.long))
    # + 0.0 turns −0.0 into 0.0, so that equal columns have equal bytes
    rows = np.ascontiguousarray((factor.T + 0.0).cpu().numpy())
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    alive = first[(rows[first] != 0).any(1)]
    units = torch.from_numpy(alive)
    return Columns(factor[:, units.to(factor.device)].contiguous(), units)


def described(path: Path, gatherings: tuple[Gathering, ...], network: Network) -> list[str]:
    """A path in words, from its start to the last hidden unit: ``input[3, 5]``, ``layer fc1 unit 17``."""
    return [_step_in_words(step, gatherings, network) for step in reversed(path)]


def _step_in_words(step: Step, gatherings: tuple[Gathering, ...], network: Network) -> str:
    gathering = gatherings[step.gathering]
    if step.term == BIAS:
        return f"bias of layer {gathering.label}"
    term = gathering.terms[step.term]
    if term.from_input:
        place = np.unravel_index(step.unit, network.input_shape)
        return f"input[{', '.join(str(int(i)) for i in place)}]"
    if term.carrier is None:
        return f"bias of normalisation unit {step.unit} before layer {gathering.label}"
    return f"layer {gatherings[term.carrier].label} unit {step.unit}"
