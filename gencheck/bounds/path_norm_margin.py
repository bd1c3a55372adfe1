"""Margin bounds through the ℓ1 path norm: for chains of layers, and for any ReLU graph."""

import math

from gencheck.bounds.magnitude import Magnitude

CHAIN_SOURCE = (
    "Golowich, Rakhlin & Shamir, Size-Independent Sample Complexity of Neural Networks (2018), "
    "Theorem 2; Neyshabur, Tomioka & Srebro 2015 (path norm as the least product of norms); "
    "Maurer 2016 (vector contraction)"
)
GRAPH_SOURCE = (
    "Gonon, Brisebarre, Riccietti & Gribonval, A path-norm toolkit for modern networks "
    "(ICLR 2024), Theorem 3.1"
)


def chain_rademacher(
    path_norm: Magnitude,
    outputs: int,
    depth: int,
    inputs: int,
    data_scale: float,
    gamma: float,
    m: int,
) -> Magnitude:
    """ℜ ≤ 4 K r √(D + 1 + ln d) s / (γ m): of the ramp loss at margin γ, on the items themselves.

    One output of path norm r has ℜ ≤ (2/m) r √(D + 1 + ln d) s. The ramp loss of the margin is
    √2/γ-Lipschitz in the K outputs, and vector contraction costs another √2 and the sum over them.

    Parameters
    ----------
    path_norm
        r ≥ max_k ‖w_k‖₁.
    outputs, depth, inputs
        K, the number D of layers, and the number d of input coordinates, the constant 1 of biases
        counted among them.
    data_scale
        s = max over input coordinates of √(Σ_i x_i²).
    """
    factor = 4 * outputs * math.sqrt(depth + 1 + math.log(inputs)) * data_scale / (gamma * m)
    return Magnitude.of(factor) * path_norm


def graph_complexity(
    depth: int, inputs: int, outputs: int, pool_kinds: int = 0, pool_size: int = 1
) -> float:
    """C = √(D ln((3 + 2P) k) + ln((3 + 2P)/(1 + P) · (d_in + 1) d_out)).

    Parameters
    ----------
    depth
        D: the most neurons on any path.
    pool_kinds, pool_size
        P: how many kinds of max-pool there are; k: the taps of the largest, 1 where there is none.
    """
    kinds = 3 + 2 * pool_kinds
    tail = kinds / (1 + pool_kinds) * (inputs + 1) * outputs
    return math.sqrt(depth * math.log(kinds * pool_size) + math.log(tail))


def graph_expected_gap(
    path_norm: Magnitude, complexity: float, largest_input: float, gamma: float, m: int
) -> Magnitude:
    """E sup (R − R̂) ≤ (4 B / √m) C L r, with L = √2/γ for the ramp loss at margin γ.

    Parameters
    ----------
    path_norm
        r ≥ Σ_k ‖w_k‖₁: the path norm over all outputs.
    complexity
        C of `graph_complexity`.
    largest_input
        B ≥ max(1, ‖x‖_∞) for every input.
    """
    factor = 4 * largest_input * complexity * math.sqrt(2) / (gamma * math.sqrt(m))
    return Magnitude.of(factor) * path_norm
