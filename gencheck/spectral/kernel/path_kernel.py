"""The path kernel ⟨z(x), z(x′)⟩ of one network as an object: Gram matrix, columns, diagonal."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, MissingDependency
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import first_traceable
from gencheck.network.ir import Network
from gencheck.network.program import Program
from gencheck.network.scaled import Scaled
from gencheck.network.terms import kernel_program
from gencheck.progress import SILENT, Progress
from gencheck.spectral.kernel.bits.plan import suits_bits
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.calibrate import compiled_loops_are_there
from gencheck.spectral.kernel.columns import kernel_columns
from gencheck.spectral.kernel.cross_kernel import CrossKernel
from gencheck.spectral.kernel.cuts import FACTOR_BYTES
from gencheck.spectral.kernel.executors import counting_pays
from gencheck.spectral.kernel.factors import Factors
from gencheck.spectral.kernel.formation import gram_matrix
from gencheck.spectral.kernel.forward import forward
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.ranks import ALONE, Ranks


@dataclass(frozen=True)
class KernelOptions:
    """How kernels are formed.

    Attributes
    ----------
    executor
        ``matrix``: products in torch; ``bits``: compiled loops, for convolutions with gates of 0 and
        1 on the CPU; ``auto``: the quicker one.
    tile
        Rows and columns of one tile of the Gram matrix.
    batch_size
        Items in one forward pass.
    layout_bytes
        How much unpacked gates the steps are laid out for. It decides how sums are split, so it
        should not depend on what happens to be free.
    kept_bytes
        How much they may take in all; None for `layout_bytes`.
    storage
        Where the Gram matrix is: in ``memory``; on ``disk``: tiles are read from the cache in every
        product; or nowhere, ``recompute``: they are formed anew in every product. The last two are
        linear in memory and give the same bits.
    overlaps
        How matrix products form overlaps of whole numbers: ``float32``, ``int8``, ``bits``, or
        ``auto``: each layer's quickest by a short trial. The bits are the same.
    """

    executor: str = "auto"
    tile: int = 1024
    batch_size: int = 1024
    layout_bytes: int = FACTOR_BYTES
    kept_bytes: int | None = None
    storage: str = "memory"
    overlaps: str = "auto"


@dataclass(frozen=True)
class PathFeatures:
    """What z of some items is made of, and the outputs that came out on the way.

    Attributes
    ----------
    factors
        Their coordinates and gates.
    outputs
        z·w, shape (N, K), float64, on the CPU; infinite where a logit overflows float64.
    """

    factors: Factors
    outputs: Tensor

    @property
    def count(self) -> int:
        """The number N of items."""
        return self.factors.count


@dataclass(frozen=True)
class PathKernel:
    """⟨z(x), z(x′)⟩ of a network, formed without enumerating paths.

    >>> kernel = gencheck.PathKernel.of(model, x.shape[1:])
    >>> gram = kernel.gram(x)
    >>> values = scipy.sparse.linalg.eigsh(gram, k=5, return_eigenvectors=False)

    Attributes
    ----------
    network
        The gated linear network, whose structure decides the kernel; its weights do so only through
        its gates.
    gates
        The network of the same structure that decides the gates; None where `network` does.
    ranks
        The processes that share the work.
    """

    network: Network
    gates: Network | None = None
    options: KernelOptions = field(default_factory=KernelOptions)
    ranks: Ranks = ALONE
    _programs: dict[bool, Program] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        model: nn.Module | Network,
        item_shape: Sequence[int] | None = None,
        *,
        gates: Network | None = None,
        options: KernelOptions | None = None,
    ) -> "PathKernel":
        """The kernel of a module, which is left unchanged, or of a network that was lowered before.

        Parameters
        ----------
        item_shape
            The shape of one item, without the batch: needed for a module, which is traced with it.

        Raises
        ------
        InputError
            A module without `item_shape`, or one that does not run on it.
        UnsupportedModel
            The module has operations outside the path view; names every one of them.
        """
        if isinstance(model, nn.Module):
            if item_shape is None:
                raise InputError(
                    where="PathKernel.of",
                    found="a module without item_shape",
                    required="the shape of one item, without the batch",
                    remedy="PathKernel.of(model, x.shape[1:])",
                )
            model = lower(first_traceable(model, [tuple(item_shape)]))
        return cls(model, gates, options or KernelOptions())

    @property
    def windows(self) -> Program:
        """The program that takes whole windows at a time: for matrix products and path searches."""
        return self._built(patches=True)

    @property
    def cells(self) -> Program:
        """The program that takes cells one by one: for compiled loops."""
        return self._built(patches=False)

    def _built(self, *, patches: bool) -> Program:
        # kept in a dict that copies with other options share: each program is built once
        if patches not in self._programs:
            self._programs[patches] = kernel_program(self.network, patches=patches)
        return self._programs[patches]

    def executor(self, count: int, device: str = "cpu") -> str:
        """``matrix`` or ``bits``: what forms the kernels of `count` items.

        Raises
        ------
        InputError, MissingDependency
            Counting bits was asked for and cannot be done.
        """
        asked = self.options.executor
        if asked == "matrix":
            return "matrix"
        if asked == "auto":
            # asked of the program that is there anyway: the other takes seconds for large networks
            pays = device == "cpu" and counting_pays(self.windows.flops_per_pair, count)
            suits = pays and suits_bits(self.cells, self.network)
            return "bits" if suits and compiled_loops_are_there() else "matrix"
        if device != "cpu" or not suits_bits(self.cells, self.network):
            raise InputError(
                where="--executor",
                found=f"bits, for {', '.join(sorted(self.network.operations()))} on {device}",
                required="convolutions with gates of 0 and 1 (ReLU, ReLU6, max-pool) on the CPU",
                remedy="Pass --executor matrix.",
            )
        if not compiled_loops_are_there():
            raise MissingDependency("numba", "--executor bits")
        return "bits"

    def program(self, executor: str) -> Program:
        """What that executor carries out."""
        return self.windows if executor == "matrix" else self.cells

    def features(
        self, items: Tensor, progress: Progress = SILENT, folder: Path | None = None
    ) -> PathFeatures:
        """Gates and outputs of `items`, shape (N, *input_shape), on the run's device in its dtype.

        Parameters
        ----------
        items
            Whole numbers, such as tokens, are taken in torch's default dtype.
        folder
            Where the packed gates are kept in files that are mapped into memory; by default they are
            kept in memory itself.
        """
        if not items.is_floating_point():
            items = items.to(torch.get_default_dtype())
        made = forward(
            self.network,
            items,
            self.options.batch_size,
            progress,
            folder=folder,
            gates=self.gates,
            ranks=self.ranks,
        )
        return PathFeatures(*made)

    def gram(
        self,
        items: Tensor | PathFeatures,
        cache: TileCache | None = None,
        progress: Progress = SILENT,
    ) -> Gram:
        """K between all `items`, N(N + 1)/2 numbers in tiles; a linear operator for scipy.

        With 0/1 gates every overlap is an integer below 2²⁴ and therefore exact in float32.

        Parameters
        ----------
        items
            A tensor of shape (N, *input_shape), or what `features` made of one.
        cache
            Where finished tiles are kept.
        """
        features, chosen = self._ready(items, progress)
        program = self.program(chosen["executor"])
        return gram_matrix(
            program,
            features.factors,
            cache=cache,
            storage=self.options.storage,
            overlaps=self.options.overlaps,
            ranks=self.ranks,
            **chosen,
        )

    def columns(
        self, items: Tensor | PathFeatures, landmarks: int, progress: Progress = SILENT
    ) -> Scaled:
        """K(i, l) for all N items i and the first `landmarks` items l, shape (N, L), linear in N."""
        features, chosen = self._ready(items, progress)
        del chosen["factor_bytes"], chosen["kept_bytes"]
        program = self.program(chosen["executor"])
        return Scaled(*kernel_columns(program, features.factors, landmarks, **chosen))

    def matmul(
        self, items: Tensor | PathFeatures, right: Tensor, progress: Progress = SILENT
    ) -> Scaled:
        """K A for `right` = A of shape (N, k), in float64, one tile of K in memory at a time."""
        streaming = replace(self, options=replace(self.options, storage="recompute"))
        gram = streaming.gram(items, progress=progress)
        return Scaled(gram.matmul(right), gram.exponent)

    def diagonal(self, items: Tensor | PathFeatures, progress: Progress = SILENT) -> Scaled:
        """K(i, i) = ‖z(x_i)‖² of all items, shape (N,), float64."""
        features, _ = self._ready(items, progress)
        cross = self.between(features)
        return Scaled(cross.diagonal(), cross.exponent)

    def between(self, features: PathFeatures) -> CrossKernel:
        """Kernels between any groups of these items, in float64 whatever their dtype."""
        return CrossKernel(self.windows, features.factors)

    def _ready(
        self, items: Tensor | PathFeatures, progress: Progress
    ) -> tuple[PathFeatures, dict[str, Any]]:
        """The items with their gates, and how their kernels are formed."""
        features = items if isinstance(items, PathFeatures) else self.features(items, progress)
        return features, {
            "executor": self.executor(features.count, str(features.factors.items.device)),
            "tile_size": self.options.tile,
            "factor_bytes": self.options.layout_bytes,
            "kept_bytes": self.options.kept_bytes,
            "progress": progress,
        }
