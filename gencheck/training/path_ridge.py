"""The freeze phase solved in path space: kernels, ridge regression and what it says about the gap."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gencheck.errors import InputError
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import KernelOptions, PathKernel
from gencheck.spectral.ranks import ALONE, Ranks
from gencheck.training.ridge import Ridge, RidgeProblem
from gencheck.training.whole_kernel import whole_kernel

# Items up to which every one of them is a landmark and eigenvectors solve for them: those of a larger
# kernel take many minutes.
EXACT_LIMIT = 6000

# Landmarks beyond.
LANDMARKS = 3000


@dataclass(frozen=True)
class RidgeOptions:
    """How the ridge regression is set up.

    Attributes
    ----------
    penalty
        λ in units of the mean of ‖z‖²; None for the one that leave-one-out chooses.
    landmarks
        How many items span the solution; None for all up to `EXACT_LIMIT`, `LANDMARKS` beyond. Where
        they are all and more than `EXACT_LIMIT`, conjugate gradients solve for them.
    centred
        True to fit what the standard phase left over: the penalty is then on the distance from its
        path weights, else on the weights themselves.
    seed
        Seeds the choice of landmarks.
    tile
        Rows of a tile of the kernel.
    """

    penalty: float | None = None
    landmarks: int | None = None
    centred: bool = False
    seed: int = 0
    tile: int = 1024

    def count_for(self, items: int) -> int:
        """How many of `items` are landmarks."""
        chosen = self.landmarks
        if chosen is None:
            chosen = items if items <= EXACT_LIMIT else LANDMARKS
        return min(chosen, items)

    def require_shareable(self, items: int, ranks: Ranks) -> None:
        """Do nothing where one process solves for `items`, or every one of them is a landmark.

        Raises
        ------
        InputError
            Several processes would each form the kernels with the landmarks.
        """
        count = self.count_for(items)
        if ranks.size > 1 and count < items:
            raise InputError(
                where="torchrun with --landmarks",
                found=f"{count} landmarks for {items} items of the freeze phase",
                required="all of them: fewer are few enough for one process",
                remedy=f"Pass --landmarks {items}, or run it without torchrun.",
            )


@dataclass(frozen=True)
class RidgeKernel:
    """Kernels of freeze items and test items with the landmarks.

    Attributes
    ----------
    columns
        K(i, l) in units of 2**exponent, shape (n + t, L): the landmarks come first among the n.
    order
        The freeze item that each of the first n rows belongs to, shape (n,).
    base
        The standard phase's own outputs, one row for each of the n + t, float64.
    gram
        The whole Gram matrix, where every freeze item is a landmark.
    """

    columns: Tensor
    exponent: int
    order: Tensor
    base: Tensor
    gram: Gram | None

    @property
    def landmarks(self) -> Tensor:
        """K(l, l′) of the landmarks, shape (L, L)."""
        return self.columns[: self.columns.shape[1]]

    @property
    def mean_square(self) -> float:
        """The mean of ‖z‖² over the landmarks: what penalties are relative to."""
        return float(self.landmarks.diagonal().double().mean())

    @cached_property
    def problem(self) -> RidgeProblem:
        """The ridge regression on the n rows."""
        rows = None if self.gram is not None else self.columns[: len(self.order)]
        return RidgeProblem.of(self.landmarks, rows)

    def fitted(self, targets: Tensor, penalty: float | None) -> Ridge:
        """Its solution for targets given in the items' own order.

        Parameters
        ----------
        penalty
            λ as a multiple of `mean_square`; None for leave-one-out's choice.
        """
        own = None if penalty is None else penalty * self.mean_square
        return self.problem.solved(targets[self.order], own)

    def in_order(self, rows: Tensor) -> Tensor:
        """Rows of the n + t items in the order that the items were given in."""
        count = len(self.order)
        return rows[torch.cat([self.order.argsort(), torch.arange(count, len(rows))])]


@dataclass(frozen=True)
class PathRidge:
    """A ridge solution on path features.

    Attributes
    ----------
    solution
        Coefficients and norms, in the kernel's units of 2**exponent.
    exponent
        The power of two left out of the kernel.
    landmarks
        Positions of the landmarks among the freeze items, shape (L,).
    outputs
        h(x) on the freeze items and then on the test items, float64; what the standard phase gives
        included where it is centred.
    base
        The standard phase's own outputs on them.
    mean_square
        The mean of ‖z‖² over the landmarks, in the kernel's units: what penalties are relative to.
    gram
        The whole Gram matrix of freeze and test items, where every freeze item is a landmark and it
        is in memory.
    """

    solution: Ridge
    exponent: int
    landmarks: Tensor
    outputs: Tensor
    base: Tensor
    mean_square: float
    gram: Gram | None


def ridge_kernel(
    gates: Network,
    items: Tensor,
    test_items: Tensor,
    plan: RidgeOptions | None = None,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> RidgeKernel:
    """Kernels with the landmarks, for all freeze items and test items, under the gates of a network.

    Parameters
    ----------
    items
        The freeze items, shape (n, …), in the run's dtype.
    test_items
        Further items, shape (t, …); may be empty.
    ranks
        Who forms which tiles of the whole Gram matrix; kernels with fewer landmarks are formed by each.

    Raises
    ------
    InputError
        No landmark was asked for.
    """
    plan = plan or RidgeOptions()
    count = plan.count_for(len(items))
    if count < 1:
        raise InputError(where="--landmarks", found=str(count), required="at least 1")
    generator = torch.Generator().manual_seed(plan.seed)
    order = torch.randperm(len(items), generator=generator)
    if count == len(items):
        order = torch.arange(len(items))
    pooled = torch.cat([items[order.to(items.device)], test_items])
    kernel = PathKernel.of(gates, options=KernelOptions(tile=plan.tile))
    kernel = replace(kernel, ranks=ranks)
    features = kernel.features(pooled, progress)
    if count == len(items):
        gram = kernel.gram(features, progress=progress)
        columns = gram.submatrix(slice(0, len(pooled)), slice(0, count))
        return RidgeKernel(columns.cpu(), gram.exponent, order, features.outputs, gram)
    found = kernel.columns(features, count, progress)
    return RidgeKernel(found.mantissa.cpu(), found.exponent, order, features.outputs, None)


def path_ridge(
    gates: Network,
    items: Tensor,
    targets: Tensor,
    test_items: Tensor,
    plan: RidgeOptions | None = None,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> PathRidge:
    """The minimiser of (1/n) Σ_i ‖h(x_i) − y_i‖² + λ Σ_k ‖w_k‖₂² over path weights, gates held.

    Parameters
    ----------
    gates
        The network that decides the gates; its weights are the standard phase's.
    items, targets
        The freeze items, shape (n, …), in the run's dtype, and targets of shape (n, K), float64.
    test_items
        Items on which outputs are wanted too, shape (t, …); may be empty.
    ranks
        The processes that share the work, each with the same items; each has the solution.

    Raises
    ------
    InputError
        No landmark was asked for, or the kernel is zero.
    SolverError
        Conjugate gradients did not converge.
    """
    plan = plan or RidgeOptions()
    if plan.count_for(len(items)) == len(items) > EXACT_LIMIT:
        return _by_iteration(
            gates, (items, targets), test_items, plan=plan, progress=progress, ranks=ranks
        )
    kernel = ridge_kernel(gates, items, test_items, plan, progress=progress, ranks=ranks)
    base = kernel.in_order(kernel.base)
    wanted = targets - (base[: len(items)] if plan.centred else 0.0)
    solution = kernel.fitted(wanted, plan.penalty)
    own = kernel.in_order(solution.outputs(kernel.columns))
    return PathRidge(
        solution=solution,
        exponent=kernel.exponent,
        landmarks=kernel.order[: kernel.columns.shape[1]],
        outputs=own + base if plan.centred else own,
        base=base,
        mean_square=kernel.mean_square,
        gram=kernel.gram,
    )


def _by_iteration(
    gates: Network,
    data: tuple[Tensor, Tensor],
    test_items: Tensor,
    plan: RidgeOptions,
    progress: Progress,
    ranks: Ranks,
) -> PathRidge:
    """`path_ridge` where every item is a landmark and they are many."""
    items, targets = data
    pooled = torch.cat([items, test_items])
    kernel = whole_kernel(
        gates, pooled, len(items), plan.seed, plan.tile, progress=progress, ranks=ranks
    )
    base = kernel.features.outputs
    wanted = targets - (base[: len(items)] if plan.centred else 0.0)
    solution = kernel.fitted(wanted, plan.penalty, progress)
    own = kernel.outputs(solution)
    return PathRidge(
        solution=solution,
        exponent=kernel.gram.exponent,
        landmarks=torch.arange(len(items)),
        outputs=own + base if plan.centred else own,
        base=base,
        mean_square=kernel.mean_square,
        gram=kernel.gram if kernel.storage == "memory" else None,
    )
