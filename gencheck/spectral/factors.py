"""What each item contributes to the path kernel: its coordinates and its gates."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gencheck.network.algebra import gate_values, logits
from gencheck.network.ir import Gate, Network
from gencheck.network.terms import Term
from gencheck.progress import SILENT, Progress


@dataclass(frozen=True)
class Factors:
    """Coordinates and gates of N items, from which the factor of any term follows.

    Attributes
    ----------
    items
        Shape (N, d), floating point: the input coordinates; its dtype and device are the run's.
    active
        For the position of each gate node, booleans of shape (N, C).
    gates
        The gate nodes by position.
    """

    items: Tensor
    active: dict[int, Tensor]
    gates: dict[int, Gate]

    @property
    def count(self) -> int:
        """The number N of items."""
        return len(self.items)

    @property
    def nbytes(self) -> int:
        """The memory that the factors take, in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.items, *self.active.values()))

    def rows(self, index: slice | Tensor) -> "Factors":
        """The factors of some of the items."""
        chosen = {position: active[index] for position, active in self.active.items()}
        return replace(self, items=self.items[index], active=chosen)

    def of(self, term: Term) -> Tensor | None:
        """The factor of `term`, shape (N, width), or None where it is 1 everywhere."""
        product = self.items if term.from_input else None
        for position in term.gates:
            values = gate_values(self.gates[position], self.active[position], self.items)
            product = values if product is None else product * values
        return product


def forward(
    network: Network, items: Tensor, batch_size: int, progress: Progress = SILENT
) -> tuple[Factors, Tensor]:
    """The factors of `items` and the network's outputs on them, in batches.

    Parameters
    ----------
    items
        Shape (N, *input_shape), on the run's device and in its dtype.

    Returns
    -------
    factors, outputs
        Outputs in float64, shape (N, K), on the CPU; infinite where a logit overflows float64.
    """
    gates = {p: node for p, node in enumerate(network.nodes) if isinstance(node, Gate)}
    widths = network.widths
    active = {
        p: torch.empty((len(items), widths[p]), dtype=torch.bool, device=items.device)
        for p in gates
    }
    outputs = torch.empty((len(items), network.output_count), dtype=torch.float64)
    progress.start("gates", len(items), "items")
    for start in range(0, len(items), batch_size):
        rows = slice(start, min(start + batch_size, len(items)))
        batch_outputs, batch_active = logits(network, items[rows])
        scale = torch.tensor(batch_outputs.exponent)
        outputs[rows] = torch.ldexp(batch_outputs.mantissa.double().cpu(), scale)
        for position, values in batch_active.items():
            active[position][rows] = values
        progress.advance(rows.stop - rows.start)
    progress.finish()
    return Factors(items.reshape(len(items), -1), active, gates), outputs
