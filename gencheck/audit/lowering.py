"""From a graph to the network, or to advice on what is covered."""

import torch

from gencheck.errors import UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.tail import coverable_layers
from gencheck.network.ir import Network


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
