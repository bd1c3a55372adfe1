"""The algebras that carry numbers: logits, path norms and path counts, each a few functions.

An algebra says what an input coordinate, a weight, a constant, a bias and a gate contribute to a
path; sums over paths follow. Values carry a power of two, so that a hundred wide layers neither
overflow nor underflow; powers of two keep every scaling exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gencheck.network.computed import Attend, Centre, Constant, Embed, Scale
from gencheck.network.interpret import interpret
from gencheck.network.ir import (
    INSIDE,
    Affine,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Gate,
    Input,
    MaxPool,
    Network,
    Reshape,
    Select,
)
from gencheck.network.on_device import on_device
from gencheck.network.planes import (
    GatedNode,
    Planes,
    channels_of,
    decided,
    gate_values,
    taps_of,
    window_taps,
)
from gencheck.network.scaled import Scaled, at_exponent, rescaled


@dataclass(frozen=True)
class NumericAlgebra:
    """Sums over paths of products of contributions.

    Attributes
    ----------
    start
        Shape (N, *input_shape): what each input coordinate contributes.
    weight
        What a trainable weight, a bias or a constant contributes, elementwise: w, w², |w| or 1.
    gates
        What the gates of a node contribute: from its position, the node and the values that enter
        it, one tensor a plane; None where every gate contributes 1. The planes of a max-pool have
        shape (N, channels, windows).
    tokens
        True where `start` holds the tokens of items; else what each place contributes to every token.
    rescale
        What brings values back into range.
    """

    start: Tensor
    weight: Callable[[Tensor], Tensor]
    gates: Callable[[int, GatedNode, Scaled], Planes | None]
    tokens: bool = False
    rescale: Callable[[Tensor, int], Scaled] = rescaled

    def _of(self, parameter: Tensor) -> Tensor:
        return self.weight(on_device(parameter, self.start, self.start.dtype))

    def input(self, node: Input) -> Scaled:
        """Every path starts here, at a bias or at a constant."""
        return self.rescale(self.start, 0)

    def dense(self, node: Dense, value: Scaled) -> Scaled:
        """f(W) x + f(b)."""
        product = value.mantissa @ self._of(node.weight).T
        return self._plus(product, value.exponent, self._if_any(node.bias))

    def conv(self, node: Conv, value: Scaled) -> Scaled:
        """f(W) * x + f(b)."""
        windows = node.windows
        rank = len(windows.extent)
        run = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
        read, padding = value.mantissa, windows.padding
        if not windows.is_padded_alike:
            read, padding = functional.pad(read, windows.pads), (0,) * rank
        bias = None if node.bias is None else self._of(node.bias).reshape(-1, *[1] * rank)
        product = run(
            read,
            self._of(node.weight),
            stride=windows.stride,
            padding=padding,
            dilation=windows.dilation,
            groups=node.groups,
        )
        return self._plus(product, value.exponent, bias)

    def affine(self, node: Affine, value: Scaled) -> Scaled:
        """f(s) x + f(t), unit by unit."""
        paths = value.mantissa if node.scale is None else value.mantissa * self._of(node.scale)
        return self._plus(paths, value.exponent, self._if_any(node.shift))

    def _if_any(self, parameter: Tensor | None) -> Tensor | None:
        return None if parameter is None else self._of(parameter)

    def _plus(self, paths: Tensor, exponent: int, bias: Tensor | None) -> Scaled:
        value = Scaled(paths, exponent)
        if bias is not None:
            # the bias alone is brought to the paths' exponent: their sum is looked at once
            own = self.rescale(bias, 0)
            exponent = max(exponent, own.exponent)
            value = Scaled(at_exponent(value, exponent) + at_exponent(own, exponent), exponent)
        return self.rescale(value.mantissa, value.exponent)

    def gate(self, position: int, node: Gate, value: Scaled) -> Scaled:
        """Values times gates."""
        planes = self.gates(position, node, value)
        return value if planes is None else Scaled(value.mantissa * planes[0], value.exponent)

    def clamp(self, position: int, node: Clamp, value: Scaled) -> Scaled:
        """Values times the gates inside, plus the constants where it saturates."""
        planes = self.gates(position, node, value)
        if planes is not None:
            value = Scaled(value.mantissa * planes[INSIDE], value.exponent)
        for plane, end in node.ends:
            constant = self.weight(self.start.new_full((), end)).expand_as(value.mantissa)
            if planes is not None:
                constant = constant * planes[plane]
            value = self.add(value, self.rescale(constant, 0))
        return value

    def scale(self, position: int, node: Scale, value: Scaled) -> Scaled:
        """Values times computed gates."""
        planes = self.gates(position, node, value)
        if planes is None:
            return value
        gates = (
            planes[0]
            .index_select(1, on_device(node.index, value.mantissa))
            .reshape(-1, *node.shape)
        )
        return self.rescale(value.mantissa * gates, value.exponent)

    def attend(self, position: int, node: Attend, value: Scaled) -> Scaled:
        """The sum over sources of values times computed gates."""
        planes = self.gates(position, node, value)
        heads, targets, _ = node.shape
        if planes is None:
            total = value.mantissa.sum(2, keepdim=True).expand(-1, *node.shape)
        else:
            total = planes[0].view(-1, heads, targets, node.sources_count) @ value.mantissa
        return self.rescale(total, value.exponent)

    def centre(self, node: Centre, value: Scaled) -> Scaled:
        """f(s (1 − 1/n)) x + f(−s/n) · the others of the group + f(t)."""
        flat, members = value.mantissa.flatten(1), on_device(node.members, value.mantissa)
        count = members.shape[1]
        sums = flat[:, members].sum(2)[:, on_device(node.group_of, flat)]
        one = flat.new_ones((), dtype=torch.float64)
        scale = one if node.scale is None else on_device(node.scale, flat).double()
        scale = scale.expand(node.shape).reshape(-1)
        own, other = self._of(scale * (1 - 1 / count)), self._of(-scale / count)
        paths = own * flat + other * (sums - flat)
        return self._plus(paths.reshape(-1, *node.shape), value.exponent, self._if_any(node.shift))

    def constant(self, node: Constant) -> Scaled:
        """f(value), for every item."""
        return self.rescale(self._of(node.value).expand(len(self.start), *node.shape), 0)

    def embed(self, node: Embed, value: Scaled) -> Scaled:
        """F of the weights of each token, or their sum over all tokens where `start` has none."""
        weight = self._of(node.weight)
        if self.tokens:
            return self.rescale(weight[self.start.long()], 0)
        places = value.mantissa[..., None] * weight.sum(0)
        return self.rescale(places, value.exponent)

    def max_pool(self, position: int, node: MaxPool, value: Scaled) -> Scaled:
        """The sum over each window of values times gates."""
        planes = self.gates(position, node, value)
        taps = window_taps(value.mantissa, node.windows, 0.0)
        if planes is None:
            total = torch.stack(taps, 2).sum(2)
        else:
            # one gate of a window is open, so the order of the sum is without effect
            total = taps[0] * planes[0]
            for tap, plane in zip(taps[1:], planes[1:], strict=True):
                total = torch.addcmul(total, tap, plane)
        return self.rescale(total.reshape(-1, *node.shape), value.exponent)

    def avg_pool(self, node: AvgPool, value: Scaled) -> Scaled:
        """F(c) · the sum over each window."""
        reads = node.reads
        flat = value.mantissa.reshape(len(value.mantissa), channels_of(node, reads.shape[1]), -1)
        sums = taps_of(flat, reads, 0.0).sum(2) * self._of(node.constants)
        return self.rescale(sums.reshape(-1, *node.shape), value.exponent)

    def select(self, node: Select, value: Scaled) -> Scaled:
        """Units by index, 0 where there is none."""
        flat = value.mantissa.flatten(1)
        index = on_device(node.index, flat)
        if bool((node.index < 0).any()):
            flat = functional.pad(flat, (0, 1))
            index = torch.where(index < 0, flat.shape[1] - 1, index)
        # a gather, since the gradient of indexing adds one entry at a time
        chosen = torch.gather(flat, 1, index.expand(len(flat), -1))
        return Scaled(chosen.reshape(-1, *node.shape), value.exponent)

    def add(self, left: Scaled, right: Scaled) -> Scaled:
        """The sum, at the larger exponent."""
        exponent = max(left.exponent, right.exponent)
        return self.rescale(at_exponent(left, exponent) + at_exponent(right, exponent), exponent)

    def concat(self, node: Concat, values: list[Scaled]) -> Scaled:
        """Side by side, at the largest exponent."""
        exponent = max(value.exponent for value in values)
        parts = [at_exponent(value, exponent) for value in values]
        return self.rescale(torch.cat(parts, node.axis + 1), exponent)

    def reshape(self, node: Reshape, value: Scaled) -> Scaled:
        """Row-major order."""
        return Scaled(value.mantissa.reshape(-1, *node.shape), value.exponent)


def identity_weight(parameter: Tensor) -> Tensor:
    """A weight contributes itself."""
    return parameter


def logits(
    network: Network, items: Tensor, rescale: Callable[[Tensor, int], Scaled] = rescaled
) -> tuple[Scaled, dict[int, Planes]]:
    """The outputs h(x) and the gates that the items set.

    Parameters
    ----------
    items
        Shape (N, *input_shape), floating point; weights are taken in its dtype and device.
    rescale
        What brings values back into range, or watches that they stay there.

    Returns
    -------
    outputs, planes
        Outputs of shape (N, K), and by position of each gated node its planes (see `decided`).
    """
    planes: dict[int, Planes] = {p: [g] for p, g in network.computed_gates(items).items()}

    def record(position: int, node: GatedNode, value: Scaled) -> Planes:
        if position not in planes:
            planes[position] = decided(node, value)
        return [gate_values(node, plane, value.mantissa) for plane in planes[position]]

    algebra = NumericAlgebra(items, identity_weight, record, network.takes_tokens, rescale)
    return interpret(network, algebra), planes


def gated_logits(
    network: Network,
    items: Tensor,
    planes: dict[int, Planes],
    rescale: Callable[[Tensor, int], Scaled] = rescaled,
) -> Scaled:
    """z·w: the outputs with the gates held at `planes`, linear in the items' path features."""

    def fixed(position: int, node: GatedNode, value: Scaled) -> Planes:
        return [gate_values(node, plane, value.mantissa) for plane in planes[position]]

    algebra = NumericAlgebra(items, identity_weight, fixed, network.takes_tokens, rescale)
    return interpret(network, algebra)


def open_gates(position: int, node: GatedNode, value: Scaled) -> None:
    """Every gate contributes 1."""
    return


def _sum_over_paths(network: Network, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """log2 Σ_p Π weight(edge of p), for each output, with all gates open. Shape (K,)."""
    start = torch.ones((1, *network.input_shape), dtype=torch.float64)
    return interpret(network, NumericAlgebra(start, weight, open_gates)).log2()[0]


def log2_l2_squared(network: Network) -> Tensor:
    """log2 of the squared ℓ2 path norm Σ_p w²_{p,k} of each output. Shape (K,)."""
    return _sum_over_paths(network, torch.square)


def log2_l1(network: Network) -> Tensor:
    """log2 of the ℓ1 path norm Σ_p |w_{p,k}| of each output. Shape (K,)."""
    return _sum_over_paths(network, torch.abs)


def log2_path_count(network: Network) -> float:
    """log2 d_z, the logarithm of the number of paths to one output."""
    return float(_sum_over_paths(network, torch.ones_like)[0])
