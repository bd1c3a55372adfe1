"""Forward passes that leave the factors of items: gates packed as bits, and outputs."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gencheck.network.algebra import gated_logits, logits
from gencheck.network.computed import Computed
from gencheck.network.ir import Clamp, Gate, MaxPool, Network
from gencheck.network.on_device import on_device
from gencheck.network.planes import GatedNode, Planes
from gencheck.network.scaled import Scaled, Unscaled, rescaled
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.plane import Plane, packed
from gencheck.spectral.ranks import ALONE, Ranks, dealt

# Entries of the largest tensor of one forward pass: on a CPU so few that a layer's values are still in
# its caches when the next layer reads them.
_PASS_ENTRIES = {"cpu": 2**21, "cuda": 2**25}


def _channels_last(tensor: Tensor) -> Tensor:
    """Flat units of (N, channels, …) with the channels of a position side by side."""
    return tensor.movedim(1, -1).flatten(1)


def _slope(node: GatedNode, like: Tensor) -> Tensor | None:
    if not isinstance(node, Gate) or node.slope is None or not node.leaks:
        return None
    slope = on_device(node.slope, like, like.dtype)
    return _channels_last(slope.expand(node.shape)[None])[0]


def forward(
    network: Network,
    items: Tensor,
    batch_size: int,
    progress: Progress = SILENT,
    folder: Path | None = None,
    gates: Network | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Factors, Tensor]:
    """The factors of `items` and the network's outputs on them, in batches.

    Parameters
    ----------
    items
        Shape (N, *input_shape), on the run's device and in its dtype.
    batch_size
        The most items of one pass; wide networks take fewer at a time.
    folder
        Where the packed gates are kept in files that are mapped into memory; by default they are
        kept in memory itself.
    gates
        The network of the same structure that decides the gates; by default `network` itself.
    ranks
        Who passes which batches; each ends with all gates.

    Returns
    -------
    factors, outputs
        Outputs in float64, shape (N, K), on the CPU; infinite where a logit overflows float64.
    """
    step = max(1, min(batch_size, pass_entries(items.device.type) // widest_pass(network)))
    passes = _Passes(network, gates, items, folder)
    parts = _parts(len(items), step, ranks)
    own = parts[ranks.number]
    progress.start("gates", own.stop - own.start, "items")
    for start in range(own.start, own.stop, step):
        rows = slice(start, min(start + step, own.stop))
        passes.take(rows)
        if items.device.type == "cpu" or start == own.start or rows.stop == own.stop:
            # a device comes to rest for this: after the first pass and after the last
            passes.repeat()
        progress.advance(rows.stop - rows.start)
    outputs, planes = passes.outputs.cpu(), passes.planes
    if own.stop - own.start < len(items):
        for whole in (outputs, *(planes[key].stored for key in sorted(planes))):
            ranks.completed(whole, parts)
    progress.finish()
    return Factors(items.reshape(len(items), -1), planes), outputs


class _Passes:
    """Forward passes of batches, and what they leave."""

    def __init__(
        self, network: Network, gates: Network | None, items: Tensor, folder: Path | None
    ) -> None:
        self.network, self.gates, self.items, self.folder = network, gates, items, folder
        shape = (len(items), network.output_count)
        self.outputs = items.new_empty(shape, dtype=torch.float64)
        self.planes: dict[tuple[int, int], Plane] = {}
        self._watched: list[tuple[slice, Tensor]] = []
        self._rescaling = False

    def take(self, rows: slice) -> None:
        """Pass some items; on a device nothing is read back."""
        if self._rescaling:
            self._keep(rows, rescaled)
            return
        watch = Unscaled(self.items)
        self._keep(rows, watch)
        self._watched.append((rows, watch.left))

    def repeat(self) -> None:
        """Pass the items again whose values left the range; from then on all are rescaled."""
        if not self._watched:
            return
        left = torch.stack([flag for _, flag in self._watched]).tolist()
        for (rows, _), again in zip(self._watched, left, strict=True):
            if again:
                self._rescaling = True
                self._keep(rows, rescaled)
        self._watched.clear()

    def _keep(self, rows: slice, rescale: Callable[[Tensor, int], Scaled]) -> None:
        outputs, planes = outputs_and_planes(self.network, self.gates, self.items[rows], rescale)
        self.outputs[rows] = outputs.wide()
        for position, made in planes.items():
            for plane, values in enumerate(made):
                flat = _channels_last(values)
                stored = packed(flat) if flat.dtype == torch.bool else flat
                key = (position, plane)
                if key not in self.planes:
                    name = f"{position}-{plane}"
                    space = _space(stored, len(self.items), self.folder, name)
                    slope = _slope(_gated(self.network, position), self.items)
                    self.planes[key] = Plane(space, flat.shape[1], values.shape[1], slope)
                self.planes[key].stored[rows] = stored


def _parts(count: int, step: int, ranks: Ranks) -> list[slice]:
    """The items of each rank, in whole batches; all of them on every rank where batches are too few."""
    batches = -(-count // step)
    if batches < ranks.size:
        return [slice(0, count)] * ranks.size
    return [
        slice(part.start * step, min(part.stop * step, count))
        for part in dealt(batches, ranks.size)
    ]


def outputs_and_planes(
    network: Network,
    gates: Network | None,
    items: Tensor,
    rescale: Callable[[Tensor, int], Scaled] = rescaled,
) -> tuple[Scaled, dict[int, Planes]]:
    """z·w and the planes of gates, decided by `network` itself or by `gates`."""
    if gates is None:
        return logits(network, items, rescale)
    _, planes = logits(gates, items, rescale)
    return gated_logits(network, items, planes, rescale), planes


def _space(like: Tensor, count: int, folder: Path | None, name: str) -> Tensor:
    """Room for a plane of `count` items."""
    shape = (count, like.shape[1])
    if folder is None or like.device.type != "cpu" or like.shape[1] == 0:
        return like.new_empty(shape)
    path = folder / f"gates-{name}.bin"
    size = shape[0] * shape[1]
    flat = torch.from_file(str(path), shared=True, size=size, dtype=like.dtype)
    return flat.view(shape)


def pass_entries(device: str) -> int:
    """The entries that the largest tensor of one forward pass may have on a kind of device."""
    return _PASS_ENTRIES[device]


def widest_pass(network: Network) -> int:
    """The entries of the largest tensor of one item's forward pass."""
    widths = list(network.widths)
    for position, node in enumerate(network.nodes):
        if isinstance(node, MaxPool):
            widths.append(network.widths[position] * node.planes * 2)
    return max(widths)


def _gated(network: Network, position: int) -> GatedNode:
    node = network.nodes[position]
    assert isinstance(node, Gate | Clamp | MaxPool | Computed)
    return node
