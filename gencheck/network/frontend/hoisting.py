"""A choice of positions behind the last dense layer, moved before it.

A classifier of texts may score every token and keep one token's scores. Dense layers treat each
token alike, so the token can be chosen first: then the layer is the last one.
"""

from collections.abc import Callable
from dataclasses import replace

from gencheck.network.frontend.aten import AtenGraph, Call, Ref


def with_positions_chosen_first(graph: AtenGraph, rank: Callable[[str], int]) -> AtenGraph:
    """The same model, where a choice of positions of the last dense layer's output is its output.

    Parameters
    ----------
    rank
        The number of axes of a tensor by its name, the batch included.
    """
    calls = {call.name: call for call in graph.calls}
    choice = calls.get(graph.output)
    dense = calls.get(choice.args[0].name) if choice and _chooses(choice, rank) else None
    if choice is None or dense is None or dense.target != "aten.linear.default":
        return graph
    readers = [c for c in graph.calls if any(ref.name == dense.name for ref in c.references())]
    if readers != [choice]:
        return graph
    chosen = f"{dense.name}+{choice.name}"
    before = replace(choice, name=chosen, args=(dense.args[0], *choice.args[1:]))
    after = replace(dense, name=choice.name, args=(Ref(chosen), *dense.args[1:]))
    kept = [call for call in graph.calls if call not in (choice, dense)]
    return replace(graph, calls=(*kept, before, after))


def _chooses(call: Call, rank: Callable[[str], int]) -> bool:
    """True where a call chooses along axes before the last one of its first argument."""
    if not call.args or not isinstance(call.args[0], Ref):
        return False
    axes = rank(call.args[0].name)
    if call.target == "aten.index.Tensor":
        return len(call.args[1]) < axes
    return call.target == "aten.select.int" and 0 < int(call.args[1]) % axes < axes - 1
