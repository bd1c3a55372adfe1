"""Ridge regression that every item spans, where the kernel is too large for its eigenvectors."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gencheck.memory import allowed_bytes, named_bytes, require_memory, shown_bytes
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathFeatures, PathKernel
from gencheck.spectral.kernel.restricted import restricted
from gencheck.spectral.ranks import ALONE, Ranks
from gencheck.training.conjugate_gradients import TOLERANCE, solve
from gencheck.training.ridge import Convergence, Ridge, RidgeProblem

# Items whose span preconditions the solver: their columns cost as much as a few products.
PRECONDITIONING = 1000


@dataclass(frozen=True)
class WholeKernel:
    """The kernel of n freeze items and then t others, as products.

    Attributes
    ----------
    features
        Gates of the n + t items, and h⁰ on them.
    gram
        Their Gram matrix, in memory or formed anew in every product.
    columns
        K(i, l) in the Gram matrix's units, shape (L + n, L): of the L items that precondition the
        solver and then of the n freeze items, all with those L.
    """

    features: PathFeatures
    gram: Gram
    columns: Tensor
    storage: str

    @property
    def count(self) -> int:
        """The number n of freeze items."""
        return len(self.columns) - self.columns.shape[1]

    @property
    def mean_square(self) -> float:
        """The mean of ‖z‖² over the freeze items."""
        return float(self.gram.diagonal()[: self.count].mean())

    def fitted(self, targets: Tensor, share: float | None, progress: Progress = SILENT) -> Ridge:
        """The minimiser for the n targets r, shape (n, K), float64, by conjugate gradients.

        Preconditioned by the inverse of ΦΦᵀ + nλ, Φ the features in the span of L items: what ΦΦᵀ
        leaves of K has no directions much larger than nλ.

        Parameters
        ----------
        share
            λ as a multiple of `mean_square`; None for leave-one-out's choice in that span.

        Raises
        ------
        InputError
            `share` is not above 0.
        SolverError
            Conjugate gradients did not converge.
        """
        marks = self.columns.shape[1]
        span = RidgeProblem.of(self.columns[:marks], self.columns[marks:])
        own = None if share is None else share * self.mean_square
        penalty = span.solved(targets, own).penalty
        shift = self.count * penalty
        own_gram = restricted(self.gram, [slice(0, self.count)])
        found = solve(
            lambda right: own_gram.matmul(right).cpu(),
            targets,
            shift,
            lambda right: span.inverse(right, shift),
            progress,
        )
        return Ridge(
            coefficients=found.values,
            penalty=penalty,
            squared_norms=(found.values * found.products).sum(0),
            leave_one_out=None,
            rank=None,
            convergence=Convergence(
                found.steps, found.residual, TOLERANCE, marks, storage=self.storage
            ),
        )

    def outputs(self, ridge: Ridge) -> Tensor:
        """u(x) of all n + t items, shape (n + t, K), float64."""
        right = torch.zeros((self.gram.count, ridge.coefficients.shape[1]), dtype=torch.float64)
        right[: self.count] = ridge.coefficients
        return self.gram.matmul(right).cpu()


def whole_kernel(
    gates: Network,
    items: Tensor,
    count: int,
    seed: int,
    tile: int,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> WholeKernel:
    """The kernel of all items under the gates of a network, kept where memory allows.

    Parameters
    ----------
    items
        n freeze items and then t others, shape (n + t, …).
    count
        n.
    seed
        Draws the items that precondition the solver.
    ranks
        Who forms which tiles, and holds them; what preconditions the solver is formed by each.

    Raises
    ------
    InputError
        Not even the preconditioner fits into memory.
    """
    marks = min(PRECONDITIONING, count)
    options = KernelOptions(tile=tile)
    named = named_bytes()
    if named is not None:
        options = replace(options, layout_bytes=min(options.layout_bytes, named // 8))
    storage = _storage(len(items), marks, options.layout_bytes, progress, ranks)
    kernel = PathKernel.of(gates, options=replace(options, storage=storage))
    kernel = replace(kernel, ranks=ranks)
    features = kernel.features(items, progress)
    gram = kernel.gram(features, progress=progress)
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:marks]
    some = torch.cat([items[drawn.to(items.device)], items[:count]])
    found = kernel.columns(kernel.features(some, progress), marks, progress)
    columns = torch.ldexp(found.mantissa.cpu(), torch.tensor(found.exponent - gram.exponent))
    return WholeKernel(features, gram, columns, storage)


def _storage(items: int, marks: int, layout: int, progress: Progress, ranks: Ranks = ALONE) -> str:
    """``memory``, or ``recompute`` where the Gram matrix does not fit beside everything else."""
    # columns in float32; features, their singular vectors and a copy of either in float64
    rest = layout + items * marks * (4 + 3 * 8) + 6 * marks**2 * 8
    whole = items * (items + 1) // 2 * 4 // ranks.size
    allowed = allowed_bytes()
    if allowed is not None and named_bytes() is None:
        # what is free here is for all processes of this machine
        allowed //= ranks.neighbours
    if allowed is None or whole + rest <= allowed:
        return "memory"
    require_memory(rest, "--solver ridge", f"a preconditioner for {items:,} items")
    progress.report(
        f"the Gram matrix of {items:,} items takes {shown_bytes(whole)}, and {shown_bytes(allowed)} "
        "may be taken: its tiles are formed anew in every product, which takes the time of one Gram "
        "matrix each; --landmarks below the number of freeze items does without"
    )
    return "recompute"
