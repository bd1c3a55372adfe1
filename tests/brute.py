"""The oracle: every path of a tiny network, one by one, in float64."""

from dataclasses import dataclass

import numpy as np

from gencheck.network.ir import Add, Affine, Dense, Gate, Input, Network, Reshape


@dataclass
class Path:
    """One path to one unit: z for every item, and the product of the weights on it."""

    z: np.ndarray
    weight: float


def enumerate_paths(network: Network, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All paths of the network on `items` of shape (N, d).

    Returns z of shape (N, d_z) and path weights of shape (d_z, K).
    """
    ones = np.ones(len(items))
    tensors: list[list[list[Path]]] = []
    for node in network.nodes:
        match node:
            case Input():
                units = [[Path(column.copy(), 1.0)] for column in items.T]
            case Dense():
                units = [
                    _dense_unit(tensors[node.source], row, _bias(node, k), ones)
                    for k, row in enumerate(node.weight.double().tolist())
                ]
            case Affine():
                units = [
                    [Path(p.z, p.weight * float(node.scale[c])) for p in paths]
                    + [Path(ones, float(node.shift[c]))]
                    for c, paths in enumerate(tensors[node.source])
                ]
            case Gate():
                units = [_gated(paths, node.slope) for paths in tensors[node.source]]
            case Add():
                units = [
                    a + b for a, b in zip(tensors[node.left], tensors[node.right], strict=True)
                ]
            case Reshape():
                units = tensors[node.source]
        tensors.append(units)
    outputs = tensors[-1]
    features = np.stack([p.z for p in outputs[0]], axis=1)
    weights = np.array([[p.weight for p in paths] for paths in outputs]).T
    return features, weights


def _bias(node: Dense, unit: int) -> float | None:
    return None if node.bias is None else float(node.bias[unit])


def _dense_unit(
    sources: list[list[Path]], row: list[float], bias: float | None, ones: np.ndarray
) -> list[Path]:
    paths = [Path(p.z, p.weight * w) for unit, w in zip(sources, row, strict=True) for p in unit]
    return paths if bias is None else [*paths, Path(ones, bias)]


def _gated(paths: list[Path], slope: float) -> list[Path]:
    value = sum(p.z * p.weight for p in paths)
    gate = np.where(value > 0, 1.0, slope)
    return [Path(p.z * gate, p.weight) for p in paths]
