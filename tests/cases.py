"""Random cases on zoo networks, with everything that brute force says about them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.question import Labelled
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
        beta1 = float(np.linalg.eigvalsh(z.T @ (weights[:, None] * z))[-1])
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
def _traced(name: str, seed: int) -> tuple[nn.Module, AuditedModel]:
    """Tracing takes half a second; the same network is traced once."""
    module = build(name, seed)
    return module, model_of_module(module, [ZOO[name][1]])


@cache
def _traced_pair(name: str, seed: int) -> tuple[nn.Module, AuditedModel]:
    module, gates = build(name, seed), build(name, seed + 100)
    return module, model_of_module(module, [ZOO[name][1]], gates=gates)


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
    module, subject = (_traced_pair if two_phase else _traced)(name, seed)
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
