"""The oracle: every path of a tiny network, one by one, in float64.

Written from the definition of a path alone: loops over units, windows and taps, with none of the
package's index arithmetic beyond the nodes' own parameters.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from gencheck.network import computed, ir
from gencheck.network.node import Node, Shape


@dataclass
class Unit:
    """All paths to one unit: z of shape (N, paths), the weights on them, shape (paths,).

    `start` holds the input coordinate at which each path starts, −1 at a constant.
    """

    z: np.ndarray
    w: np.ndarray
    start: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """The unit's value for every item."""
        return self.z @ self.w


def enumerate_paths(network: ir.Network, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All paths of the network on `items` of shape (N, d).

    Returns z of shape (N, d_z) and path weights of shape (d_z, K).
    """
    outputs = _outputs(network, items)
    return outputs[0].z, np.stack([unit.w for unit in outputs], axis=1)


def path_starts(network: ir.Network, items: np.ndarray) -> np.ndarray:
    """The input coordinate at which each path starts, −1 at a bias or a constant. Shape (d_z,)."""
    return _outputs(network, items)[0].start


def _outputs(network: ir.Network, items: np.ndarray) -> list[Unit]:
    tensors: list[list[Unit]] = []
    gates = _computed(network, items)
    for position, node in enumerate(network.nodes):
        read = [tensors[source] for source in node.sources]
        shapes = [network.nodes[source].shape for source in node.sources]
        if isinstance(node, computed.Scale | computed.Attend):
            tensors.append(_computed_units(node, read[0], gates[position]))
        else:
            tensors.append(_units(node, read, shapes, items))
    return tensors[-1]


def _computed(network: ir.Network, items: np.ndarray) -> dict[int, np.ndarray]:
    """Gates off the path are what the model's own operations make of the items."""
    given = torch.from_numpy(items).double().reshape(-1, *network.input_shape)
    return {position: g.numpy() for position, g in network.computed_gates(given).items()}


def _computed_units(node: Node, read: list[Unit], gates: np.ndarray) -> list[Unit]:
    ones = np.ones((len(gates), 1))
    if isinstance(node, computed.Scale):
        return [
            Unit(unit.z * gates[:, node.index[u]][:, None], unit.w, unit.start)
            for u, unit in enumerate(read)
        ]
    assert isinstance(node, computed.Attend)
    heads, targets, channels = node.shape
    count = node.sources_count
    weights = gates.reshape(-1, heads, targets, count)
    values = np.empty(len(read), object)
    values[:] = read
    values = values.reshape(heads, count, channels)
    made = []
    for g, t, c in itertools.product(range(heads), range(targets), range(channels)):
        parts = [values[g, s, c] for s in range(count)]
        made.append(
            _joined(
                [
                    Unit(p.z * weights[:, g, t, s][:, None], p.w, p.start)
                    for s, p in enumerate(parts)
                ],
                ones,
            )
        )
    return made


def _constant(z: np.ndarray, weight: float) -> Unit:
    return Unit(z, np.array([weight]), np.array([-1]))


def _units(
    node: Node, read: list[list[Unit]], shapes: list[Shape], items: np.ndarray
) -> list[Unit]:
    ones = np.ones((len(items), 1))
    match node:
        case computed.Constant():
            return [_constant(ones, w) for w in node.value.double().numpy().ravel().tolist()]
        case computed.Embed():
            return _embedded(node, items)
        case ir.Add():
            return [_joined([a, b], ones) for a, b in zip(read[0], read[1], strict=True)]
    return _moved_or_gated(node, read, shapes, items)


def _moved_or_gated(
    node: Node, read: list[list[Unit]], shapes: list[Shape], items: np.ndarray
) -> list[Unit]:
    ones = np.ones((len(items), 1))
    match node:
        case ir.Input():
            return [
                Unit(column[:, None].copy(), np.ones(1), np.array([j]))
                for j, column in enumerate(items.T)
            ]
        case ir.Concat():
            return _concatenated(node, read, shapes)
        case ir.Reshape():
            return read[0]
        case ir.Select():
            return [read[0][i] if i >= 0 else _nothing(ones) for i in node.index.tolist()]
        case ir.MaxPool():
            return _max_pool(node, read[0], shapes[0])
        case ir.Clamp():
            return [_clamped(node, unit, ones) for unit in read[0]]
        case ir.Gate():
            slopes = _spread(node.slope, node.shape)
            return [
                Unit(unit.z * _gate(node, unit.value, slopes, u)[:, None], unit.w, unit.start)
                for u, unit in enumerate(read[0])
            ]
    return _weighted_units(node, read[0], shapes[0], ones)


def _weighted_units(node: Node, read: list[Unit], shape: Shape, ones: np.ndarray) -> list[Unit]:
    match node:
        case ir.Dense():
            return [
                _weighted(read, row, _number(node.bias, k), ones)
                for k, row in enumerate(node.weight.double().numpy())
            ]
        case ir.Conv():
            return _conv(node, read, shape, ones)
        case ir.Affine():
            scale, shift = (_spread(t, node.shape) for t in (node.scale, node.shift))
            return [
                _weighted([unit], [1.0 if scale is None else scale[u]], _number(shift, u), ones)
                for u, unit in enumerate(read)
            ]
        case ir.AvgPool():
            return _avg_pool(node, read, ones)
        case computed.Centre():
            return _centre(node, read, ones)
    raise TypeError(node)


def _centre(node: computed.Centre, read: list[Unit], ones: np.ndarray) -> list[Unit]:
    scale, shift = (_spread(t, node.shape) for t in (node.scale, node.shift))
    made: dict[int, Unit] = {}
    for members in node.members.tolist():
        for u in members:
            own = 1.0 if scale is None else scale[u]
            weights = [own * (float(u == v) - 1 / len(members)) for v in members]
            made[u] = _weighted([read[v] for v in members], weights, _number(shift, u), ones)
    return [made[u] for u in range(len(read))]


def _embedded(node: computed.Embed, items: np.ndarray) -> list[Unit]:
    table = node.weight.double().numpy()
    made = []
    for place, tokens in enumerate(items.T):
        z = (tokens[:, None] == np.arange(len(table))).astype(float)
        made += [Unit(z, row, np.full(len(row), place)) for row in table.T]
    return made


def _concatenated(node: ir.Concat, read: list[list[Unit]], shapes: list[Shape]) -> list[Unit]:
    arrays = []
    for units, shape in zip(read, shapes, strict=True):
        array = np.empty(len(units), object)
        array[:] = units
        arrays.append(array.reshape(shape))
    return list(np.concatenate(arrays, node.axis).ravel())


def _number(tensor: object, at: int) -> float | None:
    return None if tensor is None else float(tensor[at])  # type: ignore[index]


def _spread(tensor: object, shape: Shape) -> np.ndarray | None:
    if tensor is None:
        return None
    return np.broadcast_to(tensor.double().numpy(), shape).ravel()  # type: ignore[attr-defined]


def _nothing(ones: np.ndarray) -> Unit:
    return Unit(ones[:, :0], np.zeros(0), np.zeros(0, int))


def _joined(units: list[Unit], ones: np.ndarray) -> Unit:
    units = [_nothing(ones), *units]
    z = np.concatenate([u.z for u in units], 1)
    w, start = (
        np.concatenate(parts) for parts in zip(*((u.w, u.start) for u in units), strict=True)
    )
    return Unit(z, w, start)


def _weighted(units: list[Unit], weights: object, bias: float | None, ones: np.ndarray) -> Unit:
    pairs = zip(units, weights, strict=True)  # type: ignore[call-overload]
    parts = [Unit(u.z, u.w * w, u.start) for u, w in pairs]
    return _joined(parts if bias is None else [*parts, _constant(ones, bias)], ones)


def _gate(node: ir.Gate, s: np.ndarray, slopes: np.ndarray | None, unit: int) -> np.ndarray:
    if slopes is not None:
        return np.where(s > 0, 1.0, slopes[unit])
    known = {
        "silu": lambda v: 1 / (1 + math.exp(-v)),
        "gelu": lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))),
        "gelu_tanh": lambda v: (
            0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
        ),
        "hardswish": lambda v: min(max(v + 3, 0), 6) / 6,
        "tanh": lambda v: math.tanh(v) / v if v else 1.0,
    }
    return np.array([known[node.kind](v) for v in s.tolist()])


def _clamped(node: ir.Clamp, unit: Unit, ones: np.ndarray) -> Unit:
    s = unit.value
    inside = ((s > node.low) & (s < node.high)).astype(float)[:, None]
    parts = [Unit(unit.z * inside, unit.w, unit.start)]
    parts.append(_constant((s >= node.high).astype(float)[:, None], node.high))
    if node.low != 0:
        parts.append(_constant((s <= node.low).astype(float)[:, None], node.low))
    return _joined(parts, ones)


def _window(windows: object, place: tuple[int, ...]) -> list[tuple[tuple[int, ...], object]]:
    """The taps of one window with the positions that they read, None outside."""
    reads = []
    for tap in itertools.product(*(range(k) for k in windows.kernel)):  # type: ignore[attr-defined]
        position = tuple(
            p * s - pad + t * d
            for p, s, pad, t, d in zip(
                place,
                windows.stride,  # type: ignore[attr-defined]
                windows.padding,  # type: ignore[attr-defined]
                tap,
                windows.dilation,  # type: ignore[attr-defined]
                strict=True,
            )
        )
        inside = all(0 <= p < e for p, e in zip(position, windows.extent, strict=True))  # type: ignore[attr-defined]
        reads.append((tap, position if inside else None))
    return reads


def _conv(node: ir.Conv, units: list[Unit], shape: Shape, ones: np.ndarray) -> list[Unit]:
    weight = node.weight.double().numpy()
    own = weight.shape[1]
    made = []
    for c in range(weight.shape[0]):
        group = c // (weight.shape[0] // node.groups)
        for place in itertools.product(*(range(n) for n in node.windows.out)):
            read, weights = [], []
            for i in range(own):
                for tap, position in _window(node.windows, place):
                    if position is not None:
                        at = np.ravel_multi_index((group * own + i, *position), shape)
                        read.append(units[at])
                        weights.append(weight[(c, i, *tap)])
            made.append(_weighted(read, weights, _number(node.bias, c), ones))
    return made


def _max_pool(node: ir.MaxPool, units: list[Unit], shape: Shape) -> list[Unit]:
    made = []
    for c in range(node.shape[0]):
        for place in itertools.product(*(range(n) for n in node.windows.out)):
            read = [
                units[np.ravel_multi_index((c, *position), shape)]
                for _, position in _window(node.windows, place)
                if position is not None
            ]
            largest = np.argmax([unit.value for unit in read], axis=0)
            parts = [
                Unit(unit.z * (largest == at)[:, None], unit.w, unit.start)
                for at, unit in enumerate(read)
            ]
            made.append(_joined(parts, np.ones((len(parts[0].z), 1))))
    return made


def _avg_pool(node: ir.AvgPool, units: list[Unit], ones: np.ndarray) -> list[Unit]:
    windows = node.reads.shape[1]
    channels = math.prod(node.shape) // windows
    positions = len(units) // channels
    made = []
    for c in range(channels):
        for r in range(windows):
            read = [units[c * positions + p] for p in node.reads[:, r].tolist() if p >= 0]
            made.append(_weighted(read, [float(node.constants[r])] * len(read), None, ones))
    return made
