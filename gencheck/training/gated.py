"""A network whose gates stay those of a frozen copy while its weights move."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.frontend.aten import AtenGraph
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.plain_copy import differ_in_numbers_alone, parametrised_weights
from gencheck.network.frontend.trace import trace
from gencheck.network.gated_run import gated_run, require_same_architecture


class GatedNetwork(nn.Module):
    """h_k(x) = Σ_p z_p(x; gates) · w_{p,k}(weights): linear in the path weights for fixed gates.

    Two modules of one architecture: `gates` decides, for each item, which units and which edges of
    max-pools are active (and PReLU's slopes); `weights` carries everything else. It behaves like
    any module: ``parameters()`` that require gradients are those of `weights`, ``state_dict()`` has
    both, and it moves between devices and dtypes. Both are kept in eval mode, in which normalisation
    is an affine map and dropout does nothing; that is the network that the path view speaks of.

    The graph is traced at the first forward, for the shape of the items seen there.

    Parameters
    ----------
    gates
        The network after the standard phase. Its parameters stop requiring gradients.
    weights
        A network of the same architecture; often a copy of `gates` to start with.
    like
        A gated network of copies of the same two modules, whose graphs serve this one too.

    Raises
    ------
    InputError
        The two differ in architecture; or, at a forward, weights are computed by hooks.
    UnsupportedModel
        At the first forward: the architecture has operations outside the path view, or gates that are
        computed from several tensors (attention, normalisation by items, squeeze-excite).

    Source: two-phase training, Kawaguchi, Kaelbling & Bengio, "Generalization in Deep Learning".
    """

    def __init__(self, gates: nn.Module, weights: nn.Module, *, like: Self | None = None) -> None:
        super().__init__()
        if gates is weights:
            raise InputError(
                where="GatedNetwork",
                found="one module as both gates and weights",
                required="two modules; pass copy.deepcopy(gates) as the weights",
            )
        self.gates, self.weights = gates, weights
        for parameter in gates.parameters():
            parameter.requires_grad_(False)
        self._graphs: dict[tuple[int, ...], AtenGraph] = {} if like is None else like._graphs
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Record the mode; both parts stay in eval mode."""
        self.training = mode
        self.gates.eval()
        self.weights.eval()
        return self

    def forward(self, items: Tensor) -> Tensor:
        """Outputs of shape (N, K) for items of shape (N, …)."""
        graph = self._graph(tuple(items.shape[1:]), not items.is_floating_point())
        return gated_run(
            graph, items, _constants(graph, self.gates), _constants(graph, self.weights)
        )

    def _graph(self, shape: tuple[int, ...], tokens: bool) -> AtenGraph:
        if shape not in self._graphs:
            graph = trace(self.weights, shape, tokens, any_batch=True)
            if not differ_in_numbers_alone(self.gates, self.weights):
                require_same_architecture(graph, trace(self.gates, shape, tokens, any_batch=True))
            computed = lower(graph).gate_places()
            if computed:
                reason = "its gates would move with the weights; train --solver ridge covers it"
                places = (f"{place['kind']} at {place['layer']}" for place in computed)
                raise UnsupportedModel([f"{place} ({reason})" for place in places])
            self._graphs[shape] = graph
        return self._graphs[shape]

    def __getstate__(self) -> dict[str, Any]:
        """Without the traced graphs, which are made again where they are needed."""
        return self.__dict__ | {"_graphs": {}}


def _constants(graph: AtenGraph, module: nn.Module) -> dict[str, Tensor]:
    """The constants that calls refer to, as they are in the module now."""
    own: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    own |= dict(module.named_buffers(remove_duplicate=False)) | parametrised_weights(module)
    like = next(iter(own.values()), torch.zeros(()))
    found = {}
    for name, constant in graph.constants.items():
        origin = own.get(graph.origins.get(name, ""))
        if origin is None and name in graph.parameters:
            raise InputError(
                where="GatedNetwork",
                found=f"{graph.origins[name]}, which a hook computes",
                required="weights that are parameters, or that a parametrization computes",
                remedy="Apply the hook (remove_weight_norm, prune.remove), or use "
                "torch.nn.utils.parametrizations.",
            )
        found[name] = constant.to(like.device) if origin is None else origin
    return found
