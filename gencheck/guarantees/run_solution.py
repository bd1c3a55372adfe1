"""The ridge solution that a two-phase run left, and what it says of items."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencheck.guarantees.two_phase_run import TwoPhaseRun
from gencheck.load.files import reading
from gencheck.load.run_folder import positions_of
from gencheck.load.split import Array
from gencheck.network.scaled import Scaled
from gencheck.progress import Progress
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel

_BATCH = 1024


@dataclass(frozen=True)
class Applied:
    """A ridge solution on N items: b in units of 2**−exponent, and K b, shape (N, K), float64."""

    coefficients: Tensor
    products: Tensor
    exponent: int


@dataclass(frozen=True)
class Coefficients:
    """Of a ridge solution: b of shape (L, K), for a kernel in units of 2**exponent."""

    values: Tensor
    exponent: int

    def on(self, kernel: PathKernel, features: PathFeatures, progress: Progress) -> Applied:
        """What the solution says of items of which the first L are its landmarks.

        By columns of the kernel where landmarks are few, by products with tiles that nobody keeps
        where all pairs are no more of them than that.
        """
        count, items = len(self.values), features.count
        if _few(count, items):
            return self.by_columns(kernel.columns(features, count, progress))
        # scaled by 1 here and by the units below: a product is linear
        padded = torch.zeros((items, self.values.shape[1]), dtype=torch.float64)
        padded[:count] = self.values
        found = kernel.matmul(features, padded, progress)
        own = self._in_units(found.exponent)
        shift = torch.tensor(found.exponent - self.exponent)
        return Applied(own, torch.ldexp(found.mantissa.cpu(), shift), found.exponent)

    def by_columns(self, columns: Scaled) -> Applied:
        """From K(i, l) with the landmarks, shape (N, L)."""
        own = self._in_units(columns.exponent)
        parts = [rows.double() @ own for rows in columns.mantissa.split(_BATCH)]
        return Applied(own, torch.cat(parts), columns.exponent)

    def _in_units(self, exponent: int) -> Tensor:
        """B for a kernel in units of 2**`exponent`; the run's was of other items."""
        return torch.ldexp(self.values, torch.tensor(exponent - self.exponent))


def read_solution(run: TwoPhaseRun) -> tuple[Coefficients, Array, bool]:
    """Coefficients, the landmarks' places among the freeze items, and whether it is centred."""
    with (
        reading(run.folder.solution, "the solution that gencheck train --solver ridge wrote"),
        run.folder.solution.open("rb") as handle,
        np.load(handle, allow_pickle=False) as arrays,
    ):
        coefficients = Coefficients(
            torch.from_numpy(arrays["coefficients"]), int(arrays["exponent"])
        )
        positions, centred = arrays["landmarks"], bool(arrays["centred"])
    marks = positions_of(positions, run.items.freeze.indices, str(run.folder.solution))
    return coefficients, marks, centred


def own_landmarks(run: TwoPhaseRun) -> Array | None:
    """The places among the freeze items of those that span the run's solution.

    None of a network, and where products with all of the kernel take less than their columns.
    """
    if not run.solved:
        return None
    marks = read_solution(run)[1]
    items = len(run.items.freeze) + (0 if run.items.test is None else len(run.items.test))
    return marks if _few(len(marks), items) else None


def _few(landmarks: int, items: int) -> bool:
    """True where columns of so many landmarks are fewer numbers than half of the Gram matrix."""
    return 2 * landmarks <= items
