"""What any choice of landmarks can give: β1's interval from subspaces of one dimension, ever more known.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.landmark_limits [--items 2000] [--landmarks 400]

The items and the network of `tests.benchmarks.landmarks`. Three subspaces of as many dimensions as there
are landmarks: of those that `concentrate --landmarks` takes, of those that randomly pivoted Cholesky
draws (Chen, Epperly, Tropp, Webber 2023, not looked up), and of the first eigenvectors of K, which no
choice of choice of items can surpass in what it leaves of the trace.

For each: the part of β1 that the span holds, and the upper end over the lower one with the residual known
in blocks of as many items as there are landmarks (what is computed), with M known whole (which takes one
product of K, a pass over all pairs), and with h known whole too (which takes a Lanczos run of passes).
"""

import argparse

import torch
from torch import Tensor

from gencheck.audit.model import model_of_module
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.beta1.landmarks import upper_end
from gencheck.spectral.difference import Difference
from gencheck.spectral.kernel.path_kernel import PathKernel
from tests.benchmarks.plan import fully_connected, mnist


def coordinates(kernel: Tensor, chosen: Tensor) -> Tensor:
    """Of all items, in an orthonormal basis of the span of the chosen ones."""
    values, vectors = torch.linalg.eigh(kernel[chosen][:, chosen])
    kept = values > 1e-9 * values[-1]
    return kernel[:, chosen] @ (vectors[:, kept] / values[kept].sqrt())


def taken(kernel: Tensor, weights: Tensor, count: int) -> Tensor:
    """Half at random, half those that the direction of the first half is made of."""
    order = torch.randperm(len(kernel), generator=torch.Generator().manual_seed(0))
    first = order[: count // 2]
    own = coordinates(kernel, first)
    top = torch.linalg.eigh(own.T @ (weights[:, None] * own))[1][:, -1]
    parts = (weights * (own @ top)).abs()
    parts[first] = torch.inf
    return parts.argsort(descending=True)[:count]


def pivoted(kernel: Tensor, count: int) -> Tensor:
    """Each with a probability in proportion to what the others leave of its length."""
    generator = torch.Generator().manual_seed(0)
    rest, columns, chosen = kernel.diagonal().clone(), kernel[:, :0], []
    for _ in range(count):
        pivot = int(torch.multinomial(rest.clamp(min=0), 1, generator=generator))
        column = kernel[:, pivot] - columns @ columns[pivot]
        column /= column[pivot].sqrt()
        columns = torch.cat([columns, column[:, None]], 1)
        rest -= column.square()
        rest[pivot] = 0
        chosen.append(pivot)
    return torch.tensor(chosen)


def leading(kernel: Tensor, count: int) -> Tensor:
    """Coordinates in the first eigenvectors, by subspace iteration."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn((len(kernel), count + 50), generator=generator, dtype=kernel.dtype)
    for _ in range(5):
        basis = torch.linalg.qr(kernel @ basis)[0]
    values, vectors = torch.linalg.eigh(basis.T @ (kernel @ basis))
    return (basis @ vectors[:, -count:]) * values[-count:].clamp(min=0).sqrt()


def residual_on(
    kernel: Tensor, weights: Tensor, own: Tensor, parts: list[Tensor]
) -> tuple[Tensor, float]:
    """M and h (docs/mathematics.md) with the residual known within each of `parts`."""
    cross, largest = own.new_zeros((own.shape[1], own.shape[1])), 0.0
    for part in parts:
        rest = kernel[part][:, part] - own[part] @ own[part].T
        weighted = weights[part, None] * own[part]
        cross += len(parts) * (weighted.T @ (rest @ weighted))
        above = weights[part] > 0
        reference = rest[above][:, above]
        large = len(reference) > 1000
        top = torch.lobpcg(reference, 1)[0] if large else torch.linalg.eigvalsh(reference)[-1]
        largest += float(weights.max()) * float(top)
    return cross, largest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--landmarks", type=int, default=400)
    arguments = parser.parse_args()
    m, count = arguments.items, arguments.landmarks
    x, y = mnist(60_000)
    rows = torch.cat([torch.arange(m), torch.arange(30_000, 30_000 + m)])
    gram = PathKernel.of(model_of_module(fully_connected(), [(784,)]).network).gram(x[rows])
    weights = Difference(m, y[rows]).weights()
    kernel = gram.dense().double()
    exact = top_eigenvalue(gram, weights).value
    order = torch.randperm(2 * m, generator=torch.Generator().manual_seed(1))
    blocks, whole = list(order.split(count)), [order]
    subspaces = {
        "half of them what β1 is made of": coordinates(kernel, taken(kernel, weights, count)),
        "randomly pivoted Cholesky": coordinates(kernel, pivoted(kernel, count)),
        "the first eigenvectors": leading(kernel, count),
    }
    trace = float(kernel.diagonal().sum())
    print(f"{2 * m:,} items, {count:,} dimensions")
    print("| subspace | of the trace left | of β1 held | in blocks | M whole | M and h whole |")
    print("|---|---|---|---|---|---|")
    for name, own in subspaces.items():
        operator = own.T @ (weights[:, None] * own)
        lower = float(torch.linalg.eigvalsh(operator)[-1])
        (cross, rest), (least_cross, least) = (
            residual_on(kernel, weights, own, parts) for parts in (blocks, whole)
        )
        uppers = [
            upper_end(operator, *known, lower) / lower
            for known in ((cross, rest), (least_cross, rest), (least_cross, least))
        ]
        left = 1 - float(own.square().sum()) / trace
        shown = " | ".join(f"{upper:.3f}" for upper in uppers)
        print(f"| {name} | {left:.1%} | {lower / exact:.1%} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
