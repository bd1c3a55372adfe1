"""The search for the path with the largest |v_p| where there are too many to enumerate."""

import torch
from torch import Tensor

from gencheck.spectral.paths import BIAS, Path, PathSpace, Step

BEAM_WIDTH = 64
RANDOM_STARTS = 64


def best_path(space: PathSpace, weights: Tensor, seed: int) -> tuple[float, Path]:
    """A path with a large |v_p| = |Σ_i c_i z_p(x_i)|, and that value in float64.

    Beam search forward through the gatherings, then coordinate ascent (one step of the path is
    changed at a time, all its alternatives tried at once) from the beam's best paths and from
    random ones. The result is a lower end: some path attains it.
    """
    narrow = weights.to(space.like.dtype)
    generator = torch.Generator().manual_seed(seed)
    starts = _beam(space, narrow)
    starts += [path for _ in range(RANDOM_STARTS) if (path := _random(space, generator))]
    best = -1.0
    found: Path = ()
    seen: set[Path] = set()
    for start in starts:
        path = _ascended(space, narrow, start, seen)
        if path is None:
            continue
        value = abs(float(weights.double() @ space.feature(path).double()))
        if value > best:
            best, found = value, path
    return max(best, 0.0), found


def _beam(space: PathSpace, weights: Tensor) -> list[Path]:
    """Complete paths, best first: at each gathering keep those that could still become largest."""
    kept: list[tuple[Tensor, list[Path]]] = []
    for g, gathering in enumerate(space.gatherings):
        columns: list[Tensor] = []
        paths: list[Path] = []
        if gathering.bias:
            columns.append(space.ones())
            paths.append((Step(g, BIAS, 0),))
        for t, term, factor in space.terms(g):
            if factor.values.shape[1] == 0:
                continue
            base, before = (space.ones(), [()]) if term.carrier is None else kept[term.carrier]
            weighted = weights[:, None] * base
            score = _score(weighted, factor.values, complete=g == space.last)
            top = score.flatten().topk(min(BEAM_WIDTH, score.numel())).indices.tolist()
            for at in top:
                row, unit = divmod(at, score.shape[1])
                columns.append(base[:, row : row + 1] * factor.values[:, unit : unit + 1])
                paths.append((Step(g, t, int(factor.units[unit])), *before[row]))
        kept.append((torch.cat(columns, 1) if columns else space.ones()[:, :0], paths))
    return kept[space.last][1]


def _score(weighted: Tensor, factor: Tensor, complete: bool) -> Tensor:
    """|v_p| of complete paths; of partial ones the most that a continuation could reach."""
    if complete:
        return (weighted.T @ factor).abs()
    positive = weighted.clamp(min=0).T @ factor.clamp(min=0)
    negative = (-weighted).clamp(min=0).T @ factor.clamp(min=0)
    if bool((factor < 0).any()):
        positive = positive + (-weighted).clamp(min=0).T @ (-factor).clamp(min=0)
        negative = negative + weighted.clamp(min=0).T @ (-factor).clamp(min=0)
    return torch.maximum(positive, negative)


def _random(space: PathSpace, generator: torch.Generator) -> Path | None:
    """A path drawn step by step, from the output back; None where it ran into a dead layer."""
    steps: list[Step] = []
    gathering: int | None = space.last
    while gathering is not None:
        options = [(t, term, c) for t, term, c in space.terms(gathering) if len(c.units)]
        choices = len(options) + int(space.gatherings[gathering].bias)
        if choices == 0:
            return None
        pick = int(torch.randint(choices, (), generator=generator))
        if pick == len(options):
            return (*steps, Step(gathering, BIAS, 0))
        t, term, columns = options[pick]
        unit = int(torch.randint(len(columns.units), (), generator=generator))
        steps.append(Step(gathering, t, int(columns.units[unit])))
        gathering = term.carrier
    return tuple(steps)


def _ascended(space: PathSpace, weights: Tensor, path: Path, seen: set[Path]) -> Path | None:
    """The path after coordinate ascent; None where an earlier ascent has passed the same path."""
    improved = True
    while improved:
        if path in seen:
            return None
        seen.add(path)
        improved = False
        for position, step in enumerate(path):
            if step.term == BIAS:
                continue
            rest = space.feature(path[:position] + path[position + 1 :]) * weights
            columns = space.columns[step.gathering, step.term]
            values = (rest @ columns.values).abs()
            at = int(values.argmax())
            current = abs(float(rest @ space.column(step)))
            if float(values[at]) > current * (1 + 1e-6):
                changed = Step(step.gathering, step.term, int(columns.units[at]))
                path = (*path[:position], changed, *path[position + 1 :])
                improved = True
    return path
