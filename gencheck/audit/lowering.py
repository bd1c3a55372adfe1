"""From a module to its graph, and from a graph to the network or to advice on what is covered."""

import torch
from torch import nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.tail import coverable_layers
from gencheck.network.frontend.trace import trace
from gencheck.network.ir import Network


def first_traceable(
    module: nn.Module, shapes: list[tuple[int, ...]], output: str | None
) -> AtenGraph:
    """The graph of the module for the first of the item shapes that it runs on.

    Raises
    ------
    InputError
        It runs on none of them; says why not on the first.
    """
    failure: InputError | None = None
    for whole_numbers in (False, True):
        for shape in shapes:
            try:
                return trace(module, shape, whole_numbers, output=output, logits=True)
            except InputError as error:
                failure = failure or error
    if failure is None:
        raise ValueError("no item shape to try")
    raise failure


def taken_off_notes(graph: AtenGraph) -> tuple[str, ...]:
    """For the record: what stood behind the outputs that are audited."""
    if not graph.taken_off:
        return ()
    steps = ", ".join(graph.taken_off)
    return (f"taken off behind the last dense layer: {steps}; the logits are audited",)


def lowered_or_advised(graph: AtenGraph) -> Network:
    """The network; where the model is not covered, the error names the layers from which it is."""
    try:
        return lower(graph)
    except UnsupportedModel as error:
        dtype = torch.int64 if graph.whole_numbers else torch.float32
        probe = torch.zeros((graph.batch or 2, *graph.input_shape), dtype=dtype)
        raise UnsupportedModel(error.offenders, coverable_layers(graph, probe)) from error
