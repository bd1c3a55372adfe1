"""How an audit is run."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from gencheck.audit.certificate_request import CertificateRequest
from gencheck.errors import InputError
from gencheck.load.vocabulary import Vocabulary
from gencheck.spectral.beta2.sup_norm import NOMINAL_FLOPS_PER_SECOND
from gencheck.spectral.kernel.path_kernel import KernelOptions


@dataclass(frozen=True)
class AuditOptions:
    """How an audit is run.

    Attributes
    ----------
    device, dtype
        Where and in which precision kernels are formed.
    batch_size
        Items in one forward pass.
    tile
        Rows and columns of one tile of the Gram matrix.
    memory
        The most bytes that the run may take; None for a share of what the machine has free.
    beta2_budget
        Seconds that β2 may take in all, at a nominal rate and on the clock: whichever ends first; 0 for
        none, so that ‖v‖₂ alone bounds it.
    seed
        Seeds Lanczos' starting vector and the path search.
    cache
        A folder for finished tiles; a run that was killed goes on from them.
    gram
        Where the Gram matrix is kept: in ``memory``, on ``disk`` (in `cache`), nowhere
        (``recompute``: formed anew in every product), or ``auto``: the first of these that fits.
    executor
        How kernels are formed: ``matrix`` products, counted ``bits``, or ``auto``: the quicker one.
    certificate
        What to certify for the distribution itself; None for nothing.
    beta2_permutation_budget
        Seconds, at a nominal rate, that the enumeration of paths for every relabelling may take; 0
        for no p-value of β2.
    permutations
        How often the pooled items are relabelled for p-values; 0 for none.
    landmarks
        How many items stand for all in β1 and ‖v‖₂, which become intervals; None for the whole Gram
        matrix.
    top
        How many of the items that make up β1 are listed.
    gates_independent
        True where the gates are known to have seen neither set; it changes how p-values read.
    vocabulary
        The words of the tokens that items consist of, for the items that are listed.
    softmax
        True for the squared loss of the probabilities softmax(h) beside that of the outputs.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    batch_size: int = 1024
    tile: int = 1024
    memory: int | None = None
    beta2_budget: float = 1.0
    seed: int = 0
    cache: Path | None = None
    gram: str = "auto"
    executor: str = "auto"
    certificate: CertificateRequest | None = None
    permutations: int = 0
    beta2_permutation_budget: float = 0.0
    top: int = 10
    landmarks: int | None = None
    gates_independent: bool = False
    vocabulary: Vocabulary | None = None
    softmax: bool = False

    def record(self) -> dict[str, Any]:
        """Every option as plain data, for the document of a run; the seed is recorded with the data."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["dtype"] = str(self.dtype).removeprefix("torch.")
        plain["cache"] = None if self.cache is None else str(self.cache)
        plain["vocabulary"] = None if self.vocabulary is None else self.vocabulary.record()
        plain["certificate"] = None if self.certificate is None else vars(self.certificate)
        return plain

    @property
    def beta2_operations(self) -> float:
        """What the search for β2 may take, in floating-point operations."""
        return self.beta2_budget * NOMINAL_FLOPS_PER_SECOND

    @property
    def kernel(self) -> KernelOptions:
        """How kernels are formed; landmarks are between few items, for which only products suit."""
        executor = self.executor if self.landmarks is None else "matrix"
        return KernelOptions(executor, self.tile, self.batch_size)

    def require_consistency(self) -> None:
        """Do nothing where the options go together.

        Raises
        ------
        InputError
            Landmarks are asked for with something that needs the whole Gram matrix, the matrix is to be
            kept where it cannot be, or an option has nothing to do.
        """
        if self.gram == "disk" and self.cache is None:
            raise InputError(
                where="--gram disk",
                found="no folder for the tiles",
                required="one with room for all of them",
                remedy="Pass --cache DIR, or --gram recompute, which keeps nothing.",
            )
        if self.gram == "recompute" and self.cache is not None:
            raise InputError(
                where="--gram recompute with --cache",
                found="both",
                required="one of them: recomputed tiles are not kept",
                remedy="Pass --gram disk to read the tiles from the folder.",
            )
        if self.beta2_permutation_budget > 0 and self.permutations == 0:
            raise InputError(
                where="--beta2-permutation-budget",
                found=f"{self.beta2_permutation_budget:g} without relabellings",
                required="--permutations of 1 or more, whose β2 it pays for",
            )
        if self.landmarks is None:
            return
        needing = {
            "--permutations": self.permutations > 0,
            "--certify": self.certificate is not None,
            "--cache": self.cache is not None,
            "--executor bits": self.executor == "bits",
            f"--gram {self.gram}": self.gram != "auto",
        }
        for name, asked in needing.items():
            if asked:
                raise InputError(
                    where=f"--landmarks with {name}",
                    found="both",
                    required="one of them",
                    remedy=f"{name} needs the whole Gram matrix: leave --landmarks out, with --limit "
                    "where that is too large.",
                )
