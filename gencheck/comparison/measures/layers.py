"""A network as a chain of linear layers with Lipschitz maps between them, and the layers' norms."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from gencheck.comparison.measures.capacity import named
from gencheck.network.algebra import NumericAlgebra
from gencheck.network.ir import (
    Add,
    Affine,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Gate,
    MaxPool,
    Network,
    Reshape,
    Select,
)
from gencheck.network.node import Node
from gencheck.network.scaled import Scaled

_POWER_STEPS = 60
# Frequencies on each axis at which a convolution's symbol is taken, for up to so many entries.
_FREQUENCIES, _SYMBOL_WORK = 32, 4e9


@dataclass(frozen=True)
class LinearLayer:
    """The operator norms of x ↦ A x + b, which `bias_norm` is ‖b‖₂ of.

    Attributes
    ----------
    lower, upper
        Ends of ‖A‖_σ.
    two_one
        ‖[A, b]ᵀ‖_{2,1}: the Euclidean norms of the units' weights, bias included, summed.
    inputs, outputs
        Units.
    lipschitz
        The Lipschitz constant, an upper end, of the maps between this layer and the next.
    homogeneous
        False where one of those maps does not commute with positive factors.
    """

    label: str
    lower: float
    upper: float
    bias_norm: float
    two_one: float
    inputs: int
    outputs: int
    lipschitz: float = 1.0
    homogeneous: bool = True


class NotAChainError(Exception):
    """The network is no chain of linear layers and Lipschitz maps; says which node is why."""


def chain_of(network: Network) -> list[LinearLayer]:
    """The linear layers from input to output.

    Raises
    ------
    NotAChainError
        A node has two sources or two readers, or is no Lipschitz map with 0 ↦ 0.
    """
    layers: list[LinearLayer] = []
    for position, node in enumerate(network.nodes[1:], 1):
        if isinstance(node, Add | Concat) or node.sources != (position - 1,):
            raise NotAChainError(f"{named(node)} joins two branches")
        source = network.nodes[position - 1]
        if isinstance(node, Dense | Conv | Affine):
            layers.append(_linear_layer(node, source))
            continue
        if not layers:
            if isinstance(node, Reshape | Select):
                continue
            raise NotAChainError(f"{named(node)} comes before every layer")
        lipschitz, homogeneous = _lipschitz(node, source)
        last = layers[-1]
        layers[-1] = replace(
            last,
            lipschitz=last.lipschitz * lipschitz,
            homogeneous=last.homogeneous and homogeneous,
        )
    return layers


def _is_fixed(node: Gate) -> bool:
    """False where training moves the slope: the classes of the theories hold it fixed."""
    return node.kind != "prelu"


def _lipschitz(node: Node, source: Node) -> tuple[float, bool]:
    """The Lipschitz constant of a node without weights, and whether it is positive homogeneous."""
    match node:
        case Reshape():
            return 1.0, True
        case Select():
            used = torch.from_numpy(node.index).flatten()
            most = int(torch.bincount(used[used >= 0]).max()) if bool((used >= 0).any()) else 1
            return math.sqrt(most), True
        case Gate(slope=Tensor() as slope) if _is_fixed(node) and float(slope.abs().max()) <= 1:
            return 1.0, True
        case Clamp() if node.low <= 0 <= node.high:
            return 1.0, False
        case MaxPool():
            reads = torch.from_numpy(node.windows.sources).flatten()
            return math.sqrt(int(torch.bincount(reads[reads >= 0]).max())), False
        case AvgPool():
            return _product_bound(node, source), True
    raise NotAChainError(f"{named(node)} is not 1-Lipschitz with 0 at 0")


def _linear_layer(node: Dense | Conv | Affine, source: Node) -> LinearLayer:
    bias = node.shift if isinstance(node, Affine) else node.bias
    squares = _applied(node, torch.square, _ones(source))
    by_unit = torch.zeros(node.shape, dtype=torch.float64) if bias is None else _spread(bias, node)
    lower, upper = spectral_norm(node, source)
    return LinearLayer(
        label=node.label,
        lower=lower,
        upper=upper,
        bias_norm=float(by_unit.square().sum().sqrt()),
        two_one=float((squares + by_unit.square()).sqrt().sum()),
        inputs=prod(source.shape),
        outputs=prod(node.shape),
    )


def _spread(bias: Tensor, node: Node) -> Tensor:
    shape = bias.shape if isinstance(node, Affine) else (-1, *[1] * (len(node.shape) - 1))
    return bias.double().cpu().reshape(shape).expand(node.shape)


def _ones(source: Node) -> Tensor:
    return torch.ones((1, *source.shape), dtype=torch.float64)


def _applied(
    node: Dense | Conv | Affine | AvgPool, change: Callable[[Tensor], Tensor], value: Tensor
) -> Tensor:
    """f(A) applied to one tensor of shape (1, *source), without the bias."""
    algebra, scaled = NumericAlgebra(value, change, _no_gates), Scaled(value, 0)
    match node:
        case Dense():
            result = algebra.dense(replace(node, bias=None), scaled)
        case Conv():
            result = algebra.conv(replace(node, bias=None), scaled)
        case Affine() if node.scale is not None:
            result = algebra.affine(replace(node, shift=None), scaled)
        case AvgPool():
            result = algebra.avg_pool(node, scaled)
        case _:
            result = scaled
    return result.plain()[0]


def _no_gates(position: int, node: object, value: Scaled) -> None:
    return None


def _identity(parameter: Tensor) -> Tensor:
    return parameter


def spectral_norm(node: Dense | Conv | Affine, source: Node) -> tuple[float, float]:
    """Both ends of ‖A‖_σ for the layer's operator on its whole tensor, without its bias.

    Dense: the largest singular value. Convolution: the lower end by power iteration on the operator
    itself, padding and stride included; the upper end the smaller of √(‖A‖₁ ‖A‖_∞) and the largest
    singular value of the symbol Σ_t W_t e^{iθt} over all frequencies, of which zero padding and
    stride leave a part.
    """
    if isinstance(node, Dense):
        value = float(torch.linalg.matrix_norm(node.weight.double().cpu(), 2))
        return value, value
    if isinstance(node, Affine):
        value = 1.0 if node.scale is None else float(node.scale.double().abs().max())
        return value, value
    lower = _power_iteration(node, source)
    upper = min(_product_bound(node, source), _symbol_bound(node))
    return min(lower, upper), upper


def _power_iteration(node: Conv, source: Node) -> float:
    """‖A v‖ / ‖v‖ after steps of v ← AᵀA v: a lower end of ‖A‖_σ."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn((1, *source.shape), dtype=torch.float64, generator=generator)
    value = 0.0
    for _ in range(_POWER_STEPS):
        size = float(vector.norm())
        if size == 0:
            return value
        vector = (vector / size).requires_grad_()
        image = _applied(node, _identity, vector)
        value = max(value, float(image.detach().norm()))
        (vector,) = torch.autograd.grad(image.square().sum() / 2, vector)
    return value


def _product_bound(node: Conv | AvgPool, source: Node) -> float:
    """√(‖A‖₁ ‖A‖_∞) ≥ ‖A‖_σ: the largest column and row sums of |A|."""
    ones = _ones(source).requires_grad_()
    rows = _applied(node, torch.abs, ones)
    (columns,) = torch.autograd.grad(rows.sum(), ones)
    return math.sqrt(float(rows.detach().max()) * float(columns.max()))


def _symbol_bound(node: Conv) -> float:
    """sup_θ ‖Σ_t W_t e^{iθt}‖_σ from above.

    ‖Ŵ(θ) u‖² is a real trigonometric polynomial of degree k − 1 on each axis; between N equispaced
    frequencies it exceeds its values there by at most 1 / cos(π (k − 1)/N) an axis (M. Riesz' lemma).
    """
    weight = node.weight.double().cpu()
    out, inner, *kernel = weight.shape
    grid = [1 if k == 1 else _FREQUENCIES for k in kernel]
    smaller, larger = sorted((out // node.groups, inner))
    work = prod(grid) * node.groups * smaller**2 * larger
    if work > _SYMBOL_WORK or max(kernel) > _FREQUENCIES // 4:
        return math.inf
    grouped = weight.reshape(node.groups, out // node.groups, inner, *kernel)
    axes = tuple(range(3, 3 + len(kernel)))
    symbol = torch.fft.fftn(grouped, s=grid, dim=axes)
    matrices = symbol.flatten(3).permute(0, 3, 1, 2)
    peak = float(torch.linalg.matrix_norm(matrices, 2).max())
    excess = prod(math.cos(math.pi * (k - 1) / n) for k, n in zip(kernel, grid, strict=True))
    return peak / math.sqrt(excess)


def homogeneous_norms(layers: list[LinearLayer]) -> list[float]:
    """Upper ends of ‖Ã_i‖_σ, with biases made weights of a coordinate that is always 1.

    Ã = [[A, b], [0, 1]], and [A, b] for the last layer; the corner is taken as the reference M, so
    that it adds nothing to the (2, 1) norm. Without any bias, Ã = A.
    """
    if not any(layer.bias_norm for layer in layers):
        return [layer.upper for layer in layers]
    norms = []
    for layer in layers[:-1]:
        block = torch.tensor([[layer.upper, layer.bias_norm], [0.0, 1.0]], dtype=torch.float64)
        norms.append(float(torch.linalg.matrix_norm(block, 2)))
    return [*norms, math.hypot(layers[-1].upper, layers[-1].bias_norm)]


def homogeneous_lipschitz(layers: list[LinearLayer]) -> list[float]:
    """Lipschitz constants of the maps between layers, the coordinate that is always 1 carried along.

    (u, 1) ↦ (φ(u), 1) has max(1, L): where there are biases, no pool shrinks that coordinate.
    """
    least = 1.0 if any(layer.bias_norm for layer in layers) else 0.0
    return [max(least, layer.lipschitz) for layer in layers]


def first_moment(items: Tensor, constant: bool) -> float:
    """Max over coordinates of √(Σ_i x_i²), the constant 1 of biases counted where there is one."""
    peak = float(items.double().flatten(1).square().sum(0).max().sqrt())
    return max(peak, math.sqrt(len(items))) if constant else peak
