"""What one audit is asked: a model, two sets of items, and how to go about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gencheck.audit.model import AuditedModel
from gencheck.audit.options import AuditOptions
from gencheck.load.split import Names
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.path_kernel import PathKernel
from gencheck.spectral.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Labelled:
    """Items of shape (N, *input_shape) and their targets y, shape (N, K) in float64.

    `indices` are the items' positions in their file, where these are not 0, 1, 2, …; `stored_shape`
    is the shape that flat items have there; `names` says what they are called there, by those
    positions.
    """

    items: Tensor
    targets: Tensor
    indices: Sequence[int] | None = None
    stored_shape: tuple[int, ...] | None = None
    names: Names | None = None


@dataclass(frozen=True)
class Question:
    """One audit: how far the sample S is from the reference T in the eyes of a model.

    Attributes
    ----------
    sample, reference
        S and T, the latter standing in for the distribution.
    task
        ``classification`` (one-hot targets) or ``regression``.
    ranks
        The processes that share the work.
    """

    model: AuditedModel
    sample: Labelled
    reference: Labelled
    task: str
    options: AuditOptions
    progress: Progress = SILENT
    ranks: Ranks = ALONE

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
        part, own = self.part_of(position)
        name = "sample" if position < len(self.sample.items) else "reference"
        return name, own if part.indices is None else int(part.indices[own])

    def part_of(self, position: int) -> tuple[Labelled, int]:
        """The set that a pooled item is of, and its number among the items chosen from there."""
        count = len(self.sample.items)
        if position < count:
            return self.sample, position
        return self.reference, position - count

    def file_of(self, position: int) -> str | None:
        """The name of a pooled item's file; None where it has none of its own."""
        names = self.part_of(position)[0].names
        return None if names is None else names.files.get(self.place(position)[1])

    def class_of(self, label: int) -> str | None:
        """What a class is called; None where classes have numbers alone."""
        for part in (self.sample, self.reference):
            if part.names is not None and label < len(part.names.classes):
                return part.names.classes[label]
        return None

    def kernel(self) -> PathKernel:
        """The path kernel of the network, under its own gates or another's."""
        made = PathKernel.of(self.network, gates=self.model.gates, options=self.options.kernel)
        return replace(made, ranks=self.ranks)

    def entering(self) -> Tensor:
        """The pooled tensors that enter the network: the items, or what the head makes of them."""
        items, options = torch.cat([self.sample.items, self.reference.items]), self.options
        if options.device.startswith("cuda"):
            # from pinned memory the host need not wait for the copy
            items = items.pin_memory()
        items, head = items.to(options.device, non_blocking=True), self.model.head
        if head is None:
            return items.to(options.dtype)
        if not self.model.whole_numbers:
            items = items.to(options.dtype)
        with torch.no_grad():
            parts = [head(part, options.dtype) for part in items.split(options.batch_size)]
        return torch.cat(parts)
