"""A model with one output, read as a classifier into two."""

from dataclasses import replace

import torch
from torch import Tensor

from gencheck.audit.model import AuditedModel
from gencheck.network.ir import Dense, Network


def as_two_classes(model: AuditedModel) -> AuditedModel:
    """The model with outputs (0, h) in the place of its one output h.

    Class 1 is predicted where h > 0, as by a probability sigmoid(h) above one half: softmax over
    (0, h) is (1 − sigmoid(h), sigmoid(h)).
    """

    def own_output(items: Tensor) -> Tensor:
        h = model.own_output(items).reshape(-1, 1)
        return torch.cat([torch.zeros_like(h), h], 1)

    note = "one output h, read as two classes with outputs (0, h): labels 0 and 1"
    return replace(
        model,
        network=_with_zero_output(model.network),
        gates=None if model.gates is None else _with_zero_output(model.gates),
        own_output=own_output,
        notes=(*model.notes, note),
    )


def _with_zero_output(network: Network) -> Network:
    last = network.nodes[-1]
    assert isinstance(last, Dense)
    weight = torch.cat([torch.zeros_like(last.weight), last.weight])
    bias = None if last.bias is None else torch.cat([torch.zeros_like(last.bias), last.bias])
    dense = replace(last, weight=weight, bias=bias, shape=(2,))
    return replace(network, nodes=(*network.nodes[:-1], dense))
