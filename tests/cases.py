"""Random cases on zoo networks, with everything that brute force says about them."""

import io
from dataclasses import dataclass, replace
from functools import cache
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.question import Labelled
from gencheck.network.frontend.aten import AtenGraph
from gencheck.network.frontend.trace import trace
from gencheck.network.ir import Network
from tests.brute import enumerate_paths
from tests.networks import ZOO, build


@dataclass
class Truth:
    """Every figure of an audit, from all paths one by one."""

    beta1: float
    v_sup: np.ndarray
    v_l2: np.ndarray
    beta3: float
    l2_squared: np.ndarray
    l1: np.ndarray
    path_count: int
    kernel: np.ndarray
    outputs: np.ndarray
    gap: float
    bound: float
    tightest: float


@dataclass
class Case:
    """A network with a sample and a reference."""

    module: nn.Module
    subject: AuditedModel
    sample: Labelled
    reference: Labelled
    task: str
    deciding: Network | None = None

    def truth(self) -> Truth:
        """What enumeration of all paths says."""
        m = len(self.sample.items)
        items = torch.cat([self.sample.items, self.reference.items])
        targets = torch.cat([self.sample.targets, self.reference.targets]).numpy()
        z, w = enumerate_paths(self.subject.network, items.reshape(len(items), -1).numpy())
        if self.deciding is not None:
            z, _ = enumerate_paths(self.deciding, items.reshape(len(items), -1).numpy())
        n = len(items) - m
        weights = np.r_[np.full(m, -1 / m), np.full(n, 1 / n)]
        v = -z.T @ (weights[:, None] * targets)
        outputs = z @ w
        losses = ((outputs - targets) ** 2).sum(1)
        # all nonzero eigenvalues of zᵀDz lie in the span of the items: those of RDRᵀ with zᵀ = QR
        basis = np.linalg.qr(z.T)[1] if z.shape[1] > len(z) else z.T
        beta1 = float(np.linalg.eigvalsh((basis * weights) @ basis.T)[-1])
        beta3 = float(weights @ (targets**2).sum(1))
        l2, l1 = (w**2).sum(0), np.abs(w).sum(0)
        sup, norm = np.abs(v).max(0), np.linalg.norm(v, axis=0)
        correlation = np.minimum(sup * l1, norm * np.sqrt(l2)).sum()
        return Truth(
            beta1=beta1,
            v_sup=sup,
            v_l2=norm,
            beta3=beta3,
            l2_squared=l2,
            l1=l1,
            path_count=z.shape[1],
            kernel=z @ z.T,
            outputs=outputs,
            gap=float(weights @ losses),
            bound=beta1 * l2.sum() + 2 * sup.max() * l1.sum() + beta3,
            tightest=beta1 * l2.sum() + 2 * correlation + beta3,
        )


@cache
def _exported(name: str) -> AtenGraph:
    """torch.export takes a third of a second: each network is exported once, whatever its weights."""
    return trace(build(name), ZOO[name][1], logits=True)


@cache
def zoo_program(name: str) -> bytes:
    """The zoo's network `name` in float32, as torch.export saves it."""
    archive = io.BytesIO()
    items = torch.zeros(3, *ZOO[name][1])
    torch.export.save(torch.export.export(build(name).float(), (items,)), archive)
    return archive.getvalue()


def _with_weights_of(module: nn.Module, graph: AtenGraph) -> AtenGraph:
    state = module.state_dict()
    constants = {
        name: state.get(graph.origins[name], constant) for name, constant in graph.constants.items()
    }
    return replace(graph, constants=constants)


def zoo_subject(name: str, module: nn.Module, gates: nn.Module | None = None) -> AuditedModel:
    """A module of the zoo's network `name`, with whatever weights, as the audit sees it.

    With `gates`, they are those of a second such module.
    """
    graph = _exported(name)

    def traced(model: nn.Module, *_: object, **__: object) -> AtenGraph:
        return _with_weights_of(model, graph)

    with (
        patch("gencheck.network.frontend.trace.trace", traced),
        patch("gencheck.audit.model.trace", traced),
        # where tracing moves to another module, this says that it is no longer done once
        patch("torch.export.export", side_effect=AssertionError("exported once more")),
    ):
        return model_of_module(module, [ZOO[name][1]], gates=gates)


@cache
def _drawn(name: str, seed: int, two_phase: bool) -> tuple[nn.Module, AuditedModel]:
    module, gates = build(name, seed), build(name, seed + 100) if two_phase else None
    return module, zoo_subject(name, module, gates)


def random_case(
    name: str,
    seed: int = 0,
    m: int = 9,
    n: int = 13,
    task: str = "classification",
    two_phase: bool = False,
) -> Case:
    """The zoo network `name` with random weights, items and targets, all drawn from `seed`.

    With `two_phase`, the gates are those of a second network with weights of its own.
    """
    module, subject = _drawn(name, seed, two_phase)
    shape = ZOO[name][1]
    outputs = subject.network.output_count
    generator = torch.Generator().manual_seed(1000 + seed)

    def labelled(count: int) -> Labelled:
        items = torch.randn((count, *shape), generator=generator, dtype=torch.float64)
        if task == "regression":
            targets = torch.randn((count, outputs), generator=generator, dtype=torch.float64)
        else:
            labels = torch.randint(outputs, (count,), generator=generator)
            targets = torch.eye(outputs, dtype=torch.float64)[labels]
        return Labelled(items, targets)

    return Case(module, subject, labelled(m), labelled(n), task, subject.gates)
