"""What one audit is asked: a model, two sets of items, and how to go about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gencheck.audit.model import AuditedModel
from gencheck.audit.options import AuditOptions
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.path_kernel import PathKernel


@dataclass(frozen=True)
class Labelled:
    """Items of shape (N, *input_shape) and their targets y, shape (N, K) in float64.

    `indices` are the items' positions in their file, where these are not 0, 1, 2, …; `stored_shape`
    is the shape that flat items have there.
    """

    items: Tensor
    targets: Tensor
    indices: Sequence[int] | None = None
    stored_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Question:
    """One audit: how far the sample S is from the reference T in the eyes of a model.

    Attributes
    ----------
    sample, reference
        S and T, the latter standing in for the distribution.
    task
        ``classification`` (one-hot targets) or ``regression``.
    """

    model: AuditedModel
    sample: Labelled
    reference: Labelled
    task: str
    options: AuditOptions
    progress: Progress = SILENT

    @property
    def network(self) -> Network:
        """The audited network."""
        return self.model.network

    @cached_property
    def difference(self) -> Difference:
        """Which pooled items are S and which T, and their targets: S first."""
        targets = torch.cat([self.sample.targets, self.reference.targets])
        return Difference(len(self.sample.items), targets)

    @property
    def count(self) -> int:
        """N + m."""
        return len(self.sample.items) + len(self.reference.items)

    def place(self, position: int) -> tuple[str, int]:
        """Where a pooled item comes from: its set, and its index in that set's file."""
        in_sample = position < len(self.sample.items)
        own = position if in_sample else position - len(self.sample.items)
        places = (self.sample if in_sample else self.reference).indices
        return "sample" if in_sample else "reference", own if places is None else int(places[own])

    def kernel(self) -> PathKernel:
        """The path kernel of the network, under its own gates or another's."""
        return PathKernel.of(self.network, gates=self.model.gates, options=self.options.kernel)

    def entering(self) -> Tensor:
        """The pooled tensors that enter the network: the items, or what the head makes of them."""
        items, options = torch.cat([self.sample.items, self.reference.items]), self.options
        items, head = items.to(options.device), self.model.head
        if head is None:
            return items.to(options.dtype)
        if not self.model.whole_numbers:
            items = items.to(options.dtype)
        with torch.no_grad():
            parts = [head(part, options.dtype) for part in items.split(options.batch_size)]
        return torch.cat(parts)
