"""Norms of path weights, seen from zero or from the standard phase's own."""

from dataclasses import dataclass, replace

from torch import Tensor

from gencheck.bounds.magnitude import Magnitude, total
from gencheck.network.algebra import log2_l2_squared
from gencheck.network.innerproducts import squared_path_distances
from gencheck.network.ir import Dense, Network


@dataclass(frozen=True)
class Weights:
    """The path weights under the bound, seen from one origin.

    Attributes
    ----------
    origin
        ``zero``, or ``standard phase``: its path weights.
    norms
        By kind: max, frobenius and, for two classes, difference.
    """

    origin: str
    norms: dict[str, Magnitude]


def squared_distances(own: Network, base: Network) -> tuple[list[Magnitude], list[Magnitude]]:
    """‖w_k − w⁰_k‖₂² and ‖w_k‖₂² of each output, for path weights of `own` and w⁰ of `base`.

    The distances are upper ends: what rounding may have taken from them is added.
    """
    squares = [Magnitude.from_log2(x) for x in log2_l2_squared(own).tolist()]
    distances, rounding = squared_path_distances(own, base)
    moved = [
        Magnitude.of(max(value, 0.0), distances.exponent) + Magnitude.of(lost, rounding.exponent)
        for value, lost in zip(distances.mantissa.tolist(), rounding.mantissa.tolist(), strict=True)
    ]
    return moved, squares


def difference_of_two(network: Network) -> Network:
    """The network of one output h_1 − h_0."""
    last = network.output_layer
    bias = None if last.bias is None else last.bias[1:] - last.bias[:1]
    head = replace(last, shape=(1,), weight=last.weight[1:] - last.weight[:1], bias=bias)
    assert isinstance(head, Dense)
    return Network((*network.nodes[:-1], head))


@dataclass(frozen=True)
class Solution:
    """Path weights u_k = Σ_l b_{lk} z_l in the span of some items' features.

    Attributes
    ----------
    coefficients
        b, shape (L, K), float64.
    products
        Σ_l′ ⟨z_l, z_l′⟩ b_l′, shape (L, K), float64, of a kernel in units of 2**exponent and
        coefficients in units of 2**−exponent.
    squares
        ‖z_l‖² in units of 2**exponent, shape (L,), float64.
    base
        h⁰ on them, shape (L, K), float64.
    rounding
        The relative rounding of the kernel's entries: ε of its dtype.
    """

    coefficients: Tensor
    products: Tensor
    squares: Tensor
    exponent: int
    base: Tensor
    rounding: float

    def norms(self) -> dict[str, Magnitude]:
        """Norms of u, upper ends of them: the kernel's rounding is added to its quadratic form."""
        diagonal = self._squares()
        kinds = {"max": largest(diagonal).sqrt(), "frobenius": total(diagonal).sqrt()}
        if self.coefficients.shape[1] == 2:
            kinds["difference"] = self._of_difference()._squares()[0].sqrt()
        return kinds

    def norms_around(self, network: Network) -> dict[str, Magnitude]:
        """Norms of w⁰ + u, for w⁰ of the network whose gates these are."""
        diagonal = self._squares_around(network)
        kinds = {"max": largest(diagonal).sqrt(), "frobenius": total(diagonal).sqrt()}
        if self.coefficients.shape[1] == 2:
            apart = self._of_difference()._squares_around(difference_of_two(network))
            kinds["difference"] = apart[0].sqrt()
        return kinds

    def _of_difference(self) -> "Solution":
        """u_1 − u_0 of two outputs."""
        b, products, base = (
            part[:, 1:] - part[:, :1] for part in (self.coefficients, self.products, self.base)
        )
        return replace(self, coefficients=b, products=products, base=base)

    def _squares(self) -> list[Magnitude]:
        """‖u_k‖² = b_kᵀ K b_k, and what rounding of K may have taken: ε (Σ_l |b_lk| √K_ll)²."""
        squares = (self.coefficients * self.products).sum(0).clamp(min=0)
        sizes = self.coefficients.abs().T @ self.squares.clamp(min=0).sqrt()
        lost = 4 * self.rounding * sizes.square()
        return [Magnitude.of(value, -self.exponent) for value in (squares + lost).tolist()]

    def _squares_around(self, network: Network) -> list[Magnitude]:
        """‖w⁰_k + u_k‖² = ‖w⁰_k‖² + 2⟨u_k, w⁰_k⟩ + ‖u_k‖², with ⟨u_k, w⁰_k⟩ = Σ_l b_lk h⁰_k(x_l)."""
        own = [Magnitude.from_log2(x) for x in log2_l2_squared(network).tolist()]
        products = (2 * (self.coefficients * self.base).sum(0)).tolist()
        return [
            start + Magnitude.of(product, -self.exponent) + moved
            for start, product, moved in zip(own, products, self._squares(), strict=True)
        ]


def weights_from(origin: str, squares: list[list[Magnitude]]) -> Weights:
    """Norms from ‖u_k‖₂² of each output and, for two classes, ‖u_1 − u_0‖₂²."""
    kinds = {"max": largest(squares[0]).sqrt(), "frobenius": total(squares[0]).sqrt()}
    if len(squares) > 1:
        kinds["difference"] = squares[1][0].sqrt()
    return Weights(origin, kinds)


def largest(values: list[Magnitude]) -> Magnitude:
    """The largest of the values."""
    largest = values[0]
    for value in values[1:]:
        if largest <= value:
            largest = value
    return largest
