"""Who is to blame: the items that make up β1."""

from collections.abc import Sequence

from torch import Tensor

from gencheck.result import ItemShare
from gencheck.spectral.difference import Difference


def largest_shares(
    terms: Tensor,
    difference: Difference,
    indices: tuple[Sequence[int] | None, Sequence[int] | None],
    task: str,
    count: int,
) -> tuple[ItemShare, ...]:
    """The `count` items with the largest terms of β1, largest first; none where β1 is not positive.

    β1 = (1/n)Σ_T (z·u)² − (1/m)Σ_S (z·u)²: what the reference has and the sample lacks comes first,
    and items of the sample, whose terms are negative, come last.

    Parameters
    ----------
    terms
        d_i (z_i·u)² of the pooled items, shape (N,), in any unit; they add up to β1.
    indices
        The positions of the sample's and of the reference's items in their files; None where they
        are 0, 1, 2, …
    """
    whole = float(terms.sum())
    if not whole > 0:
        return ()
    found = []
    for position in terms.argsort(descending=True, stable=True)[:count].tolist():
        in_sample = position < difference.sample_count
        own = position if in_sample else position - difference.sample_count
        places = indices[0 if in_sample else 1]
        found.append(
            ItemShare(
                set="sample" if in_sample else "reference",
                index=own if places is None else int(places[own]),
                label=_label(difference.targets[position], task),
                share=float(terms[position]) / whole,
            )
        )
    return tuple(found)


def _label(target: Tensor, task: str) -> int | float | tuple[float, ...]:
    if task == "classification":
        return int(target.argmax())
    return float(target[0]) if len(target) == 1 else tuple(target.tolist())
