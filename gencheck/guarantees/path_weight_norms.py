"""Norms of path weights, seen from zero or from the standard phase's own."""

from dataclasses import dataclass, replace

from torch import Tensor

from gencheck.bounds.magnitude import Magnitude, total
from gencheck.network.algebra import log2_l2_squared
from gencheck.network.innerproducts import path_inner_products
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
    """‖w_k − w⁰_k‖₂² and ‖w_k‖₂² of each output, for path weights of `own` and w⁰ of `base`."""
    squares = [Magnitude.from_log2(x) for x in log2_l2_squared(own).tolist()]
    origin = [Magnitude.from_log2(x) for x in log2_l2_squared(base).tolist()]
    products = [Magnitude.of(-2 * value, e) for value, e in path_inner_products(own, base)]
    moved = [
        a + b + c if Magnitude(0.0, 0) <= a + b + c else Magnitude(0.0, 0)
        for a, b, c in zip(squares, origin, products, strict=True)
    ]
    return moved, squares


def difference_of_two(network: Network) -> Network:
    """The network of one output h_1 − h_0."""
    last = network.output_layer
    bias = None if last.bias is None else last.bias[1:] - last.bias[:1]
    head = replace(last, shape=(1,), weight=last.weight[1:] - last.weight[:1], bias=bias)
    assert isinstance(head, Dense)
    return Network((*network.nodes[:-1], head))


def norms_of_solution(square: Tensor, exponent: int) -> dict[str, Magnitude]:
    """Norms from the matrix ⟨u_k, u_l⟩, which is given in units of 2**−exponent."""
    diagonal = [Magnitude.of(max(value, 0.0), -exponent) for value in square.diagonal().tolist()]
    kinds = {"max": largest(diagonal).sqrt(), "frobenius": total(diagonal).sqrt()}
    if len(diagonal) == 2:
        apart = float(square[0, 0] + square[1, 1] - 2 * square[0, 1])
        kinds["difference"] = Magnitude.of(max(apart, 0.0), -exponent).sqrt()
    return kinds


def norms_around(
    network: Network, square: Tensor, inner: Tensor, exponent: int
) -> dict[str, Magnitude]:
    """Norms of w⁰ + u, from ⟨u_k, u_l⟩ and ⟨u_k, w⁰_l⟩ in units of 2**−exponent."""
    base = [Magnitude.from_log2(x) for x in log2_l2_squared(network).tolist()]
    added = square + inner + inner.T
    diagonal = [
        own + Magnitude.of(value, -exponent)
        for own, value in zip(base, added.diagonal().tolist(), strict=True)
    ]
    kinds = {"max": largest(diagonal).sqrt(), "frobenius": total(diagonal).sqrt()}
    if len(diagonal) == 2:
        apart = float(added[0, 0] + added[1, 1] - added[0, 1] - added[1, 0])
        own = Magnitude.from_log2(float(log2_l2_squared(difference_of_two(network))[0]))
        kinds["difference"] = (own + Magnitude.of(apart, -exponent)).sqrt()
    return kinds


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
