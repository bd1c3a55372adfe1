"""Two ways to see the kernel: the whole Gram matrix, or a few landmark items for all."""

from typing import Protocol

import torch
from torch import Tensor

from gencheck.audit.beta1 import Moments, moments_of_gram, moments_of_landmarks
from gencheck.audit.certify import CertifiedBetas, certified_betas
from gencheck.audit.kernel_facts import CacheFacts, KernelFacts
from gencheck.audit.permutation_facts import PermutationFacts
from gencheck.audit.permutation_test import permutation_test
from gencheck.audit.question import Question
from gencheck.audit.relabelled import relabelled_statistics
from gencheck.spectral.beta1.lanczos import TopEigenvalue, top_eigenvalue
from gencheck.spectral.beta2.sup_norm import SupNorm
from gencheck.spectral.kernel.cache import TileCache
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel


class KernelView(Protocol):
    """What an audit asks of the kernel between its pooled items."""

    facts: KernelFacts
    tiles: CacheFacts | None

    def moments(self) -> Moments:
        """β1, each item's part in it, and ‖v_k‖₂."""
        ...

    def certified_betas(self, items: Tensor) -> CertifiedBetas | None:
        """The betas against the distribution; None where this view does not give them."""
        ...

    def permutation_test(self, sup: SupNorm) -> PermutationFacts | None:
        """p-values by relabelling; None where this view does not give them."""
        ...


class WholeGram:
    """K between all pooled items: β1 exact up to the solver's residual."""

    def __init__(
        self,
        question: Question,
        kernel: PathKernel,
        features: PathFeatures,
        gram: Gram,
        tiles: CacheFacts | None = None,
    ) -> None:
        self.question, self.kernel, self.features, self.gram = question, kernel, features, gram
        executor = kernel.executor(question.count, question.options.device)
        self.facts = KernelFacts(executor, kernel.options.storage, gram.overlaps, kernel.ranks.size)
        self.tiles = tiles
        self._top: TopEigenvalue | None = None

    @classmethod
    def formed(cls, question: Question, kernel: PathKernel, features: PathFeatures) -> "WholeGram":
        """With the Gram matrix formed, or read from its cache."""
        folder, tiles = question.options.cache, None
        cache = None if folder is None else TileCache(folder, question.progress.report)
        gram = kernel.gram(features, cache, question.progress)
        if cache is not None:
            counts = torch.tensor([cache.reused, cache.computed, cache.rejected])
            tiles = CacheFacts(*question.ranks.joined(counts).tolist())
        return cls(question, kernel, features, gram, tiles)

    @property
    def top(self) -> TopEigenvalue:
        """λ_max with its eigenvector, found when first asked for."""
        if self._top is None:
            question = self.question
            self._top = top_eigenvalue(
                self.gram,
                question.difference.weights(),
                question.options.seed,
                progress=question.progress,
            )
        return self._top

    def moments(self) -> Moments:
        """From Lanczos and from cᵀKc."""
        return moments_of_gram(self.gram, self.question.network, self.question.difference, self.top)

    def certified_betas(self, items: Tensor) -> CertifiedBetas | None:
        """Of the sample's items, which come first."""
        question = self.question
        count = len(question.sample.items)
        request = question.options.certificate
        assert request is not None
        return certified_betas(
            question.network,
            items[:count],
            question.difference.targets[:count],
            self.gram,
            request,
            seed=question.options.seed,
            progress=question.progress,
        )

    def permutation_test(self, sup: SupNorm | None) -> PermutationFacts | None:
        """All statistics under the same relabellings."""
        found = relabelled_statistics(
            self.question,
            self.gram,
            self.features.outputs,
            observed=self.top.value,
            sup=sup,
            paths=(self.kernel.windows, self.features.factors),
        )
        return permutation_test(self.question, found)


class FromLandmarks:
    """β1 and ‖v_k‖₂ as intervals from a few items, linear in the number of all."""

    facts = KernelFacts("matrix")
    tiles: CacheFacts | None = None

    def __init__(self, question: Question, kernel: PathKernel, features: PathFeatures) -> None:
        count = question.options.landmarks
        assert count is not None
        self._moments = moments_of_landmarks(
            kernel.between(features),
            question.network,
            question.difference,
            count,
            seed=question.options.seed,
            progress=question.progress,
        )

    def moments(self) -> Moments:
        """Both ends, found with the kernels."""
        return self._moments

    def certified_betas(self, items: Tensor) -> CertifiedBetas | None:
        """None: refused before the run starts."""
        return None

    def permutation_test(self, sup: SupNorm) -> PermutationFacts | None:
        """None: refused before the run starts."""
        return None
